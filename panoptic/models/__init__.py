"""The network and its parts, plain torch: no Lightning, no Hydra."""
