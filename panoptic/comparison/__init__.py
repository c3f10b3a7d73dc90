"""Comparison of finished runs: variants against a baseline, with intervals, as tables, figures and a report."""
