"""Experiments: each folder is one command, ``python -m experiments.NAME``; ``common`` is shared code."""
