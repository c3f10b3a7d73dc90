"""COCO panoptic format: reader, writer, and pairs of predictions and ground truth."""
