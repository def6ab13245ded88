"""Summary of the line integrals of a scan, collected a few rows at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from pfitre_jax.data.lazy_scan import BLOCK_BYTES
from pfitre_jax.data.scan import Scan


@dataclasses.dataclass(frozen=True, eq=False)
class ContentSummary:
    """Range, defects and one view of a scan.

    Attributes:
        low: Smallest line integral of a valid bin.
        high: Largest line integral of a valid bin.
        median: Median of the valid bins of the rows that are in memory.
        negative_share: ``sum max(-p, 0) / sum |p|`` of the valid bins; noise in the air, which is
            negative in half of its bins, hardly counts.
        invalid: (views,), number of invalid bins.
        frame: (rows, columns), line integrals of the view in the middle; NaN where invalid.
    """

    low: float
    high: float
    median: float
    negative_share: float
    invalid: np.ndarray
    frame: np.ndarray

    @classmethod
    def collect(
        cls, scan: Scan, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> ContentSummary:
        """Summary of all rows of a scan with a valid bin, which are read once.

        Args:
            scan: The scan, in memory or in a file.
            progress: Called with the number of rows read and the number of rows.
        """
        count = max(BLOCK_BYTES // (4 * scan.views * scan.columns), 1)
        frame = np.full((scan.rows, scan.columns), np.nan, np.float32)
        invalid = np.zeros(scan.views, int)
        low, high, negative, total = np.inf, -np.inf, 0.0, 0.0
        for start in range(0, scan.rows, count):
            rows = slice(start, min(start + count, scan.rows))
            projections, mask = scan.source.read(rows)
            values = projections[mask]
            if values.size:
                low, high = min(low, float(values.min())), max(high, float(values.max()))
            total += float(np.sum(np.abs(values), dtype=float))
            negative -= float(np.sum(np.minimum(values, 0), dtype=float))
            invalid += np.sum(~mask, axis=(1, 2))
            view = scan.views // 2
            frame[rows] = np.where(mask[view], projections[view], np.nan)
            progress(rows.stop, scan.rows)
        sample = scan.sample()
        valid = sample.projections[sample.mask]
        median = float(np.median(valid)) if valid.size else low
        return cls(low, high, median, negative / total if total else 0.0, invalid, frame)
