"""Faults injected into the real commands by the hundred: kills, full disks, bad inputs, altered checkpoints.

Each attempt is a command in a process of its own, forked from one that has imported everything, which saves the ten
seconds that a command takes to start.
"""
