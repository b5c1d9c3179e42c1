"""Figures that one can make again: each module is a command, ``python -m benchmarks.NAME``."""
