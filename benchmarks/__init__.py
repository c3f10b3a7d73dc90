"""Benchmarks: speed, memory and reference scores."""
