"""The commands behind ``python -m panoptic.<command>``, and what they share."""
