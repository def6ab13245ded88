"""Benchmarks: each is one command, ``python -m benchmarks.NAME``, and reports ratios measured in one run."""
