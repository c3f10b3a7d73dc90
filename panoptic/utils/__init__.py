"""Helpers that belong to no other package: files, memory, processes, precision, counting, statistics."""
