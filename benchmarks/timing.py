"""How the benchmarks measure: the best of several runs, all in one process."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax


def seconds(function: Callable, *args, repeats: int = 5) -> float:
    """Smallest wall time of ``function(*args)`` after one call that is not counted (compilation, caches)."""
    jax.block_until_ready(function(*args))
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(function(*args))
        times.append(time.perf_counter() - begin)
    return min(times)


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
