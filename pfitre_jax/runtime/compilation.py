"""Ahead-of-time compilation, and a cache of compiled programs."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

Tree = TypeVar("Tree")

#: Memory maps of this process, one in a line, and the number that Linux allows.
MAPS, LIMIT = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
#: Share of the allowed memory maps above which compiled programs are dropped.
LARGEST_SHARE = 0.4


def compiled(function: Callable, *args: Any, **static: Any) -> tuple[Callable, float]:
    """Compiles a jitted function for arguments of these shapes and types, once.

    Args:
        function: A function of :func:`jax.jit`.
        *args: Arguments, pytrees of arrays, see :func:`as_arrays`.
        **static: Static keyword arguments of the function.

    Returns:
        The executable, which takes the arguments but not the static ones, and the seconds of compilation:
        about 0 for a program in the cache.

    >>> double, _ = compiled(jax.jit(lambda x: 2 * x), np.ones(3, np.float32))
    >>> double(np.ones(3, np.float32)).shape
    (3,)
    """
    leaves, structure = jax.tree.flatten(args)
    shapes = tuple((np.shape(leaf), np.dtype(leaf.dtype)) for leaf in leaves)
    start = time.perf_counter()
    executable = _compile(function, structure, shapes, tuple(sorted(static.items())))
    return executable, time.perf_counter() - start


def as_arrays(tree: Tree) -> Tree:
    """``tree`` with Python numbers as arrays of their default type, as :func:`compiled` needs them."""
    return jax.tree.map(lambda leaf: leaf if hasattr(leaf, "dtype") else _as_array(leaf), tree)


def _as_array(number: bool | int | float) -> np.ndarray:
    return np.asarray(number, jax.dtypes.canonicalize_dtype(type(number)))


@functools.lru_cache(maxsize=64)
def _compile(function: Any, structure: Any, shapes: tuple, static: tuple) -> Callable:
    args = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*s) for s in shapes])
    return function.lower(*args, **dict(static)).compile()


def drop_programs_near_limit() -> bool:
    """Drops the compiled programs of this process if they occupy many of the memory maps that Linux allows.

    XLA needs several maps for each program, and a process that compiles for many shapes crashes at the limit
    (65530 by default). Programs that are needed again are compiled again. Other systems have no such limit.

    Returns:
        Whether the programs were dropped.
    """
    if not (MAPS.exists() and LIMIT.exists()):
        return False
    with MAPS.open("rb") as lines:
        occupied = sum(1 for _ in lines)
    if occupied <= LARGEST_SHARE * int(LIMIT.read_text(encoding="ascii")):
        return False
    _compile.cache_clear()
    jax.clear_caches()
    return True
