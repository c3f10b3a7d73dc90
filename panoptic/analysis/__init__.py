"""Analysis of checkpoints and data sets: scores, oracles, shuffled complexity, fusion weights, headroom, inspection."""
