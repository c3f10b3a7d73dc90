"""Checks of data sets for faults, by format."""
