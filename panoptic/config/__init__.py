"""Configuration: schema, composition and overrides. Does not import torch."""
