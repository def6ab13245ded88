"""Bins of a raw scan that hold no measurement: views and rows without signal, and defective pixels.

Detected from the raw numbers of one detector row after the other, so that a scan may be larger than memory.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pfitre_jax.data.checks import as_float32
from pfitre_jax.data.defective_pixels import (
    LEAST_VIEWS,
    find_zingers,
    stuck_in_part,
    stuck_pixels,
    true_runs,
)
from pfitre_jax.data.raw import RawScan
from pfitre_jax.geometry import SAME_VIEW_RAD, Wedge

#: Smallest number of bins that are not zero in the rows, or views, among which one of zeros was not written:
#: by chance, a row of so many single photons is empty in one of 10^7 cases.
LEAST_BINS = 16
#: A view has no signal below this share of the median view. Transmitted beam: only a closed shutter leaves so
#: little. Line integrals: all views of a sample have the same sum.
DARK_SHARE, EMPTY_SHARE = 0.01, 0.05
#: Fewest successive views that repeat the one before them, and the largest share of all views: more often,
#: the sample is round and the data without noise.
LEAST_REPEATED, MOST_REPEATED = 2, 0.5
#: Fewest bins at the largest value of the type that are saturated, and fewest at the largest value of fewer
#: bits; the largest count of a scan is reached once or twice by chance.
SATURATED_BINS, SATURATED_BITS = 3, (10, 12, 14)
SATURATED_BINS_OF_BITS = 10
#: Integers wrap if the lowest one is below this share of the largest one, in at most this share of the bins.
WRAPPED_VALUE, WRAPPED_SHARE = -0.25, 0.05
#: Wrapped are bins below this share of the largest value; other negative ones are noise.
WRAPPED_BELOW = -0.05
#: Columns of a row, evenly spread, from which quantiles are estimated.
QUANTILE_COLUMNS = 64


@dataclasses.dataclass(eq=False)
class DefectStatistics:
    """Statistics of the rows of a raw scan, from which defects are detected. Filled by :meth:`add`.

    Attributes:
        kind: Kind of the data.
        dtype: Type of the stored numbers.
        normal_cosine: (views,), cosine of the angle between the view and the middle of the measured range,
            along which flat samples are thin; 1 for a full scan.
        turned: (views-1,) bool, whether the sample was turned after each view.
        repeats: (views-1,) bool, whether the next view holds the same values.
        low: (views, rows), smallest finite value of each row in each view; NaN without a finite value.
        high: (views, rows), largest finite value.
        level: (views, rows), sum of the finite values, less the dark for counts.
        size: (views, rows), sum of their moduli.
        filled: (views, rows), number of values that are not 0.
        dim: (views, rows), 10% quantile over the columns.
        bright: (views, rows), 90% quantile over the columns.
        stuck: (rows, columns), see :func:`stuck_pixels`.
        zingers: View, row and column of single bins, see :func:`find_zingers`.
        stuck_bins: View, row and column of bins, see :func:`stuck_in_part`.
        at_top: Number of bins at the largest value of the type, and of fewer bits, by this value.
        negative: Number of negative bins.
        bins: Number of bins.
    """

    kind: str
    dtype: np.dtype
    normal_cosine: np.ndarray
    turned: np.ndarray
    repeats: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: np.ndarray
    size: np.ndarray
    filled: np.ndarray
    dim: np.ndarray
    bright: np.ndarray
    stuck: np.ndarray
    at_top: dict[int, int]
    negative: int = 0
    bins: int = 0
    zingers: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)
    stuck_bins: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)

    @classmethod
    def empty(cls, raw: RawScan) -> DefectStatistics:
        """Statistics of no row yet."""
        views, rows, columns = raw.projections.shape
        dtype = raw.projections.dtype
        tops = {}
        if dtype.kind in "iu":
            largest = int(np.iinfo(dtype).max)
            tops = {top: 0 for top in (*(2**bits - 1 for bits in SATURATED_BITS), largest) if top <= largest}
        low, high, level, size, filled, dim, bright = np.zeros((7, views, rows), np.float32)
        stuck = np.zeros((rows, columns), bool)
        wedge = Wedge.from_angles(raw.theta_rad)
        cosine = np.ones(views)
        if wedge.width_rad > 0:
            cosine = np.abs(np.sin(raw.theta_rad - float(wedge.center_rad)))
        turned = np.abs(np.sin(np.diff(raw.theta_rad))) > SAME_VIEW_RAD
        repeats = np.ones(views - 1, bool)
        measures = low, high, level, size, filled, dim, bright
        return cls(raw.kind, dtype, cosine, turned, repeats, *measures, stuck, tops)

    def add(self, raw: RawScan, row0: int) -> None:
        """Adds the rows of ``raw``, which is in memory and begins with row ``row0``."""
        for n in range(raw.array.shape[1]):
            frames = None if raw.dark is None or raw.flat is None else (raw.flat[n], raw.dark[n])
            self._add_row(raw.array[:, n], row0 + n, frames)

    def _add_row(self, values: np.ndarray, row: int, frames: tuple[np.ndarray, np.ndarray] | None) -> None:
        floating = values.dtype.kind == "f"
        # As in a reconstruction, a number beyond float32 is not finite.
        finite = np.isfinite(as_float32(values)) if floating else np.ones(values.shape, bool)
        some = finite.any(axis=1)
        if finite.all():
            low, high = values.min(axis=1), values.max(axis=1)
        else:
            low = np.where(some, np.min(values, axis=1, where=finite, initial=np.inf), np.nan)
            high = np.where(some, np.max(values, axis=1, where=finite, initial=-np.inf), np.nan)
        self.low[:, row], self.high[:, row] = low, high
        # float32 sums of single rows lose nothing that matters to a comparison of their levels.
        signal = np.where(finite, values, 0).astype(np.float32)
        self.filled[:, row] = np.count_nonzero(signal, axis=1)
        self.size[:, row] = np.abs(signal).sum(axis=1)
        if frames is not None:
            flat, dark = (frame.astype(np.float32) for frame in frames)
            signal = np.where(finite & (flat > dark), signal - dark, 0)
        self.level[:, row] = signal.sum(axis=1)
        chosen = np.linspace(0, values.shape[1] - 1, min(values.shape[1], QUANTILE_COLUMNS)).astype(int)
        self.dim[:, row], self.bright[:, row] = np.quantile(
            np.where(finite, values, 0)[:, chosen].astype(np.float32), (0.1, 0.9), axis=1
        )
        with np.errstate(invalid="ignore"):
            self.stuck[row] = stuck_pixels(values, low < high, self.kind != "absorption", frames)
            zingers = find_zingers(values, low, high, self.kind)
        self.zingers += [(view, row, column) for view, column in zingers.tolist()]
        same = values[1:] == values[:-1]
        self.repeats &= same.all(axis=1)
        stuck = stuck_in_part(values, same, self.turned) & ~self.stuck[row]
        self.stuck_bins += [(view, row, column) for view, column in np.argwhere(stuck).tolist()]
        for top in self.at_top:
            if high.max() >= top:
                self.at_top[top] += int(np.count_nonzero(values == top))
        if values.dtype.kind == "i" and low.min() < 0:
            self.negative += int(np.count_nonzero(values < 0))
        self.bins += values.size

    @property
    def varies(self) -> np.ndarray:
        """(views, rows) bool, whether a row of a view holds more than one value."""
        return self.low < self.high

    def blank(self) -> np.ndarray:
        """Rows of views without signal, (views, rows) bool.

        A view is blank if it holds one constant value, or NaN, and others do not; if it and the next one
        repeat the view before them exactly; if hardly any beam is transmitted; if the sum of its line
        integrals is a twentieth of the usual one; or if all its line integrals exceed the largest ones of
        most views. A row of a view is blank if it is constant while it varies in most views that are not
        blank.
        """
        low, high = np.fmin.reduce(self.low, axis=1), np.fmax.reduce(self.high, axis=1)
        filled = self.filled.sum(axis=1)
        constant = ~(low < high)
        views, rows = self.low.shape
        blank = np.zeros(views, bool)
        many = rows * self.stuck.shape[1] >= LEAST_BINS
        if many and np.sum(~constant) >= 2:
            missing = np.isnan(low)
            plausible = np.quantile(filled[~constant], 0.1) >= LEAST_BINS
            blank = constant & (missing | (low != 0) | plausible)
        if np.sum(~constant) >= LEAST_VIEWS:
            blank |= self._without_signal(~constant) | self._repeated(~constant)
        result = np.repeat(blank[:, None], rows, axis=1)
        others = ~blank
        if not others.any() or self.stuck.shape[1] < LEAST_BINS:
            return result
        varies = self.varies
        alive = varies[others].mean(axis=0) > 0.5
        for row in np.flatnonzero(alive & ~varies[others].all(axis=0)):
            typical = np.quantile(self.filled[others & varies[:, row], row], 0.1)
            values = self.low[:, row]
            result[:, row] |= ~varies[:, row] & (np.isnan(values) | (values != 0) | (typical >= LEAST_BINS))
        return result

    def _repeated(self, usual: np.ndarray) -> np.ndarray:
        """Views (views,) that repeat the one before them, as a detector writes that has stopped reading out.

        Noise makes two frames of a detector differ, and a turned sample does, too.
        """
        same = self.repeats & self.turned & usual[1:]
        repeated = np.zeros(usual.shape, bool)
        if np.mean(same) > MOST_REPEATED:
            return repeated
        for run in true_runs(same):
            if run.stop - run.start >= LEAST_REPEATED:
                repeated[run.start + 1 : run.stop + 1] = True
        return repeated

    def _without_signal(self, usual: np.ndarray) -> np.ndarray:
        """Views (views,) that saw neither beam nor sample, by their level; ``usual`` are not constant."""
        level, size = self.level.sum(axis=1), self.size.sum(axis=1)
        median = np.median(level[usual])
        if self.kind != "absorption":
            return usual & (level < DARK_SHARE * median) if median > 0 else np.zeros(usual.shape, bool)
        empty = np.zeros(usual.shape, bool)
        # Data of both signs, such as phase gradients, cancel in the sum, which is then no measure of signal.
        if median > 0.5 * np.median(size[usual]):
            empty = usual & (size < EMPTY_SHARE * median)
        dim, blocked = np.median(self.dim, axis=1), usual
        # The rays through a flat sample become longer with the obliquity of the view.
        for length in (np.ones(usual.shape), 1 / np.maximum(self.normal_cosine, 1e-3)):
            brightest = np.max(np.median(self.bright[usual] / length[usual, None], axis=0))
            blocked = blocked & (brightest > 0) & (dim / length > 1.5 * brightest)
        return empty | blocked

    def saturation(self) -> int | None:
        """The integer at which counts are saturated, or None."""
        highest = np.nanmax(self.high, initial=-np.inf)
        for top, count in self.at_top.items():
            full_range = top == np.iinfo(self.dtype).max
            fewest = SATURATED_BINS if full_range else SATURATED_BINS_OF_BITS
            if highest == top and count >= fewest and (full_range or self.kind == "counts"):
                return top
        return None

    def wrapped_below(self) -> float | None:
        """Value below which bins of 8 or 16 bits exceeded the range of their type and wrapped, or None."""
        if self.dtype.kind != "i" or self.dtype.itemsize > 2 or self.negative == 0:
            return None
        lowest, highest = np.nanmin(self.low), np.nanmax(self.high)
        few = self.negative <= WRAPPED_SHARE * self.bins
        return float(WRAPPED_BELOW * highest) if few and lowest < WRAPPED_VALUE * highest else None
