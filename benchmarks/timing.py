"""Timing of the benchmarks: the smallest of several wall times in one process."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax


def seconds(function: Callable, *args, repeats: int = 5) -> float:
    """Smallest wall time of ``function(*args)``, seconds, after one call that compiles and fills caches."""
    jax.block_until_ready(function(*args))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*args))
        times.append(time.perf_counter() - start)
    return min(times)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
