"""``python -m benchmarks.gpu``: what the project does on one CUDA GPU, in one command that ends within its minutes.

Each part runs in a process of its own, so that a fault of one leaves the others alone, and writes each figure as soon
as it has it.
"""
