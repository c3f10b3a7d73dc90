"""The configuration files, installed as the package ``panoptic.conf``; Hydra looks for this file in it."""
