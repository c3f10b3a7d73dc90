"""Comparing finished runs: variants beside a baseline, with intervals, as tables, figures and a report."""
