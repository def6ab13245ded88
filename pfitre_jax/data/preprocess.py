"""Preprocessing of raw data to line integrals: logarithm, and masks of bins that hold no measurement.

:func:`to_scan` comes first, then :func:`pfitre_jax.data.roll.correct_roll`, then selections of views and
rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from pfitre_jax.data.checks import check_content, check_finite
from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.row_source import ArrayRows
from pfitre_jax.data.scan import Scan

#: A run of zeros at a detector edge is padding if it covers at most this fraction of the columns.
PADDING_FRACTION = 0.05
#: Smallest number of views in which a dead column can be detected.
DEAD_COLUMN_VIEWS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class DetectorMask:
    """Bins of a raw scan that hold no measurement, detected from all of its rows together.

    Attributes:
        padding: (views, columns) bool, see :func:`padding_mask`.
        dead: (columns,) bool, see :func:`dead_columns`.
    """

    padding: np.ndarray
    dead: np.ndarray

    @classmethod
    def from_blocks(cls, blocks: Iterable[np.ndarray]) -> DetectorMask:
        """Mask from all rows of a raw scan, in blocks (views, n, columns)."""
        remaining = iter(blocks)
        block = next(remaining)
        first = block[:1, :1]
        filled, varies = np.any(block != 0, axis=1), np.any(block != first, axis=(0, 1))
        for block in remaining:
            filled = filled | np.any(block != 0, axis=1)
            varies = varies | np.any(block != first, axis=(0, 1))
        return cls(_padding(filled), _dead(varies, len(filled)))

    @property
    def invalid(self) -> np.ndarray:
        """(views, columns) bool, True for a bin that holds no measurement in any row."""
        return self.padding | self.dead


def to_scan(
    raw: RawScan,
    *,
    center: float | None = None,
    pixel_size: float | None = None,
    mask_nan: bool = False,
) -> Scan:
    """Scan in memory with the line integrals of ``raw`` and their mask, see :func:`line_integrals`.

    Args:
        raw: The raw scan, in memory.
        center: Detector index of the rotation axis; None for the one that the file states, which is then
            recorded in ``provenance["center"]``.
        pixel_size: Length of a detector bin, micrometres.
        mask_nan: Whether bins that are NaN or infinite are masked instead of refused.

    Raises:
        ValueError: As :meth:`pfitre_jax.data.scan.Scan.create`.
    """
    projections, mask = line_integrals(raw, DetectorMask.from_blocks([raw.array]), mask_nan)
    check_content(bool(mask.any()), bool(projections.any()))
    center, provenance = center_and_provenance(raw, center)
    return Scan.from_source(
        ArrayRows(projections, mask),
        raw.theta_rad,
        center=center,
        pixel_size=pixel_size,
        provenance=provenance,
        warnings=raw.warnings,
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

    Masked are: counts at or below the dark, a flat at or below the dark, a transmission at or below 0, the
    bins of ``detector_mask``, and with ``mask_nan`` values that are NaN or infinite.

    Args:
        raw: Rows of a raw scan, in memory.
        detector_mask: Bins without a measurement, from all rows of the scan.
        mask_nan: Whether bins that are NaN or infinite are masked instead of refused.
        row0: First row of ``raw`` in the whole scan, for messages.

    Returns:
        Line integrals (views, rows, columns) float32, 0 where invalid, and their mask, bool.

    Raises:
        ValueError: If a value is NaN or infinite and ``mask_nan`` is False.
    """
    finite = check_finite(raw.array, mask_nan=mask_nan, row0=row0)
    values, valid = minus_log(raw)
    mask = finite & valid & ~detector_mask.invalid[:, None, :]
    return np.where(mask, values, 0).astype(np.float32), mask


def minus_log(raw: RawScan) -> tuple[np.ndarray, np.ndarray]:
    """Line integrals (views, rows, columns) and where they exist.

    counts: ``-log((p - dark) / (flat - dark))``; transmission: ``-log(p)``; absorption: ``p``.
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
