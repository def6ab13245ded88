"""Overview of a scan: signal at the detector's edges and sums over the rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

#: Number of outermost valid columns that form an edge.
EDGE_COLUMNS = 4
#: Number of second differences, evenly spread over a row, that the noise is estimated from.
TRIPLES = 64
#: A bin of a row shows the sample only if its signal exceeds this fraction of the row's range in the view.
SIGNAL_FRACTION = 0.01
#: The signal must also exceed the largest value expected from noise alone by this many standard deviations.
SIGNAL_ERRORS = 1.0
#: ``median |n|`` of a standard normal ``n``.
_MAD = 0.6745


@dataclasses.dataclass(frozen=True, eq=False)
class Overview:
    """Statistics of all rows of a scan, from which air, truncated views and the sample support are estimated.

    They are collected for some rows at a time and then joined. The axis with two elements is left and right.

    Attributes:
        bins: (views, rows, 2, EDGE_COLUMNS), line integrals of the outermost valid bins, the outermost first;
            NaN where the row has fewer.
        start: (views, rows, 2), distance of the outermost valid bin from the detector's edge, bins.
        peak: (views, rows), largest mean of :data:`EDGE_COLUMNS` neighbouring bins.
        trough: (views, rows), smallest such mean.
        second: (views, rows), median of ``|y[k-1] - 2 y[k] + y[k+1]|`` along the columns; NaN without three
            neighbouring valid bins.
        signal: (views, columns), sum of the line integrals over the rows.
        valid: (views, columns), number of valid bins over the rows.
        excess: (views, columns), largest value of any row of the mean over a bin and its two neighbours, less
            the threshold of that row: ``max(0.01 h, sigma (sqrt(2 ln n) + 1) / sqrt 3)``, with ``h`` the
            difference between the largest and the smallest such mean of the row in the view, ``sigma`` the
            noise of a bin of the row, and ``n`` the number of bins of the view in all rows. The largest of
            ``n`` values of noise is about ``sigma sqrt(2 ln n)``. -inf where no bin is valid.
    """

    bins: np.ndarray
    start: np.ndarray
    peak: np.ndarray
    trough: np.ndarray
    second: np.ndarray
    signal: np.ndarray
    valid: np.ndarray
    excess: np.ndarray

    @classmethod
    def from_rows(cls, projections: np.ndarray, mask: np.ndarray, scan_rows: int | None = None) -> Overview:
        """Overview of some rows of a scan.

        Args:
            projections: (views, rows, columns), line integrals.
            mask: (views, rows, columns), True for a valid bin.
            scan_rows: Number of rows of the scan; by default those of ``projections``.
        """
        sides = (projections, mask), (projections[..., ::-1], mask[..., ::-1])
        bins = np.stack([_outermost_bins(*side) for side in sides], axis=2)
        second = _second_differences(projections, mask)
        count = max((scan_rows or projections.shape[1]) * projections.shape[2], 2)
        # A mean of three bins has the noise of a bin over sqrt 3.
        factor = (np.sqrt(2 * np.log(count)) + SIGNAL_ERRORS) / np.sqrt(3)
        noise = [_noise(bins[:, row], second[:, row]) for row in range(projections.shape[1])]
        return cls(
            bins=bins,
            start=np.stack([np.argmax(valid, axis=2) for _, valid in sides], axis=-1),
            peak=smoothed_peak(projections),
            trough=-smoothed_peak(-projections),
            second=second,
            signal=projections.sum(axis=1),
            valid=mask.sum(axis=1),
            excess=_excess(projections, mask, factor * np.array(noise)),
        )

    @classmethod
    def join(cls, parts: Sequence[Overview]) -> Overview:
        """Overview of the rows of all ``parts``, in their order."""
        bins, start, peak, trough, second = (
            np.concatenate([getattr(part, name) for part in parts], axis=1)
            for name in ("bins", "start", "peak", "trough", "second")
        )
        signal, valid = (sum(getattr(part, name) for part in parts) for name in ("signal", "valid"))
        excess = np.max([part.excess for part in parts], axis=0)
        return cls(bins, start, peak, trough, second, signal, valid, excess)

    def take_views(self, indices: np.ndarray | slice) -> Overview:
        """Overview of the views with these indices."""
        return Overview(*(getattr(self, field.name)[indices] for field in dataclasses.fields(self)))

    def subtract(self, level: float) -> Overview:
        """Overview of the same rows after ``level`` is subtracted from every valid bin."""
        return dataclasses.replace(
            self,
            bins=self.bins - level,
            peak=self.peak - level,
            trough=self.trough - level,
            signal=self.signal - level * self.valid,
            excess=self.excess - level,
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
        return _noise(self.bins, self.second)


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


def _noise(bins: np.ndarray, second: np.ndarray) -> float:
    """Standard deviation of the noise in a bin, see :attr:`Overview.noise`, from some of its rows."""
    medians = [
        np.median(values[np.isfinite(values)])
        for values in (np.abs(np.diff(bins, n=2, axis=-1)), second)
        if np.isfinite(values).any()
    ]
    return float(min(medians, default=0.0) / (_MAD * 6**0.5))


def _excess(projections: np.ndarray, mask: np.ndarray, least: np.ndarray) -> np.ndarray:
    """:attr:`Overview.excess` (views, columns) of rows whose threshold is at least ``least (rows,)``."""
    excess = np.full((len(mask), mask.shape[-1]), -np.inf, np.float32)
    # Row by row, so that the temporary arrays stay small.
    for row in range(mask.shape[1]):
        valid = np.pad(mask[:, row], ((0, 0), (1, 1))).astype(np.float32)
        values = valid * np.pad(projections[:, row], ((0, 0), (1, 1)))
        total, count = (a[:, :-2] + a[:, 1:-1] + a[:, 2:] for a in (values, valid))
        mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
        present = count > 0
        highest = np.max(mean, axis=1, where=present, initial=-np.inf, keepdims=True)
        lowest = np.min(mean, axis=1, where=present, initial=np.inf, keepdims=True)
        threshold = np.maximum(SIGNAL_FRACTION * (highest - lowest), np.float32(least[row]))
        np.maximum(excess, np.where(present, mean - threshold, -np.inf), out=excess)
    return excess


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
