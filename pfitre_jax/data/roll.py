"""In-plane roll of the rotation axis: rotation of the projections into and out of the frame of the axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from pfitre_jax.data.scan import Scan
from pfitre_jax.data.view_transforms import ViewTransforms

#: A rotated bin is valid if the invalid bins around it have at most this weight in its interpolation.
INVALID_WEIGHT = 1e-4


def apply_roll(
    projections: ArrayLike,
    mask: ArrayLike,
    roll_deg: float,
    *,
    rows: slice | None = None,
    row0: int = 0,
    raw_rows: int | None = None,
    transforms: ViewTransforms | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rotates each view by ``+roll_deg`` about the centre of the detector.

    An alignment of the views that the file states is applied in the same interpolation, before the roll.

    The sign is that of ``scipy.ndimage.rotate(projections, +roll_deg, axes=(1, 2), order=1, reshape=False)``,
    which corrects a scan whose axis is rolled by ``roll_deg``. A bin is valid if every bin that it is
    interpolated from is valid; bins outside the detector are not. Invalid bins are 0.

    The rotation axis is then a column, so that one centre holds for all rows: the column at which the rolled
    axis crossed the middle row. (The rotation moves it by less than 1e-3 of its distance from the middle for
    rolls up to 2.5 degrees.)

    Args:
        projections: (views, n, columns), rows ``row0`` to ``row0 + n`` of the stack; at least
            :func:`raw_rows_for` the wanted rows.
        mask: (views, n, columns), True for a valid bin; None if all are valid.
        roll_deg: Roll, degrees.
        rows: Wanted rows of the stack; None for those of ``projections``.
        row0: First row of ``projections`` in the stack.
        raw_rows: Number of rows of the stack; None for ``row0 + n``.
        transforms: Alignment of the views, or None.

    Returns:
        Rotated projections and their mask, (views, rows, columns).
    """
    projections = np.asarray(projections, np.float32)
    mask = np.ones(projections.shape, bool) if mask is None else np.asarray(mask, bool)
    views, available, columns = projections.shape
    raw_rows = row0 + available if raw_rows is None else raw_rows
    first, last = (row0, row0 + available) if rows is None else (rows.start, rows.stop)
    if roll_deg == 0 and transforms is None:
        kept = slice(first - row0, last - row0)
        return np.where(mask[:, kept], projections[:, kept], np.float32(0)), mask[:, kept]
    middle = np.array([(raw_rows - 1) / 2, (columns - 1) / 2])
    rotated = np.zeros((views, last - first, columns), np.float32)
    valid = np.zeros(rotated.shape, bool)
    for view in range(views):
        matrix, shift = _to_stored(roll_deg, transforms, view)
        offset = matrix @ (np.array([first, 0]) - middle) + middle + shift - np.array([row0, 0])
        options = dict(matrix=matrix, offset=offset, output_shape=(last - first, columns), order=1)
        image = np.where(mask[view], projections[view], np.float32(0))
        invalid = ndimage.affine_transform((~mask[view]).astype(np.float32), cval=1.0, **options)
        valid[view] = invalid < INVALID_WEIGHT
        rotated[view] = np.where(valid[view], ndimage.affine_transform(image, cval=0.0, **options), 0)
    return rotated, valid


def roll_matrix(roll_deg: float) -> np.ndarray:
    """Matrix (2, 2) that maps (row, column) about the middle of the corrected view to the raw view."""
    c, s = np.cos(np.deg2rad(roll_deg)), np.sin(np.deg2rad(roll_deg))
    return np.array([[c, s], [-s, c]])


def _to_stored(
    roll_deg: float, transforms: ViewTransforms | None, view: int
) -> tuple[np.ndarray, np.ndarray]:
    """``(matrix, shift)``: position of a bin of the corrected view in the stored one, about the middle."""
    roll = roll_matrix(roll_deg)
    return (
        (roll, np.zeros(2))
        if transforms is None
        else (transforms.matrix[view] @ roll, transforms.shift[view])
    )


def raw_rows_for(
    rows: slice, roll_deg: float, columns: int, raw_rows: int, transforms: ViewTransforms | None = None
) -> slice:
    """The raw rows from which :func:`apply_roll` interpolates the corrected ``rows``.

    Args:
        rows: Corrected rows, with both ends.
        roll_deg: Roll, degrees.
        columns: Number of detector columns.
        raw_rows: Number of rows of the raw stack.
        transforms: Alignment of the views, or None.
    """
    if transforms is not None:
        corners = [(row, column) for row in (rows.start, rows.stop - 1) for column in (0, columns - 1)]
        middle_bin = np.array([(raw_rows - 1) / 2, (columns - 1) / 2])
        to_stored = (_to_stored(roll_deg, transforms, view) for view in range(len(transforms)))
        stored = [(matrix @ (np.array(corners) - middle_bin).T)[0] + shift[0] for matrix, shift in to_stored]
        first, last = np.clip([np.min(stored), np.max(stored)] + middle_bin[0], 0, raw_rows - 1)
        return slice(max(int(first) - 1, 0), min(int(last) + 3, raw_rows))
    if roll_deg == 0:
        return rows
    middle, (c, s) = (raw_rows - 1) / 2, (np.cos(np.deg2rad(roll_deg)), np.sin(np.deg2rad(roll_deg)))
    reach = abs(s) * (columns - 1) / 2 + 1
    low, high = (c * (row - middle) + middle for row in (rows.start, rows.stop - 1))
    return slice(max(int(np.floor(low - reach)), 0), min(int(np.ceil(high + reach)) + 1, raw_rows))


def undo_roll(
    projections: ArrayLike, roll_deg: float, *, row0: int = 0, raw_rows: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rotates projections of a corrected scan back into the raw frame, for comparison with raw views.

    Args:
        projections: (views, rows, columns), predicted for the rows from ``row0``.
        roll_deg: Roll that was corrected, degrees.
        row0: First row of ``projections`` in the stack.
        raw_rows: Number of rows of the stack; None for ``row0`` plus the rows of ``projections``.

    Returns:
        Projections (views, raw_rows, columns), and which bins can be predicted from these rows.
    """
    return apply_roll(*embed_rows(projections, row0=row0, raw_rows=raw_rows), -roll_deg)


def embed_rows(
    projections: ArrayLike, *, row0: int = 0, raw_rows: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Embeds rows in a stack of ``raw_rows`` rows that is 0 elsewhere.

    Args:
        projections: (views, rows, columns).
        row0: First row of ``projections`` in the stack.
        raw_rows: Number of rows of the stack; None for ``row0`` plus the rows of ``projections``.

    Returns:
        Projections (views, raw_rows, columns), and which bins are embedded.
    """
    projections = np.asarray(projections, np.float32)
    views, rows, columns = projections.shape
    raw_rows = row0 + rows if raw_rows is None else raw_rows
    full = np.zeros((views, raw_rows, columns), np.float32)
    known = np.zeros(full.shape, bool)
    full[:, row0 : row0 + rows] = projections
    known[:, row0 : row0 + rows] = True
    return full, known


def correct_roll(scan: Scan, roll_deg: float) -> Scan:
    """Corrects the roll of the rotation axis with :func:`apply_roll`, before rows are selected.

    Args:
        scan: The whole scan.
        roll_deg: Roll to correct, in addition to one that was corrected before, degrees.

    Raises:
        ValueError: If rows are missing (a view is rotated about its own middle), the roll is 90 degrees or
            more, or no valid bin is left.
    """
    if scan.rows != scan.raw_rows:
        raise ValueError(
            f"the scan holds rows {scan.row0}:{scan.row0 + scan.rows} of {scan.raw_rows}; "
            "correct the roll before selecting rows"
        )
    if not np.isfinite(roll_deg) or abs(scan.roll_deg + roll_deg) >= 90:
        raise ValueError(f"the roll is {roll_deg!r}; expected degrees between -90 and 90")
    scan = scan.load()
    projections, mask = apply_roll(scan.projections, scan.mask, roll_deg)
    if not mask.any():
        raise ValueError(
            f"rotating {scan.rows} rows by {roll_deg:g} degrees leaves no valid bin; use a smaller roll"
        )
    return scan.with_projections(projections, mask, roll_deg=scan.roll_deg + roll_deg)
