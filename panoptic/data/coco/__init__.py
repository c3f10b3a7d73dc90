"""Data sets in COCO panoptic format: JSON, PNG, and pairs of predictions with their truth."""
