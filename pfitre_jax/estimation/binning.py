"""Binning of detector columns and rows, and the index of the rotation axis among the bins."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def bin_down(
    projections: Float[np.ndarray, "... rows columns"],
    mask: Bool[np.ndarray, "... rows columns"],
    columns: int,
    rows: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Means of blocks of bins; incomplete blocks at the ends are left out.

    Args:
        projections: (..., rows, columns).
        mask: (..., rows, columns), True for a valid bin.
        columns: Number of columns of a block.
        rows: Number of rows of a block.

    Returns:
        The means, and whether all bins of a block are valid, both (..., rows//block, columns//block).
    """
    if columns == rows == 1:
        return projections, mask
    r, c = projections.shape[-2] // rows, projections.shape[-1] // columns
    shape = (*projections.shape[:-2], r, rows, c, columns)
    complete = (..., slice(r * rows), slice(c * columns))
    means = projections[complete].reshape(shape).mean(axis=(-3, -1))
    return means, np.asarray(mask[complete].reshape(shape).all(axis=(-3, -1)))


def binned_index(index: float, factor: int) -> float:
    """A detector index among bins of ``factor`` columns: bin ``j`` lies at ``factor j + (factor - 1)/2``."""
    return (index - (factor - 1) / 2) / factor


def unbinned_index(index: float, factor: int) -> float:
    """The inverse of :func:`binned_index`."""
    return index * factor + (factor - 1) / 2
