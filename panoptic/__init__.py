"""Panoptic segmentation with adaptive cross-scale attention fusion.

Importing the package is cheap: torch is imported by the modules that need it.
"""

__version__ = "0.1.0"
