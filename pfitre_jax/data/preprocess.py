"""From what a file held to line integrals that can be trusted: logarithm, masks, roll.

Order: :func:`to_scan` (flat, dark, logarithm; padding, dead columns and impossible counts masked), then
:func:`correct_roll`, then selections of views and rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.scan import Scan, check_finite

#: A run of zeros at a detector edge is padding if it covers at most this part of the columns.
PADDING_FRACTION = 0.05
#: A view runs out of the field of view if its edge signal exceeds this part of its maximum.
TRUNCATION_FRACTION = 0.025
#: Outermost valid columns that make up an edge.
EDGE_COLUMNS = 4
#: An object reaches the edge if the outermost of these columns carries this part of their mean.
EDGE_REACH = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Survey:
    """Of the bins of a raw scan, which hold nothing measured, as only all its rows together tell.

    padding: (views, columns), see :func:`padding`; dead: (columns,), see :func:`dead_columns`
    """

    padding: np.ndarray
    dead: np.ndarray

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray]) -> Survey:
        """Of all rows, some (views, n, columns) at a time."""
        filled = varies = first = None
        for block in blocks:
            first = block[:1, :1] if first is None else first
            seen, differs = np.any(block != 0, axis=1), np.any(block != first, axis=(0, 1))
            filled = seen if filled is None else filled | seen
            varies = differs if varies is None else varies | differs
        return cls(_padded(filled), _dead(varies, len(filled)))


def to_scan(
    raw: RawScan,
    *,
    center: float | None = None,
    pixel_size: float | None = None,
    mask_nan: bool = False,
) -> Scan:
    """Line integrals of ``raw``, in memory, with their mask, see :func:`line_integrals`.

    center: detector index of the rotation axis; default what the file says, and then
        ``provenance["center"]`` tells so
    """
    projections, mask = line_integrals(raw, Survey.of([raw.projections]), mask_nan)
    center, provenance = known_center(raw, center)
    return Scan.create(
        projections, raw.theta_rad, mask=mask, center=center, pixel_size=pixel_size, provenance=provenance
    )


def known_center(raw: RawScan, center: float | None) -> tuple[float | None, dict[str, str]]:
    """The centre asked for, else the file's, and the provenance that says so."""
    if center is not None or raw.center is None:
        return center, dict(raw.provenance)
    return raw.center, {**raw.provenance, "center": f"{raw.center:g}, from the file"}


def line_integrals(
    raw: RawScan, survey: Survey, mask_nan: bool = False, row0: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Line integrals (views, rows, columns) float32 of ``raw``, 0 where not valid, and which are.

    Masked: counts at or below the dark, flat at or below the dark, transmission at or below 0, what
    ``survey`` says of the whole scan, and with ``mask_nan`` what is NaN or infinite.

    row0: of the whole scan, that is row 0 of ``raw``
    """
    finite = check_finite(raw.projections, mask_nan=mask_nan, row0=row0)
    values, valid = minus_log(raw)
    mask = finite & valid & ~(survey.padding | survey.dead)[:, None, :]
    return np.where(mask, values, 0).astype(np.float32), mask


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
    padded = _padded(np.any(projections != 0, axis=1))
    return np.broadcast_to(padded[:, None, :], projections.shape)


def _padded(filled: np.ndarray) -> np.ndarray:
    # Of the bins (views, columns), those filled up, by whether any row is not zero there.
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
    """True for the detector columns ``(columns,)`` that answer nothing: one value in all views and rows.

    Only between columns that do vary: a constant border is air. A scan of fewer than three views cannot tell.
    """
    return _dead(np.any(projections != projections[:1, :1], axis=(0, 1)), len(projections))


def _dead(varies: np.ndarray, views: int) -> np.ndarray:
    index = np.flatnonzero(varies)
    if views < 3 or index.size == 0:
        return np.zeros(varies.shape, bool)
    inside = (np.arange(varies.size) > index[0]) & (np.arange(varies.size) < index[-1])
    return inside & ~varies


@dataclasses.dataclass(frozen=True, eq=False)
class Overview:
    """What of a scan's rows the choice of the support needs; of some rows at a time, then put together.

    edge, last: (views, rows, 2), left and right: mean of the outermost :data:`EDGE_COLUMNS` valid bins, and
        the outermost one
    start: (views, rows, 2), its distance from the detector's edge; present: whether there is a valid bin
    signal, valid: (views, columns), sums over the rows of the line integrals, and of the valid bins
    drifts: whether the beam may have changed since the flat was taken
    """

    edge: np.ndarray
    last: np.ndarray
    start: np.ndarray
    present: np.ndarray
    signal: np.ndarray
    valid: np.ndarray
    drifts: bool

    @classmethod
    def of(cls, scan: Scan) -> Overview:
        starts = np.argmax(scan.mask, axis=2), np.argmax(scan.mask[..., ::-1], axis=2)
        edges, outermost = _edges(scan.mask, EDGE_COLUMNS), _edges(scan.mask, 1)
        mean = lambda side: np.sum(scan.projections * side, axis=2) / np.maximum(side.sum(axis=2), 1)  # noqa: E731
        return cls(
            np.stack([mean(side) for side in edges], axis=-1),
            np.stack([np.sum(scan.projections * side, axis=2) for side in outermost], axis=-1),
            np.stack(starts, axis=-1),
            np.stack([side.any(axis=2) for side in edges], axis=-1),
            scan.projections.sum(axis=1),
            scan.mask.sum(axis=1),
            scan.provenance.get("data") in ("counts", "transmission"),
        )

    @classmethod
    def together(cls, parts: Sequence[Overview]) -> Overview:
        """Of the rows of all ``parts``, in their order."""
        edge, last, start, present = (
            np.concatenate([getattr(part, name) for part in parts], axis=1)
            for name in ("edge", "last", "start", "present")
        )
        signal, valid = (sum(getattr(part, name) for part in parts) for name in ("signal", "valid"))
        return cls(edge, last, start, present, signal, valid, parts[0].drifts)

    @property
    def profile(self) -> np.ndarray:
        """(views, columns), mean over the valid bins of the rows."""
        return self.signal / np.maximum(self.valid, 1)

    @property
    def blind(self) -> np.ndarray:
        """Indices of the rows without any valid bin."""
        return np.flatnonzero(~self.present.any(axis=(0, 2)))


def edge_signal(scan: Scan | Overview) -> np.ndarray:
    """Signal at the detector's edges ``(views, 2)``, left and right, relative to the view's maximum.

    The mean, over the rows, of the :data:`EDGE_COLUMNS` outermost valid bins; 0 where the outermost one has
    less than :data:`EDGE_REACH` of that mean: there the object ends within these bins, inside the detector.
    Rows that a roll's correction cut shorter than others by more than half of those bins are passed over:
    they end inside. Where the data were counts or transmission, a beam that changed since the flat was taken
    leaves an offset in all rows alike: the lowest tenth of the rows at that edge, taken off (up to half the
    view's maximum, in scans of eight rows or more; an object that fills every row equally looks the same).
    """
    seen = Overview.of(scan) if isinstance(scan, Scan) else scan
    views, number = seen.edge.shape[:2]
    drifts = seen.drifts and number >= 8
    peak = np.max(seen.profile, axis=1)
    out = np.zeros((views, 2))
    for side in range(2):
        start, present, rows, last = (a[..., side] for a in (seen.start, seen.present, seen.edge, seen.last))
        for view in range(views):
            if not present[view].any() or peak[view] <= 0:
                continue
            shortest = start[view][present[view]].min()
            used = present[view] & (start[view] <= shortest + EDGE_COLUMNS // 2)
            offset = np.clip(np.quantile(rows[view][used], 0.1), 0, 0.5 * peak[view]) if drifts else 0.0
            signal = rows[view][used].mean() - offset
            if last[view][used].mean() - offset >= EDGE_REACH * signal:
                out[view, side] = signal / (peak[view] - offset)
    return out


def truncated_views(scan: Scan | Overview, fraction: float = TRUNCATION_FRACTION) -> np.ndarray:
    """Views whose object runs out of the field of view: an :func:`edge_signal` above ``fraction``.

    Returns the indices of these views, ascending. They need a support wider than the detector.
    """
    return np.flatnonzero(edge_signal(scan).max(axis=1) > fraction)


def apply_roll(
    projections,
    mask,
    roll_deg: float,
    *,
    rows: slice | None = None,
    row0: int = 0,
    raw_rows: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Each view ``(rows, columns)`` turned by ``+roll_deg`` about the centre of the array, with its mask.

    The sign is that of ``scipy.ndimage.rotate(projections, +roll_deg, axes=(1, 2), order=1, reshape=False)``,
    which mends a scan whose axis is rolled by ``roll_deg``. A bin is valid where every bin it was
    interpolated from is; what comes from outside the frame is not. Invalid bins are 0.

    After it the rotation axis is a column, so the centre is one number for all rows: where the rolled axis
    crossed the middle row (the turn moves it by less than 1e-3 of its offset from the middle for rolls up to
    2.5 degrees).

    projections: (views, rows, columns) float; mask: (views, rows, columns) bool, or None for all valid
    rows: that are wanted, default all; row0, raw_rows: ``projections`` are the rows from ``row0`` on of a
        stack of so many, at least those of :func:`rows_turned`
    """
    projections = np.asarray(projections, np.float32)
    mask = np.ones(projections.shape, bool) if mask is None else np.asarray(mask, bool)
    views, there, columns = projections.shape
    raw_rows = row0 + there if raw_rows is None else raw_rows
    first, last = (row0, row0 + there) if rows is None else (rows.start, rows.stop)
    if roll_deg == 0:
        kept = slice(first - row0, last - row0)
        return np.where(mask[:, kept], projections[:, kept], np.float32(0)), mask[:, kept]
    matrix = roll_matrix(roll_deg)
    middle = np.array([(raw_rows - 1) / 2, (columns - 1) / 2])
    offset = matrix @ (np.array([first, 0]) - middle) + middle - np.array([row0, 0])
    turn = dict(matrix=matrix, offset=offset, output_shape=(last - first, columns), order=1)
    turned = np.zeros((views, last - first, columns), np.float32)
    good = np.zeros(turned.shape, bool)
    for view in range(views):
        image = np.where(mask[view], projections[view], np.float32(0))
        invalid = ndimage.affine_transform((~mask[view]).astype(np.float32), cval=1.0, **turn)
        good[view] = invalid < 1e-4
        turned[view] = np.where(good[view], ndimage.affine_transform(image, cval=0.0, **turn), 0)
    return turned, good


def roll_matrix(roll_deg: float) -> np.ndarray:
    """(2, 2), what carries (row, column) about the middle of the mended view to the raw one."""
    c, s = np.cos(np.deg2rad(roll_deg)), np.sin(np.deg2rad(roll_deg))
    return np.array([[c, s], [-s, c]])


def rows_turned(rows: slice, roll_deg: float, columns: int, raw_rows: int) -> slice:
    """The raw rows that :func:`apply_roll` makes these ``rows`` of."""
    if roll_deg == 0:
        return rows
    middle, (c, s) = (raw_rows - 1) / 2, (np.cos(np.deg2rad(roll_deg)), np.sin(np.deg2rad(roll_deg)))
    reach = abs(s) * (columns - 1) / 2 + 1
    low, high = (c * (row - middle) + middle for row in (rows.start, rows.stop - 1))
    return slice(max(int(np.floor(low - reach)), 0), min(int(np.ceil(high + reach)) + 1, raw_rows))


def undo_roll(
    projections, roll_deg: float, *, row0: int = 0, raw_rows: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Projections of a corrected scan turned back into the raw frame, to be compared with raw views.

    projections: (views, rows, columns), predicted for the rows from ``row0`` of a stack of ``raw_rows`` rows

    Returns ``(views, raw_rows, columns)`` and which bins could be predicted from these rows.
    """
    return apply_roll(*in_raw_rows(projections, row0=row0, raw_rows=raw_rows), -roll_deg)


def in_raw_rows(projections, *, row0: int = 0, raw_rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Projections (views, rows, columns) of rows from ``row0`` as a stack of ``raw_rows``, 0 where there are
    none, and which bins there are."""
    projections = np.asarray(projections, np.float32)
    views, rows, columns = projections.shape
    raw_rows = row0 + rows if raw_rows is None else raw_rows
    full = np.zeros((views, raw_rows, columns), np.float32)
    known = np.zeros(full.shape, bool)
    full[:, row0 : row0 + rows] = projections
    known[:, row0 : row0 + rows] = True
    return full, known


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
