"""Pictures for people: segments, fusion weights and complexity, as images and as plots."""
