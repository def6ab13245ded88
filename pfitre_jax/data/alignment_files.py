"""Files of an alignment: ``alignment.csv`` of this package, ``.xf`` of IMOD and ``.aln`` of AreTomo.

The table holds a :class:`pfitre_jax.data.motion.Motion` completely. The other two hold a transform of each
view, without gain and offset. Columns are x and rows are y, both counted from the first bin in the file. With
the middle ``m = ((columns - 1)/2, (rows - 1)/2)`` of the view, a point ``p`` of the measured view moves to::

    p' = A (p - m) + m + D,    A = [[cos, sin], [-sin, cos]] of the roll,    D = -A T

in the aligned view, whose rotation axis is the middle column. A line of an ``.xf`` file is
``A11 A12 A21 A22 DX DY``; a line of an ``.aln`` file has the roll as ROT and ``T`` as TX and TY, in bins.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Protocol

import numpy as np

from pfitre_jax.data.motion import Motion
from pfitre_jax.data.readers.file_checks import check_file
from pfitre_jax.data.readers.tilt_alignment import AretomoAlignment, read_aln, read_xf
from pfitre_jax.data.roll import roll_matrix
from pfitre_jax.data.selection import format_ranges
from pfitre_jax.data.view_transforms import ViewTransforms
from pfitre_jax.runtime.file_mark import MARK

#: Largest displacement of a bin by the part of a transform that is no common rotation, bins.
SAME_ROTATION_BINS = 0.1

#: Largest difference between a tilt angle that AreTomo refined and the angle of the view, degrees.
SAME_TILT_DEG = 5.0

_EXPECTED = "the alignment.csv of pfitre recon --align, an .xf file of IMOD or an .aln file of AreTomo"
_ALN_HEADER = b"# AreTomo Alignment"


class AlignmentFile(Protocol):
    """An alignment that was read from a file."""

    def motion(self, theta_rad: np.ndarray, columns: int) -> Motion:
        """The motion of the views of a scan.

        Args:
            theta_rad: (views,), angles of the views, radians.
            columns: Number of detector columns.

        Raises:
            ValueError: It is the alignment of other views.
        """
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class MotionTable(AlignmentFile):
    """A file ``alignment.csv``.

    Attributes:
        stored: Its content.
    """

    stored: Motion

    def motion(self, theta_rad: np.ndarray, columns: int) -> Motion:
        """The motion in the file."""
        self.stored.check_views(theta_rad)
        return self.stored


@dataclasses.dataclass(frozen=True, eq=False)
class TransformsFile(AlignmentFile):
    """An ``.xf`` or ``.aln`` file.

    Attributes:
        path: The file.
        transforms: Transforms of the views.
    """

    path: Path
    transforms: ViewTransforms

    def motion(self, theta_rad: np.ndarray, columns: int) -> Motion:
        """The motion that the transforms describe, without gains and offsets.

        The mean of the shifts along the columns becomes the centre, which is the same alignment and keeps
        most bins inside the field of view.

        Raises:
            ValueError: The number of views differs, or the transforms are no common rotation with shifts.
        """
        matrix, shift = self.transforms.matrix, self.transforms.shift
        if len(matrix) != len(theta_rad):
            raise ValueError(
                f"{self.path} has {len(matrix)} views, the scan has {len(theta_rad)}; expected the alignment "
                "of this scan with the same views excluded"
            )
        cos, sin = np.mean(matrix[:, 0, 0] + matrix[:, 1, 1]), np.mean(matrix[:, 0, 1] - matrix[:, 1, 0])
        roll_deg = float(np.rad2deg(np.arctan2(sin, cos)))
        other = np.linalg.norm(matrix - roll_matrix(roll_deg), axis=(1, 2)) * columns / 2
        if other.max() > SAME_ROTATION_BINS or abs(roll_deg) >= 90:
            view = int(np.argmax(other))
            raise ValueError(
                f"{self.path} transforms view {view} by the matrix {np.round(matrix[view], 4).tolist()}; "
                "expected one rotation by less than 90 degrees for all views, without magnification: align "
                "with one rotation and fixed magnification, or apply the file to the views first (newstack)"
            )
        middle, rotation = (columns - 1) / 2, roll_matrix(roll_deg)
        offset = float(np.mean(shift[:, 1]) / rotation[1, 1])
        shift = shift - rotation @ np.array([0.0, offset])
        # The transforms of a file have no angles of their own: they are those of the views of the scan.
        still = Motion.none(theta_rad, middle + offset, roll_deg)
        return dataclasses.replace(still, shifts=shift[:, 1], row_shifts=shift[:, 0])


@dataclasses.dataclass(frozen=True, eq=False)
class AretomoFile(AlignmentFile):
    """An ``.aln`` file, whose lines state the view they belong to.

    Attributes:
        path: The file.
        content: Its content, in the order of the stored views.
    """

    path: Path
    content: AretomoAlignment

    def motion(self, theta_rad: np.ndarray, columns: int) -> Motion:
        """The motion that the transforms describe, see :meth:`TransformsFile.motion`.

        Raises:
            ValueError: A view of the scan is not aligned, a tilt angle is not that of the view, or the
                transforms are no common rotation with shifts.
        """
        content, views = self.content, len(theta_rad)
        dark = sorted(set(range(content.stored)) - set(content.sections.tolist()))
        if dark and views == content.stored:
            raise ValueError(
                f"{self.path} does not align the dark views {format_ranges(dark)} (from 0); expected a scan "
                "with the same views excluded"
            )
        if views == len(content.tilt_deg):
            difference = np.abs(content.tilt_deg - np.rad2deg(theta_rad))
            view = int(np.argmax(difference))
            if difference[view] > SAME_TILT_DEG:
                raise ValueError(
                    f"{self.path} has view {view} of the scan at {content.tilt_deg[view]:g} degrees, the "
                    f"scan at {np.rad2deg(theta_rad[view]):g}; expected angles that differ by less than "
                    f"{SAME_TILT_DEG:g} degrees: use the alignment of this scan, with the column TILT as "
                    "angles if AreTomo corrected the tilt"
                )
        return TransformsFile(self.path, content.transforms).motion(theta_rad, columns)


def read_alignment(path: str | os.PathLike) -> AlignmentFile:
    """Reads an alignment; its content decides the format, or for ``.xf`` its name.

    Raises:
        OSError: If the file does not exist or cannot be opened.
        ValueError: If it is no alignment.
    """
    path = check_file(path, _EXPECTED)
    with path.open("rb") as file:
        head = file.read(64)
    if head.lstrip().startswith(_ALN_HEADER) or path.suffix.lower() == ".aln":
        return AretomoFile(path, read_aln(path).in_stored_order())
    if path.suffix.lower() in (".xf", ".prexf", ".prexg", ".xg"):
        return TransformsFile(path, read_xf(path))
    return MotionTable(Motion.load(path))


def view_transforms(motion: Motion, columns: int) -> ViewTransforms:
    """The transforms of a motion to views whose rotation axis is the middle column.

    Args:
        motion: The motion; its gains and offsets are left out.
        columns: Number of detector columns.
    """
    matrix = roll_matrix(motion.roll_deg)
    shift = np.stack([motion.row_shifts, motion.shifts], axis=1)
    shift = shift + matrix @ np.array([0.0, motion.center - (columns - 1) / 2])
    return ViewTransforms(np.broadcast_to(matrix, (motion.views, 2, 2)), shift)


def write_xf(path: str | os.PathLike, motion: Motion, columns: int) -> None:
    """Writes an ``.xf`` file of IMOD.

    Args:
        path: The file.
        motion: The motion; its gains and offsets are left out.
        columns: Number of detector columns.
    """
    transforms = view_transforms(motion, columns)
    lines = []
    for matrix, shift in zip(transforms.matrix, transforms.shift, strict=True):
        # (row, column) becomes (x, y), and the inverse of a rotation is its transpose.
        forward = matrix[::-1, ::-1].T
        dx, dy = -forward @ shift[::-1]
        lines.append("".join(f"{value:12.7f}" for value in forward.ravel()) + f"{dx:14.5f}{dy:14.5f}\n")
    Path(path).write_text("".join(lines), encoding="utf-8")


def write_aln(path: str | os.PathLike, motion: Motion, rows: int, columns: int) -> None:
    """Writes the global alignment of an ``.aln`` file of AreTomo.

    Args:
        path: The file.
        motion: The motion; its gains and offsets are left out.
        rows: Number of detector rows.
        columns: Number of detector columns.
    """
    lines = [
        "# AreTomo Alignment / Priims bprmMn\n",
        f"# RawSize = {columns} {rows} {motion.views}\n",
        "# NumPatches = 0\n",
        f"# Software = {MARK}\n",
        "# SEC     ROT         GMAG       TX          TY      SMEAN     SFIT    SCALE     BASE     TILT\n",
    ]
    shifts = view_transforms(motion, columns).shift
    for view, (theta_deg, (ty, tx)) in enumerate(zip(np.rad2deg(motion.theta_rad), shifts, strict=True), 1):
        lines.append(
            f"{view:5d}{motion.roll_deg:12.6f}{1:11.5f}{tx:14.5f}{ty:14.5f}"
            f"{1:8.2f}{1:8.2f}{1:8.2f}{0:8.2f}{theta_deg:12.4f}\n"
        )
    Path(path).write_text("".join(lines), encoding="utf-8")
