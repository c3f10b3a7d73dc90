"""Visualization of segments, fusion weights and complexity, as images and plots."""
