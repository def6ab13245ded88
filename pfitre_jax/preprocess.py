"""From what a file held to line integrals that can be trusted: logarithm, masks, roll.

Order: :func:`to_scan` (flat, dark, logarithm; padding, dead columns and impossible counts masked), then
:func:`correct_roll`, then selections of views and rows.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

from pfitre_jax.io.raw import RawScan
from pfitre_jax.scan import Scan, check_finite

#: A run of zeros at a detector edge is padding if it covers at most this part of the columns.
PADDING_FRACTION = 0.05
#: A view runs out of the field of view if its edge signal exceeds this part of its maximum.
TRUNCATION_FRACTION = 0.025
#: Outermost valid columns that make up an edge.
EDGE_COLUMNS = 4
#: An object reaches the edge if the outermost of these columns carries this part of their mean.
EDGE_REACH = 0.1


def to_scan(
    raw: RawScan, *, center: float | None = None, pixel_size: float | None = None, mask_nan: bool = False
) -> Scan:
    """Line integrals of ``raw`` with their mask.

    Masked: counts at or below the dark, flat at or below the dark, transmission at or below 0, padding
    (:func:`padding`), dead columns (:func:`dead_columns`), and with ``mask_nan`` what is NaN or infinite.

    center: detector index of the rotation axis; default what the file says, and then
        ``provenance["center"]`` tells so
    """
    finite = check_finite(raw.projections, mask_nan=mask_nan)
    line_integrals, valid = minus_log(raw)
    mask = finite & valid & ~padding(raw.projections) & ~dead_columns(raw.projections)[None, None, :]
    provenance = dict(raw.provenance)
    if center is None and raw.center is not None:
        center = raw.center
        provenance["center"] = f"{center:g}, from the file"
    return Scan.create(
        np.where(mask, line_integrals, 0),
        raw.theta_rad,
        mask=mask,
        center=center,
        pixel_size=pixel_size,
        provenance=provenance,
    )


def minus_log(raw: RawScan) -> tuple[np.ndarray, np.ndarray]:
    """Line integrals ``(views, rows, columns)`` and which of them exist.

    counts: ``-log((p - dark) / (flat - dark))``; transmission: ``-log(p)``; absorption: ``p`` as it is
    """
    p = raw.projections
    if raw.kind == "absorption":
        return p, np.ones(p.shape, bool)
    if raw.kind == "counts":
        beam = raw.flat - raw.dark
        signal = p - raw.dark
        valid = (signal > 0) & (beam > 0)
    else:
        beam, signal = np.ones(p.shape[1:]), p
        valid = signal > 0
    ratio = np.divide(signal, beam, out=np.ones(p.shape), where=valid)
    return -np.log(ratio), valid


def padding(projections: np.ndarray) -> np.ndarray:
    """True for the bins ``(views, rows, columns)`` with which a view was filled up after it was shifted.

    In one view: a run of columns, from a detector edge inwards, that are exactly zero in all rows, at most
    :data:`PADDING_FRACTION` of the columns long, and ended by a column that is not. (A longer one is the
    empty border of a scan without noise.) A shift fills one side: in a scan of which more than half the views
    end in zeros on both sides, zeros are air, and nothing is padding.
    """
    filled = np.any(projections != 0, axis=1)
    columns = filled.shape[1]
    index = np.arange(columns)
    left = np.argmax(filled, axis=1)[:, None]
    right = np.argmax(filled[:, ::-1], axis=1)[:, None]
    longest = PADDING_FRACTION * columns
    has_signal = filled.any(axis=1, keepdims=True)
    if np.sum(has_signal & (left > 0) & (right > 0)) > np.sum(has_signal) / 2:
        return np.zeros(projections.shape, bool)
    pad = ((index < left) & (left <= longest)) | ((index >= columns - right) & (right <= longest))
    return np.broadcast_to((pad & has_signal)[:, None, :], projections.shape)


def dead_columns(projections: np.ndarray) -> np.ndarray:
    """True for the detector columns ``(columns,)`` that answer nothing: one value in all views and rows.

    Only between columns that do vary: a constant border is air. A scan of fewer than three views cannot tell.
    """
    if projections.shape[0] < 3:
        return np.zeros(projections.shape[2], bool)
    varies = np.any(projections != projections[:1, :1], axis=(0, 1))
    index = np.flatnonzero(varies)
    if index.size == 0:
        return varies
    inside = (np.arange(varies.size) > index[0]) & (np.arange(varies.size) < index[-1])
    return inside & ~varies


def edge_signal(scan: Scan) -> np.ndarray:
    """Signal at the detector's edges ``(views, 2)``, left and right, relative to the view's maximum.

    The mean, over the rows, of the :data:`EDGE_COLUMNS` outermost valid bins; 0 where the outermost one has
    less than :data:`EDGE_REACH` of that mean: there the object ends within these bins, inside the detector.
    Rows that a roll's correction cut shorter than others by more than half of those bins are passed over:
    they end inside. Where the data were counts or transmission, a beam that changed since the flat was taken
    leaves an offset in all rows alike: the lowest tenth of the rows at that edge, taken off (up to half the
    view's maximum, in scans of eight rows or more; an object that fills every row equally looks the same).
    """
    drifts = scan.provenance.get("data") in ("counts", "transmission") and scan.rows >= 8
    valid = scan.mask.sum(axis=1)
    peak = np.max(scan.projections.sum(axis=1) / np.maximum(valid, 1), axis=1)
    out = np.zeros((scan.views, 2))
    starts = np.argmax(scan.mask, axis=2), np.argmax(scan.mask[..., ::-1], axis=2)
    edges, outermost = _edges(scan.mask, EDGE_COLUMNS), _edges(scan.mask, 1)
    for side, start in enumerate(starts):
        present = edges[side].any(axis=2)
        rows = np.sum(scan.projections * edges[side], axis=2) / np.maximum(edges[side].sum(axis=2), 1)
        last = np.sum(scan.projections * outermost[side], axis=2)
        for view in range(scan.views):
            if not present[view].any() or peak[view] <= 0:
                continue
            shortest = start[view][present[view]].min()
            used = present[view] & (start[view] <= shortest + EDGE_COLUMNS // 2)
            offset = np.clip(np.quantile(rows[view][used], 0.1), 0, 0.5 * peak[view]) if drifts else 0.0
            signal = rows[view][used].mean() - offset
            if last[view][used].mean() - offset >= EDGE_REACH * signal:
                out[view, side] = signal / (peak[view] - offset)
    return out


def truncated_views(scan: Scan, fraction: float = TRUNCATION_FRACTION) -> np.ndarray:
    """Views whose object runs out of the field of view: an :func:`edge_signal` above ``fraction``.

    Returns the indices of these views, ascending. They need a support wider than the detector.
    """
    return np.flatnonzero(edge_signal(scan).max(axis=1) > fraction)


def apply_roll(projections, mask, roll_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Each view ``(rows, columns)`` turned by ``+roll_deg`` about the centre of the array, with its mask.

    The sign is that of ``scipy.ndimage.rotate(projections, +roll_deg, axes=(1, 2), order=1, reshape=False)``,
    which mends a scan whose axis is rolled by ``roll_deg``. A bin is valid where every bin it was
    interpolated from is; what comes from outside the frame is not. Invalid bins are 0.

    After it the rotation axis is a column, so the centre is one number for all rows: where the rolled axis
    crossed the middle row (the turn moves it by less than 1e-3 of its offset from the middle for rolls up to
    2.5 degrees).

    projections: (views, rows, columns) float; mask: (views, rows, columns) bool, or None for all valid
    """
    projections = np.asarray(projections, np.float32)
    mask = np.ones(projections.shape, bool) if mask is None else np.asarray(mask, bool)
    if roll_deg == 0:
        return np.where(mask, projections, np.float32(0)), mask
    turn = dict(angle=roll_deg, axes=(1, 2), order=1, reshape=False, mode="constant")
    turned = ndimage.rotate(np.where(mask, projections, np.float32(0)), cval=0.0, **turn)
    invalid = ndimage.rotate((~mask).astype(np.float32), cval=1.0, **turn)
    mask = invalid < 1e-4
    return np.where(mask, turned, np.float32(0)), mask


def undo_roll(
    projections, roll_deg: float, *, row0: int = 0, raw_rows: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Projections of a corrected scan turned back into the raw frame, to be compared with raw views.

    projections: (views, rows, columns), predicted for the rows from ``row0`` of a stack of ``raw_rows`` rows

    Returns ``(views, raw_rows, columns)`` and which bins could be predicted from these rows.
    """
    projections = np.asarray(projections, np.float32)
    views, rows, columns = projections.shape
    raw_rows = row0 + rows if raw_rows is None else raw_rows
    full = np.zeros((views, raw_rows, columns), np.float32)
    known = np.zeros(full.shape, bool)
    full[:, row0 : row0 + rows] = projections
    known[:, row0 : row0 + rows] = True
    return apply_roll(full, known, -roll_deg)


def correct_roll(scan: Scan, roll_deg: float) -> Scan:
    """The scan with its axis' roll mended by :func:`apply_roll`; before rows are selected.

    ``ValueError`` where rows are missing (a view is turned about its own middle) or no valid bin is left.
    """
    if scan.rows != scan.raw_rows:
        raise ValueError(
            f"the scan holds rows {scan.row0}:{scan.row0 + scan.rows} of {scan.raw_rows}; "
            "correct the roll before selecting rows"
        )
    if not np.isfinite(roll_deg) or abs(scan.roll_deg + roll_deg) >= 90:
        raise ValueError(f"the roll is {roll_deg!r}; expected degrees between -90 and 90")
    projections, mask = apply_roll(scan.projections, scan.mask, roll_deg)
    if not mask.any():
        raise ValueError(
            f"turning {scan.rows} rows by {roll_deg:g} degrees leaves no valid bin; give a smaller --roll"
        )
    return dataclasses.replace(scan, projections=projections, mask=mask, roll_deg=scan.roll_deg + roll_deg)


def subtract_air(scan: Scan, columns: int = EDGE_COLUMNS) -> Scan:
    """The scan with the air beside the object brought to 0, for a beam that changed since the flat.

    In each row of each view the straight line through the means of the ``columns`` outermost valid columns of
    both edges is taken off. Right only where the object stays inside the field of view.
    """
    position = np.arange(scan.columns, dtype=float)
    left, right = _edges(scan.mask, columns)
    count = np.maximum(np.stack([left.sum(2), right.sum(2)]), 1)
    value = np.stack([(scan.projections * side).sum(2) for side in (left, right)]) / count
    where = np.stack([(position * side).sum(2) for side in (left, right)]) / count
    slope = (value[1] - value[0]) / np.maximum(where[1] - where[0], 1)
    air = value[0][..., None] + slope[..., None] * (position - where[0][..., None])
    projections = np.where(scan.mask, scan.projections - air, 0).astype(np.float32)
    return dataclasses.replace(scan, projections=projections)


def _edges(mask, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``columns`` outermost valid bins of each row of each view, on the left and on the right."""
    rank = np.cumsum(mask, axis=2)
    return mask & (rank <= columns), mask & (rank > rank[..., -1:] - columns)
