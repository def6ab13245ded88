"""Correction of the air beside the sample: a constant level, or a beam that changed between views."""

from __future__ import annotations

import dataclasses

import numpy as np

from pfitre_jax.data.overview import EDGE_COLUMNS, edge_bins
from pfitre_jax.data.scan import Scan


def subtract_air(scan: Scan, level: float) -> Scan:
    """Subtracts a constant from every valid bin; a scan that is read on demand stays in its file.

    Args:
        scan: The scan.
        level: Line integral of the air, see :func:`pfitre_jax.estimation.air.estimate_air`.

    Raises:
        ValueError: The level is not finite.
    """
    if not np.isfinite(level):
        raise ValueError(f"the air level is {level!r}; expected a finite line integral")
    return dataclasses.replace(scan, source=scan.source.subtract(level)) if level else scan


def subtract_edge_lines(scan: Scan, columns: int = EDGE_COLUMNS) -> Scan:
    """Brings the air beside the sample to 0, for a beam that changed since the flat was taken.

    In each row of each view, subtracts the straight line through the means of the outermost valid columns at
    both edges. This is correct only if the sample stays inside the field of view. It amplifies noise, so that
    it serves the search of the rotation axis and not the reconstruction.

    Args:
        scan: The scan.
        columns: Number of outermost valid columns at each edge.
    """
    position = np.arange(scan.columns, dtype=float)
    source, mask = scan.projections, scan.mask
    left, right = edge_bins(mask, columns)
    count = np.maximum(np.stack([left.sum(2), right.sum(2)]), 1)
    value = np.stack([(source * side).sum(2) for side in (left, right)]) / count
    where = np.stack([(position * side).sum(2) for side in (left, right)]) / count
    slope = (value[1] - value[0]) / np.maximum(where[1] - where[0], 1)
    air = value[0][..., None] + slope[..., None] * (position - where[0][..., None])
    return scan.with_projections(np.where(mask, source - air, 0).astype(np.float32), mask)
