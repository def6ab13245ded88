"""Detector bins put together, and where the rotation axis lies among them."""

from __future__ import annotations

import numpy as np


def shrink(p, m, factor: int, tall: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Means of blocks of ``factor`` columns and ``tall`` rows of (..., rows, columns), and whether all of a
    block's bins are valid (``m``); what is left over at the ends is cut off."""
    if factor == tall == 1:
        return p, m
    r, c = p.shape[-2] // tall, p.shape[-1] // factor
    shape = (*p.shape[:-2], r, tall, c, factor)
    cut = (..., slice(r * tall), slice(c * factor))
    return p[cut].reshape(shape).mean(axis=(-3, -1)), m[cut].reshape(shape).all(axis=(-3, -1))


def binned_index(index: float, factor: int) -> float:
    """A detector index as one of bins of ``factor``: bin ``j`` lies at ``factor j + (factor - 1)/2``."""
    return (index - (factor - 1) / 2) / factor


def unbinned_index(index: float, factor: int) -> float:
    """The inverse of :func:`binned_index`."""
    return index * factor + (factor - 1) / 2
