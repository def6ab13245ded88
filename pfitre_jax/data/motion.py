"""How each view was displaced against the geometry, and projections with that mended.

Bin ``(i, k)`` (row, column) of view ``v`` in the frame of the geometry, and its place in the raw one::

    raw = R(roll) ((i, k) - middle) + middle + (row_shifts[v], shifts[v])
    measured[v](raw) = gain[v] * ideal[v](i, k) + offset[v]

``R`` is the turn of :func:`pfitre_jax.data.preprocess.apply_roll`; ``shifts`` has the sign of
:class:`pfitre_jax.geometry.ParallelGeometry`: the view lies further along the columns by so much.
"""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
from scipy import ndimage

from pfitre_jax.data.readers.file_checks import check_file
from pfitre_jax.data.roll import roll_matrix
from pfitre_jax.data.scan import Scan

#: Columns of the file of :meth:`Motion.save`; roll and centre are those of the scan, the same in each line.
_COLUMNS = (
    *("view", "theta_deg", "shift_columns", "shift_rows", "gain", "offset"),
    *("roll_deg", "center"),
)

#: Angles that differ by less are the same, degrees: a file has nine digits.
SAME_DEG = 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """theta_rad: (views,), the angles that the views were measured at
    shifts, row_shifts: (views,), bins, along the columns and along the rows
    gain: (views,), more than 0; offset: (views,), in the units of the line integrals
    roll_deg: of the rotation axis, degrees; center: detector index of the axis at the middle row
    """

    theta_rad: np.ndarray
    shifts: np.ndarray
    row_shifts: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    roll_deg: float
    center: float

    @classmethod
    def none(cls, theta_rad, center: float, roll_deg: float = 0.0) -> Motion:
        """Of views where they should be."""
        theta = np.asarray(theta_rad, float)
        zero = np.zeros(theta.size)
        return cls(theta, zero, zero, np.ones(theta.size), zero, float(roll_deg), float(center))

    @property
    def views(self) -> int:
        """Number of views."""
        return len(self.shifts)

    def correct(self, projections, mask) -> tuple[np.ndarray, np.ndarray]:
        """Measured projections (views, rows, columns) in the frame of the geometry, and which bins are valid.

        One interpolation by cubic splines, between invalid bins that were filled along the columns; a bin is
        valid where all four about it are. Invalid bins are 0.
        """
        out = np.zeros(projections.shape, np.float32)
        good = np.zeros(projections.shape, bool)
        for v in range(self.views):
            matrix, start = self._to_raw(v, projections.shape[1:])
            values, valid = _resampled(projections[v], mask[v], matrix, start)
            good[v] = valid
            out[v] = np.where(valid, (values - self.offset[v]) / self.gain[v], 0)
        return out, good

    def undo(self, ideal, known=None) -> tuple[np.ndarray, np.ndarray]:
        """Predicted projections (views, rows, columns) as the detector sees them, and which bins are known.

        known: (views, rows, columns), bins of ``ideal`` that were predicted, default all
        """
        known = np.ones(ideal.shape, bool) if known is None else known
        out = np.zeros(ideal.shape, np.float32)
        good = np.zeros(ideal.shape, bool)
        for v in range(self.views):
            matrix, start = self._to_raw(v, ideal.shape[1:])
            # A turn's inverse is its transpose.
            values, good[v] = _resampled(ideal[v], known[v], matrix.T, -matrix.T @ start)
            out[v] = np.where(good[v], self.gain[v] * values + self.offset[v], 0)
        return out, good

    def corrected(self, scan: Scan) -> Scan:
        """``scan`` with all its rows, as it would be without the motion; its centre is the motion's.

        ``ValueError`` where the views are others, rows were selected, or no valid bin is left.
        """
        self.check_views(scan.theta_rad)
        if scan.rows != scan.raw_rows:
            raise ValueError("rows were selected; expected the whole scan: align before selecting rows")
        projections, mask = self.correct(scan.projections, scan.mask)
        if not mask.any():
            raise ValueError(
                "no valid bin is left of the scan once it is aligned; is it the right alignment?"
            )
        moved = scan.with_projections(projections, mask, roll_deg=scan.roll_deg + self.roll_deg)
        return moved.with_center(self.center)

    def check_views(self, theta_rad) -> None:
        """``ValueError`` for other views, by their number or their angles (views,)."""
        expected = "expected the alignment of this scan with the same views left out"
        if self.views != len(theta_rad):
            raise ValueError(
                f"the alignment is of {self.views} views, the scan has {len(theta_rad)}; {expected}"
            )
        off = np.rad2deg(np.abs(np.asarray(theta_rad) - self.theta_rad))
        if (off > SAME_DEG).any():
            view = int(np.argmax(off > SAME_DEG))
            raise ValueError(
                f"the alignment has view {view} at {np.rad2deg(self.theta_rad[view]):g} degrees, the scan at "
                f"{np.rad2deg(theta_rad[view]):g}; {expected}"
            )

    def _to_raw(self, view: int, shape) -> tuple[np.ndarray, np.ndarray]:
        """``(matrix, start)``: bin ``b`` of the ideal frame lies at ``matrix @ b + start`` of the raw one."""
        matrix = roll_matrix(self.roll_deg)
        middle = (np.array(shape) - 1) / 2
        return matrix, middle - matrix @ middle + [self.row_shifts[view], self.shifts[view]]

    def save(self, path) -> None:
        """Write a CSV file with a line for each view."""
        with Path(path).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            for v, theta in enumerate(np.rad2deg(self.theta_rad)):
                own = (a[v] for a in (self.shifts, self.row_shifts, self.gain, self.offset))
                writer.writerow([v, *(f"{x:.9g}" for x in (theta, *own, self.roll_deg, self.center))])

    @classmethod
    def load(cls, path) -> Motion:
        """Read what :meth:`save` wrote; ``ValueError`` with the cause for anything else."""
        path = check_file(path, "the alignment.csv of pfitre recon --align")
        expected = (
            f"expected the alignment.csv of pfitre recon --align, with the columns {', '.join(_COLUMNS)}"
        )
        try:
            with path.open(newline="") as file:
                lines = list(csv.DictReader(file))
            table = {name: np.array([float(line[name]) for line in lines]) for name in _COLUMNS}
        except (KeyError, TypeError, ValueError, csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no alignment ({error}); {expected}") from error
        finite = all(np.isfinite(column).all() for column in table.values())
        same = all(np.ptp(table[name]) == 0 for name in ("roll_deg", "center")) if lines else False
        if not lines or not finite or not same or (table["gain"] <= 0).any():
            raise ValueError(
                f"{path} has no lines, values that are not finite, gains that are not positive, or more than "
                f"one roll or centre; {expected}"
            )
        return cls(
            np.deg2rad(table["theta_deg"]),
            table["shift_columns"],
            table["shift_rows"],
            table["gain"],
            table["offset"],
            float(table["roll_deg"][0]),
            float(table["center"][0]),
        )


def _resampled(image, valid, matrix, start) -> tuple[np.ndarray, np.ndarray]:
    """An image (rows, columns) at ``matrix @ (i, k) + start`` by cubic splines, and where it is known."""
    bins = dict(matrix=matrix, offset=start)
    unknown = ndimage.affine_transform((~valid).astype(np.float32), order=1, cval=1.0, **bins)
    values = ndimage.affine_transform(_filled(image, valid), order=3, mode="nearest", **bins)
    return values, unknown < 1e-4


def _filled(image, valid) -> np.ndarray:
    """``image`` with invalid bins from their neighbours in the row, and rows without any from the nearest."""
    if valid.all() or not valid.any():
        return np.asarray(image, np.float32)
    out, columns = np.array(image, np.float32), np.arange(image.shape[1])
    some = np.flatnonzero(valid.any(axis=1))
    for i in some[~valid[some].all(axis=1)]:
        there = columns[valid[i]]
        out[i] = np.interp(columns, there, out[i, there])
    nearest = some[np.argmin(np.abs(np.arange(len(out))[:, None] - some), axis=1)]
    return out[nearest]
