"""Motion of the views: shifts, gain and offset of each view, roll and centre, and their correction.

Bin ``(i, k)`` (row, column) of view ``v`` in the frame of the geometry lies in the raw frame at::

    raw = R(roll) ((i, k) - middle) + middle + (row_shifts[v], shifts[v])
    measured[v](raw) = gain[v] * ideal[v](i, k) + offset[v]

``R`` is the rotation of :func:`pfitre_jax.data.roll.apply_roll`. ``shifts`` has the sign of
:class:`pfitre_jax.geometry.ParallelGeometry`: a positive shift displaces the view to larger columns.
"""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from pfitre_jax.data.readers.file_checks import check_file
from pfitre_jax.data.roll import INVALID_WEIGHT, roll_matrix
from pfitre_jax.data.scan import Scan

#: Columns of the file of :meth:`Motion.save`; roll and centre are the same in each line.
_COLUMNS = (
    *("view", "theta_deg", "shift_columns", "shift_rows", "gain", "offset"),
    *("roll_deg", "center"),
)

#: Further column of a file, if the element is known; it is the same in each line.
_ELEMENT = "element"

#: Angles that differ by less are the same, degrees; a file holds nine digits.
SAME_ANGLE_DEG = 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """Displacement, gain and offset of each view, and the rotation axis they refer to.

    Attributes:
        theta_rad: (views,), angles of the views, radians.
        shifts: (views,), displacement along the columns, bins.
        row_shifts: (views,), displacement along the rows, bins.
        gain: (views,), factors of the line integrals, positive.
        offset: (views,), offsets of the line integrals, in their unit.
        roll_deg: In-plane roll of the rotation axis, degrees.
        center: Detector index of the rotation axis at the middle row.
        element: Element that gains and offsets were estimated from, None if it is unknown or the scan has a
            single channel.
    """

    theta_rad: np.ndarray
    shifts: np.ndarray
    row_shifts: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    roll_deg: float
    center: float
    element: str | None = None

    @classmethod
    def none(cls, theta_rad: ArrayLike, center: float, roll_deg: float = 0.0) -> Motion:
        """Returns a motion without shifts, gains and offsets.

        Args:
            theta_rad: (views,), radians.
            center: Detector index of the rotation axis.
            roll_deg: Roll of the rotation axis, degrees.
        """
        theta = np.asarray(theta_rad, float)
        zero = np.zeros(theta.size)
        return cls(theta, zero, zero, np.ones(theta.size), zero, float(roll_deg), float(center))

    @property
    def views(self) -> int:
        """Number of views."""
        return len(self.shifts)

    def take_views(self, indices: np.ndarray | slice) -> Motion:
        """The motion of only the views with these indices."""
        names = ("theta_rad", "shifts", "row_shifts", "gain", "offset")
        return dataclasses.replace(self, **{name: getattr(self, name)[indices] for name in names})

    def without_gain(self) -> Motion:
        """The same displacements, roll and centre, without gains and offsets."""
        still = Motion.none(self.theta_rad, self.center, self.roll_deg)
        return dataclasses.replace(self, gain=still.gain, offset=still.offset, element=None)

    def of_element(self, element: str | None) -> tuple[Motion, tuple[str, ...]]:
        """The motion for a scan of an element, and a note if its gains and offsets were left out.

        Gains and offsets belong to the element that they were estimated from: an offset has its units, and
        self-absorption depends on the element.

        Args:
            element: Name of the element; None for a scan with a single channel.
        """
        if self.element == element or not ((self.gain != 1).any() or self.offset.any()):
            return self, ()
        own, other = self.element or "an unknown element", element or "an unknown element"
        note = (
            f"the gains and offsets of the alignment were left out, because they are those of {own} and the "
            f"scan is that of {other}"
        )
        return self.without_gain(), (note,)

    def correct(self, projections: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Transforms measured projections into the frame of the geometry.

        Each view is interpolated once, by cubic splines, after its invalid bins have been filled along the
        columns. A bin is valid if all four bins around its position are.

        Args:
            projections: (views, rows, columns), measured line integrals.
            mask: (views, rows, columns), True for a valid bin.

        Returns:
            Corrected projections, 0 where invalid, and their mask.
        """
        corrected = np.zeros(projections.shape, np.float32)
        corrected_mask = np.zeros(projections.shape, bool)
        for v in range(self.views):
            matrix, start = self._to_raw(v, projections.shape[1:])
            values, valid = _resample(projections[v], mask[v], matrix, start)
            corrected_mask[v] = valid
            corrected[v] = np.where(valid, (values - self.offset[v]) / self.gain[v], 0)
        return corrected, corrected_mask

    def undo(self, ideal: np.ndarray, known: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Transforms predicted projections into the raw frame of the detector.

        Args:
            ideal: (views, rows, columns), predicted line integrals in the frame of the geometry.
            known: (views, rows, columns), True for a bin that was predicted; None if all were.

        Returns:
            Projections in the raw frame, 0 where unknown, and which bins are known.
        """
        known = np.ones(ideal.shape, bool) if known is None else known
        raw = np.zeros(ideal.shape, np.float32)
        raw_known = np.zeros(ideal.shape, bool)
        for v in range(self.views):
            matrix, start = self._to_raw(v, ideal.shape[1:])
            # The inverse of a rotation is its transpose.
            values, raw_known[v] = _resample(ideal[v], known[v], matrix.T, -matrix.T @ start)
            raw[v] = np.where(raw_known[v], self.gain[v] * values + self.offset[v], 0)
        return raw, raw_known

    def corrected(self, scan: Scan) -> Scan:
        """Corrects a whole scan; its centre becomes that of the motion.

        Raises:
            ValueError: If the views differ from those of the motion, rows were selected, or no valid bin is
                left.
        """
        self.check_views(scan.theta_rad)
        if scan.rows != scan.raw_rows:
            raise ValueError("rows were selected; expected the whole scan: align before selecting rows")
        scan = scan.load()
        projections, mask = self.correct(scan.projections, scan.mask)
        if not mask.any():
            raise ValueError(
                "the alignment leaves no valid bin of the scan; expected the alignment of this scan"
            )
        corrected = scan.with_projections(projections, mask, roll_deg=scan.roll_deg + self.roll_deg)
        return corrected.with_center(self.center)

    def check_views(self, theta_rad: np.ndarray) -> None:
        """Checks that the motion is that of views at these angles.

        Args:
            theta_rad: (views,), radians.

        Raises:
            ValueError: If their number or one of their angles differs.
        """
        expected = "expected the alignment of this scan with the same views excluded"
        if self.views != len(theta_rad):
            raise ValueError(
                f"the alignment has {self.views} views, the scan has {len(theta_rad)}; {expected}"
            )
        difference = np.rad2deg(np.abs(np.asarray(theta_rad) - self.theta_rad))
        if (difference > SAME_ANGLE_DEG).any():
            view = int(np.argmax(difference > SAME_ANGLE_DEG))
            raise ValueError(
                f"the alignment has view {view} at {np.rad2deg(self.theta_rad[view]):g} degrees, the scan at "
                f"{np.rad2deg(theta_rad[view]):g}; {expected}"
            )

    def _to_raw(self, view: int, shape: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """``(matrix, start)``: bin ``b`` of the ideal frame lies at ``matrix @ b + start`` of the raw one."""
        matrix = roll_matrix(self.roll_deg)
        middle = (np.array(shape) - 1) / 2
        return matrix, middle - matrix @ middle + [self.row_shifts[view], self.shifts[view]]

    def save(self, path: str | os.PathLike) -> None:
        """Writes a CSV file with one line for each view."""
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            known = [] if self.element is None else [self.element]
            writer.writerow([*_COLUMNS, *[_ELEMENT] * len(known)])
            for v, theta in enumerate(np.rad2deg(self.theta_rad)):
                values = (a[v] for a in (self.shifts, self.row_shifts, self.gain, self.offset))
                numbers = (f"{x:.9g}" for x in (theta, *values, self.roll_deg, self.center))
                writer.writerow([v, *numbers, *known])

    @classmethod
    def load(cls, path: str | os.PathLike) -> Motion:
        """Reads a file of :meth:`save`.

        Raises:
            OSError: If the file does not exist or cannot be opened.
            ValueError: If it is not such a file.
        """
        path = check_file(path, "the alignment.csv of pfitre recon --align")
        expected = (
            f"expected the alignment.csv of pfitre recon --align, with the columns {', '.join(_COLUMNS)}"
        )
        try:
            with path.open(newline="", encoding="utf-8") as file:
                lines = list(csv.DictReader(file))
            table = {name: np.array([float(line[name]) for line in lines]) for name in _COLUMNS}
        except (KeyError, TypeError, ValueError, csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not an alignment ({error}); {expected}") from error
        finite = all(np.isfinite(column).all() for column in table.values())
        same = all(np.ptp(table[name]) == 0 for name in ("roll_deg", "center")) if lines else False
        if not lines or not finite or not same or (table["gain"] <= 0).any():
            raise ValueError(
                f"{path} has no lines, values that are not finite, gains that are not positive, or more than "
                f"one roll or centre; {expected}"
            )
        elements = {line.get(_ELEMENT) for line in lines}
        if len(elements) > 1:
            raise ValueError(f"{path} has more than one element ({sorted(map(str, elements))}); {expected}")
        return cls(
            np.deg2rad(table["theta_deg"]),
            table["shift_columns"],
            table["shift_rows"],
            table["gain"],
            table["offset"],
            float(table["roll_deg"][0]),
            float(table["center"][0]),
            elements.pop() or None,
        )


def _resample(
    image: np.ndarray, valid: np.ndarray, matrix: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolates an image (rows, columns) at ``matrix @ (i, k) + start`` by cubic splines.

    Returns:
        The interpolated image, and where it is valid.
    """
    positions = dict(matrix=matrix, offset=start)
    invalid = ndimage.affine_transform((~valid).astype(np.float32), order=1, cval=1.0, **positions)
    values = ndimage.affine_transform(_fill_invalid(image, valid), order=3, mode="nearest", **positions)
    return values, invalid < INVALID_WEIGHT


def _fill_invalid(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Fills invalid bins by interpolation along their row, and rows without a valid bin from the nearest."""
    if valid.all() or not valid.any():
        return np.asarray(image, np.float32)
    filled, columns = np.array(image, np.float32), np.arange(image.shape[1])
    rows = np.flatnonzero(valid.any(axis=1))
    for i in rows[~valid[rows].all(axis=1)]:
        known = columns[valid[i]]
        filled[i] = np.interp(columns, known, filled[i, known])
    nearest = rows[np.argmin(np.abs(np.arange(len(filled))[:, None] - rows), axis=1)]
    return filled[nearest]
