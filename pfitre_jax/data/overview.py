"""Overview of a scan: signal at the detector's edges and sums over the rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

#: Number of outermost valid columns that form an edge.
EDGE_COLUMNS = 4
#: Number of second differences, evenly spread over a row, that the noise is estimated from.
TRIPLES = 64
#: ``median |n|`` of a standard normal ``n``.
_MAD = 0.6745


@dataclasses.dataclass(frozen=True, eq=False)
class Overview:
    """Statistics of all rows of a scan, from which air, truncated views and the sample support are estimated.

    Collected for some rows at a time and then joined. The axis of two elements of the edge arrays is left,
    right.

    Attributes:
        bins: (views, rows, 2, EDGE_COLUMNS), line integrals of the outermost valid bins, the outermost first;
            NaN where the row has fewer.
        start: (views, rows, 2), distance of the outermost valid bin from the detector's edge, bins.
        peak: (views, rows), largest mean of :data:`EDGE_COLUMNS` neighbouring bins.
        second: (views, rows), median of the second differences' moduli along the columns; NaN where the row
            has none.
        signal: (views, columns), sum of the line integrals over the rows.
        valid: (views, columns), number of valid bins over the rows.
        highest: (views, columns), largest mean over a bin and its two neighbours of any row.
    """

    bins: np.ndarray
    start: np.ndarray
    peak: np.ndarray
    second: np.ndarray
    signal: np.ndarray
    valid: np.ndarray
    highest: np.ndarray

    @classmethod
    def from_rows(cls, projections: np.ndarray, mask: np.ndarray) -> Overview:
        """Overview of line integrals (views, rows, columns) and their mask of valid bins."""
        sides = (projections, mask), (projections[..., ::-1], mask[..., ::-1])
        return cls(
            bins=np.stack([_outermost_bins(*side) for side in sides], axis=2),
            start=np.stack([np.argmax(valid, axis=2) for _, valid in sides], axis=-1),
            peak=smoothed_peak(projections),
            second=_second_differences(projections, mask),
            signal=projections.sum(axis=1),
            valid=mask.sum(axis=1),
            highest=_highest(projections, mask),
        )

    @classmethod
    def join(cls, parts: Sequence[Overview]) -> Overview:
        """Overview of the rows of all ``parts``, in their order."""
        bins, start, peak, second = (
            np.concatenate([getattr(part, name) for part in parts], axis=1)
            for name in ("bins", "start", "peak", "second")
        )
        signal, valid = (sum(getattr(part, name) for part in parts) for name in ("signal", "valid"))
        highest = np.max([part.highest for part in parts], axis=0)
        return cls(bins, start, peak, second, signal, valid, highest)

    def take_views(self, indices: np.ndarray | slice) -> Overview:
        """Overview of the views with these indices."""
        return Overview(*(getattr(self, field.name)[indices] for field in dataclasses.fields(self)))

    def subtract(self, level: float) -> Overview:
        """Overview of the same rows after ``level`` is subtracted from every valid bin."""
        return dataclasses.replace(
            self,
            bins=self.bins - level,
            peak=self.peak - level,
            signal=self.signal - level * self.valid,
            highest=self.highest - level,
        )

    @property
    def present(self) -> np.ndarray:
        """(views, rows, 2), whether the row has a valid bin."""
        return np.isfinite(self.bins[..., 0])

    @property
    def profile(self) -> np.ndarray:
        """(views, columns), mean line integral over the valid bins of the rows."""
        return self.signal / np.maximum(self.valid, 1)

    @property
    def noise(self) -> float:
        """Standard deviation of the noise in a bin at the detector's edges.

        ``median |y[k-1] - 2 y[k] + y[k+1]| / (0.6745 sqrt 6)`` over the outermost bins of all rows, or over
        all bins where that is smaller, because structure counts as noise in both. 0 where there are too few
        bins. As :func:`pfitre_jax.solvers.parameters.noise.noise_from_differences`.
        """
        medians = [
            np.median(values[np.isfinite(values)])
            for values in (np.abs(np.diff(self.bins, n=2, axis=-1)), self.second)
            if np.isfinite(values).any()
        ]
        return float(min(medians, default=0.0) / (_MAD * 6**0.5))


def edge_bins(mask: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the ``columns`` outermost valid bins of each row, at the left and at the right."""
    rank = np.cumsum(mask, axis=2)
    return mask & (rank <= columns), mask & (rank > rank[..., -1:] - columns)


def smoothed_peak(projections: np.ndarray) -> np.ndarray:
    """Largest mean of :data:`EDGE_COLUMNS` neighbouring bins: (..., columns) -> (...).

    It is the reference of an edge's signal and has the same noise; the maximum of single bins has more.
    """
    width = min(EDGE_COLUMNS, projections.shape[-1])
    count = projections.shape[-1] - width + 1
    total = sum(projections[..., k : k + count] for k in range(width))
    return np.max(total, axis=-1) / width


def _highest(projections: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Largest mean of the valid bins among a bin and its neighbours, (views, columns); -inf without one."""
    highest = np.full((len(mask), mask.shape[-1]), -np.inf, np.float32)
    # Row by row, so that the temporary arrays stay small.
    for row in range(mask.shape[1]):
        valid = np.pad(mask[:, row], ((0, 0), (1, 1))).astype(np.float32)
        values = valid * np.pad(projections[:, row], ((0, 0), (1, 1)))
        total, count = (a[:, :-2] + a[:, 1:-1] + a[:, 2:] for a in (values, valid))
        mean = np.divide(total, count, out=np.full_like(total, -np.inf), where=count > 0)
        np.maximum(highest, mean, out=highest)
    return highest


def _second_differences(projections: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Median of ``|y[k-1] - 2 y[k] + y[k+1]|`` of each row, (views, rows), NaN where no triple is valid."""
    last = projections.shape[-1] - 2
    middle = 1 + np.arange(0, last, max(last // TRIPLES, 1))
    if middle.size == 0:
        return np.full(projections.shape[:-1], np.nan)
    second = projections[..., middle - 1] - 2 * projections[..., middle] + projections[..., middle + 1]
    valid = mask[..., middle - 1] & mask[..., middle] & mask[..., middle + 1]
    present = valid.any(axis=-1)
    medians = np.full(present.shape, np.nan)
    medians[present] = np.nanmedian(np.where(valid, np.abs(second), np.nan)[present], axis=-1)
    return medians


def _outermost_bins(projections: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The first valid bins of each row, (views, rows, EDGE_COLUMNS), NaN where there are fewer."""
    remaining, values = mask.copy(), []
    for _ in range(EDGE_COLUMNS):
        first = np.argmax(remaining, axis=2)[..., None]
        found = np.take_along_axis(remaining, first, axis=2)
        values.append(np.where(found, np.take_along_axis(projections, first, axis=2), np.nan)[..., 0])
        np.put_along_axis(remaining, first, False, axis=2)
    return np.stack(values, axis=-1)
