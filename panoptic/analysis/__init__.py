"""Analysis of checkpoints and data sets: scores, oracles, shuffled complexity, fusion weights and inspection."""
