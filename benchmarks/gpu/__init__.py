"""``python -m benchmarks.gpu``: benchmark of the project on one CUDA GPU, within a time limit.

Each part runs in a separate process, so that a crash does not affect other parts, and writes each figure when it is
measured.
"""
