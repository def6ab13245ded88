"""Preprocessing of raw data to line integrals: logarithm, and masks of bins that hold no measurement.

:func:`to_scan` comes first, then :func:`pfitre_jax.data.roll.correct_roll`, then selections of views and
rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from pfitre_jax.data.checks import check_content, check_finite
from pfitre_jax.data.defects import DefectStatistics
from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.roll import apply_roll
from pfitre_jax.data.row_source import ArrayRows
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.selection import format_ranges

#: A run of zeros at a detector edge is padding if it covers at most this fraction of the columns.
PADDING_FRACTION = 0.05
#: Smallest number of views in which a dead column can be detected.
DEAD_COLUMN_VIEWS = 3
#: Counts within this share of the beam from the flat frame are air.
AIR_TOLERANCE = 0.1
#: Largest number of stuck pixels that a warning names.
NAMED_PIXELS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class DetectorMask:
    """Bins of a raw scan that hold no measurement, detected from all of its rows together.

    Attributes:
        padding: (views, columns) bool, see :func:`padding_mask`.
        dead: (columns,) bool, see :func:`dead_columns`.
        blank: (views, rows) bool, rows of views without signal, see
            :meth:`pfitre_jax.data.defects.DefectStatistics.blank`.
        stuck: (rows, columns) bool, pixels with one value in all views, see
            :func:`pfitre_jax.data.defective_pixels.stuck_pixels`.
        saturation: Integer at and above which counts are saturated, or None.
        wrapped_below: Integer below which values exceeded the range of their type and wrapped, or None.
        zingers: (n, 3), view, row and column of single bins, see
            :func:`pfitre_jax.data.defective_pixels.find_zingers`.
        stuck_bins: (n, 3), the same of pixels that are stuck in a part of the views, see
            :func:`pfitre_jax.data.defective_pixels.stuck_in_part`.
    """

    padding: np.ndarray
    dead: np.ndarray
    blank: np.ndarray
    stuck: np.ndarray
    saturation: int | None = None
    wrapped_below: float | None = None
    zingers: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 3), int))
    stuck_bins: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 3), int))

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> DetectorMask:
        """Mask of a raw scan (views, rows, columns) without such bins."""
        views, rows, columns = shape
        return cls(
            padding=np.zeros((views, columns), bool),
            dead=np.zeros(columns, bool),
            blank=np.zeros((views, rows), bool),
            stuck=np.zeros((rows, columns), bool),
        )

    @classmethod
    def detect(cls, raw: RawScan, blocks: Iterable[slice]) -> DetectorMask:
        """Mask of a raw scan, which is read in ``blocks`` of neighbouring rows."""
        views, _, columns = raw.projections.shape
        statistics = DefectStatistics.empty(raw)
        filled = np.zeros((views, columns), bool)
        low, high = np.full(columns, np.inf), np.full(columns, -np.inf)
        for rows in blocks:
            part = raw.load(rows)
            block = part.array
            filled |= np.any(np.not_equal(block, 0), axis=1)
            statistics.add(part, rows.start)
            # A stuck pixel does not make a column of air one that varies.
            kept = ~statistics.stuck[rows]
            low = np.fmin(low, np.where(kept, np.fmin.reduce(block, axis=0), np.inf).min(axis=0))
            high = np.fmax(high, np.where(kept, np.fmax.reduce(block, axis=0), -np.inf).max(axis=0))
        blank = statistics.blank()
        dead = _dead(low < high, views)
        if raw.flat is not None and raw.dark is not None and dead.any():
            # Air that coarse integers make constant.
            dead &= ~np.all(np.abs(low - raw.flat) <= AIR_TOLERANCE * np.abs(raw.flat - raw.dark), axis=0)
        return cls(
            _padding(filled & np.logical_not(blank.all(axis=1, keepdims=True))),
            dead,
            blank,
            statistics.stuck,
            statistics.saturation(),
            statistics.wrapped_below(),
            *(np.reshape(bins, (-1, 3)).astype(int) for bins in (statistics.zingers, statistics.stuck_bins)),
        )

    def invalid(self, rows: slice) -> np.ndarray:
        """(views, n, columns) bool, True for a bin of these rows that holds no measurement by its place."""
        by_view = (self.padding | self.dead)[:, None, :] | self.blank[:, rows, None]
        invalid = by_view | self.stuck[None, rows, :]
        for bins in (self.zingers, self.stuck_bins):
            view, row, column = bins[(bins[:, 1] >= rows.start) & (bins[:, 1] < rows.stop)].T
            invalid[view, row - rows.start, column] = True
        return invalid

    def out_of_range(self, values: np.ndarray) -> np.ndarray:
        """Whether raw values (...) are saturated or wrapped, bool."""
        invalid = np.zeros(values.shape, bool)
        if self.saturation is not None:
            invalid |= values >= self.saturation
        if self.wrapped_below is not None:
            invalid |= values < self.wrapped_below
        return invalid

    def warnings(self) -> list[str]:
        """What was left out for these reasons, one sentence each; whole views are not named."""
        messages = []
        partly = self.blank & ~self.blank.all(axis=1, keepdims=True)
        if partly.any():
            views, rows = np.flatnonzero(partly.any(axis=1)), np.flatnonzero(partly.any(axis=0))
            messages.append(
                f"rows {format_ranges(rows)} of views {format_ranges(views)} hold one constant value, as if "
                "they had not been written; they were left out"
            )
        if self.dead.any():
            messages.append(
                f"detector columns {format_ranges(np.flatnonzero(self.dead))} hold one value in all views "
                "and rows; they were left out"
            )
        stuck = self._named(np.argwhere(self.stuck & ~self.dead))
        if stuck:
            messages.append(
                f"detector pixels (row, column) {stuck} hold one value in all views; they were left out"
            )
        zingers = self._named(self.zingers)
        if zingers:
            messages.append(
                f"bins (view, row, column) {zingers} are zingers, far beyond the bins around them; they were "
                "left out"
            )
        partly = np.unique(self.stuck_bins[:, 1:], axis=0)
        if len(partly):
            messages.append(
                f"detector pixels (row, column) {self._named(partly)} hold one value in many successive "
                "views; these bins were left out"
            )
        if self.saturation is not None:
            messages.append(
                f"values of {self.saturation} or more are saturated; these bins were left out: check the "
                "exposure"
            )
        if self.wrapped_below is not None:
            messages.append(
                f"values below {self.wrapped_below:.0f} exceeded the range of their type and wrapped; these "
                "bins were left out: store counts in a wider type"
            )
        return messages

    @staticmethod
    def _named(places: np.ndarray) -> str:
        """The first places (n, axes) in words; empty if there is none."""
        named = ", ".join(str(tuple(place)) for place in places[:NAMED_PIXELS].tolist())
        more = len(places) - NAMED_PIXELS
        return f"{named}, and {more} more" if more > 0 else named


def to_scan(
    raw: RawScan,
    *,
    center: float | None = None,
    pixel_size: float | None = None,
    mask_nan: bool = False,
    roll_deg: float = 0.0,
) -> Scan:
    """Scan in memory with the line integrals of ``raw`` and their mask, see :func:`line_integrals`.

    Args:
        raw: The raw scan, in memory.
        center: Detector index of the rotation axis; None for the one that the file states, which is then
            recorded in ``provenance["center"]``.
        pixel_size: Length of a detector bin, micrometres; None for the one that the file states.
        mask_nan: Whether bins that are NaN or infinite are masked instead of refused.
        roll_deg: Roll that is corrected together with the alignment that the file states, degrees.

    Raises:
        ValueError: As :meth:`pfitre_jax.data.scan.Scan.create`.
    """
    detector_mask = DetectorMask.detect(raw, [slice(0, raw.projections.shape[1])])
    projections, mask = line_integrals(raw, detector_mask, mask_nan)
    if raw.transforms is not None or roll_deg:
        projections, mask = apply_roll(projections, mask, roll_deg, transforms=raw.transforms)
    check_content(bool(mask.any()), bool(projections.any()))
    center, provenance = center_and_provenance(raw, center)
    return Scan.from_source(
        ArrayRows(projections, mask),
        raw.theta_rad,
        center=center,
        roll_deg=roll_deg,
        pixel_size=raw.pixel_size if pixel_size is None else pixel_size,
        provenance=provenance,
        warnings=(*raw.warnings, *detector_mask.warnings()),
    )


def leave_out_blank_views(scan: Scan) -> Scan:
    """The scan without views that have no valid bin, which a warning names.

    A view that was never written, or that saw neither beam nor sample, does not count as measured: the
    missing wedge, the weights of filtered backprojection and held-out views are those of the other views.
    """
    source = scan.source
    measured = (
        source.mask.any(axis=(1, 2)) if isinstance(source, ArrayRows) else source.overview.valid.any(axis=1)
    )
    if measured.all() or not measured.any():
        return scan
    blank = format_ranges(scan.view_numbers[~measured])
    return scan.take_views(np.flatnonzero(measured)).with_warnings(
        f"views {blank} have no measured bin (never written, beam off, blocked, or repetitions of the view "
        f"before); they were left out, and {int(measured.sum())} views are used"
    )


def center_and_provenance(raw: RawScan, center: float | None) -> tuple[float | None, dict[str, str]]:
    """The centre of the argument, else that of the file, and the provenance with its origin."""
    if center is not None or raw.center is None:
        return center, dict(raw.provenance)
    return raw.center, {**raw.provenance, "center": f"{raw.center:g}, from the file"}


def line_integrals(
    raw: RawScan, detector_mask: DetectorMask, mask_nan: bool = False, row0: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Line integrals of ``raw`` and which of them are valid.

    Masked are: counts at or below the dark, a flat at or below the dark or saturated, a transmission at or
    below 0, the bins of ``detector_mask``, and with ``mask_nan`` values that are NaN or infinite.

    Args:
        raw: Rows of a raw scan, in memory.
        detector_mask: Bins without a measurement, from all rows of the scan.
        mask_nan: Whether bins that are NaN or infinite are masked instead of refused.
        row0: First row of ``raw`` in the whole scan, for messages.

    Returns:
        Line integrals (views, rows, columns) float32, 0 where invalid, and their mask, bool.

    Raises:
        ValueError: If a value outside blank views is NaN or infinite and ``mask_nan`` is False.
    """
    p = raw.array
    rows = slice(row0, row0 + p.shape[1])
    written = np.broadcast_to(~detector_mask.blank[:, rows, None], p.shape)
    finite = check_finite(p, written, mask_nan, row0)
    values, valid = minus_log(raw)
    mask = finite & valid & ~detector_mask.invalid(rows) & ~detector_mask.out_of_range(p)
    if raw.flat is not None:
        mask &= ~detector_mask.out_of_range(raw.flat)
    return np.where(mask, values, 0).astype(np.float32), mask


def minus_log(raw: RawScan) -> tuple[np.ndarray, np.ndarray]:
    """Line integrals (views, rows, columns) and where they exist.

    counts: ``-log((p - dark) / (m (flat - dark)))``, with the monitor ``m`` of the view; transmission:
    ``-log(p)``; absorption: ``p``.
    """
    p = raw.array
    if raw.kind == "absorption":
        return p, np.ones(p.shape, bool)
    if raw.flat is not None and raw.dark is not None:
        beam = raw.flat - raw.dark
        signal = p - raw.dark
        valid = (signal > 0) & (beam > 0)
    else:
        beam, signal = np.ones(p.shape[1:]), p
        valid = signal > 0
    if raw.monitor is not None:
        intensity = raw.monitor[:, None, None]
        valid = valid & (intensity > 0)
        beam = intensity * beam
    ratio = np.divide(signal, beam, out=np.ones(p.shape), where=valid)
    return -np.log(ratio), valid


def padding_mask(projections: np.ndarray) -> np.ndarray:
    """Bins with which a view was padded after it had been shifted, (views, rows, columns) bool.

    Padding is a run of columns of one view, from a detector edge inwards, that are exactly 0 in all rows, at
    most :data:`PADDING_FRACTION` of the columns long. (A longer run is the empty border of a scan without
    noise.) A shift pads one side: if more than half of the views end in zeros on both sides, the zeros are
    air and nothing is padding.
    """
    padded = _padding(np.any(projections != 0, axis=1))
    return np.broadcast_to(padded[:, None, :], projections.shape)


def _padding(filled: np.ndarray) -> np.ndarray:
    """Padded bins (views, columns) from whether any row is not 0 there."""
    columns = filled.shape[1]
    index = np.arange(columns)
    left = np.argmax(filled, axis=1)[:, None]
    right = np.argmax(filled[:, ::-1], axis=1)[:, None]
    longest = PADDING_FRACTION * columns
    has_signal = filled.any(axis=1, keepdims=True)
    if np.sum(has_signal & (left > 0) & (right > 0)) > np.sum(has_signal) / 2:
        return np.zeros(filled.shape, bool)
    pad = ((index < left) & (left <= longest)) | ((index >= columns - right) & (right <= longest))
    return pad & has_signal


def dead_columns(projections: np.ndarray) -> np.ndarray:
    """Detector columns that hold one constant value in all views and rows, (columns,) bool.

    Only columns between others that vary are dead: a constant border is air. Nothing is detected in a scan of
    fewer than :data:`DEAD_COLUMN_VIEWS` views.
    """
    return _dead(np.any(projections != projections[:1, :1], axis=(0, 1)), len(projections))


def _dead(varies: np.ndarray, views: int) -> np.ndarray:
    """Dead columns (columns,) from whether any bin of a column differs from the first."""
    index = np.flatnonzero(varies)
    if views < DEAD_COLUMN_VIEWS or index.size == 0:
        return np.zeros(varies.shape, bool)
    inside = (np.arange(varies.size) > index[0]) & (np.arange(varies.size) < index[-1])
    return inside & ~varies
