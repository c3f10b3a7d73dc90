"""Evaluation of checkpoints and data sets: scores, oracle variants, shuffled complexity, fusion weights, inspection."""
