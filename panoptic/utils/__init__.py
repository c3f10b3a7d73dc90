"""Utilities for files, memory, processes, precision, counting, statistics and lazy imports."""
