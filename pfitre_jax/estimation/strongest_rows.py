"""Rows of a scan with the most signal, from which properties of the scan are estimated."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def strongest_rows(
    projections: Float[np.ndarray, "views rows columns"], count: int
) -> Int[np.ndarray, " chosen"]:
    """Indices of the row with the largest energy of each of ``count`` equal parts of the rows.

    Rows with values that are not finite are left out where there are others.
    """
    energy = np.sum(projections.astype(float) ** 2, axis=(0, 2))
    finite = np.flatnonzero(np.isfinite(energy))
    rows = finite if finite.size else np.arange(energy.size)
    parts = np.array_split(rows, min(count, rows.size))
    return np.array([part[np.argmax(energy[part])] for part in parts])
