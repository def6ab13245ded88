"""Compilation apart from running, so that its time can be told and a second scan alike needs none."""

from __future__ import annotations

import functools
import time

import jax
import numpy as np


def compiled(function, *args, **static):
    """Executable of the jitted ``function`` for arguments like ``args``, and the seconds to compile it.

    ``static`` are the function's static keyword arguments. Executables are kept: 0 seconds the next time.

    >>> double, _ = compiled(jax.jit(lambda x: 2 * x), np.ones(3, np.float32))
    >>> double(np.ones(3, np.float32)).shape
    (3,)
    """
    leaves, structure = jax.tree.flatten(args)
    shapes = tuple((np.shape(leaf), np.dtype(leaf.dtype)) for leaf in leaves)
    start = time.perf_counter()
    executable = _compile(function, structure, shapes, tuple(sorted(static.items())))
    return executable, time.perf_counter() - start


def as_arrays(tree):
    """``tree`` with Python numbers as arrays of their default type, as a compiled function needs them."""
    return jax.tree.map(lambda leaf: leaf if hasattr(leaf, "dtype") else _array(leaf), tree)


def _array(number):
    return np.asarray(number, jax.dtypes.canonicalize_dtype(type(number)))


@functools.lru_cache(maxsize=64)
def _compile(function, structure, shapes, static):
    args = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*s) for s in shapes])
    return function.lower(*args, **dict(static)).compile()
