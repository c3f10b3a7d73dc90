"""Conversion of the label files that annotation tools and data sets come in to COCO panoptic format."""
