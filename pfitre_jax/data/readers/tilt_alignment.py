"""Alignments of tilt series: ``.xf`` files of IMOD and ``.aln`` files of AreTomo.

A line ``A11 A12 A21 A22 DX DY`` of an ``.xf`` file maps a stored view to the aligned one, about the middle::

    x' = A11 x + A12 y + DX,    y' = A21 x + A22 y + DY

A line of an ``.aln`` file holds the section, the angle ROT of the tilt axis and the shift (TX, TY) of a view;
in the terms above ``A = R(-ROT)`` and ``(DX, DY) = -A (TX, TY)``. The tilt axis is then parallel to y.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from pfitre_jax.data.readers.file_checks import check_file
from pfitre_jax.data.view_transforms import ViewTransforms

#: Largest size of a file of alignments, bytes.
_LARGEST = 2**23
#: Columns of an ``.aln`` file.
_SECTION, _ROT, _TX, _TY, _TILT, _COLUMNS = 0, 1, 3, 4, 9, 10


@dataclasses.dataclass(frozen=True, eq=False)
class AretomoAlignment:
    """Contents of an ``.aln`` file.

    Attributes:
        sections: (views,), indices of the stored views that were aligned, from 0; the others were dark.
        transforms: Their transforms.
        tilt_deg: (views,), refined tilt angles, degrees.
        stored: Number of stored views, with the dark ones.
    """

    sections: np.ndarray
    transforms: ViewTransforms
    tilt_deg: np.ndarray
    stored: int

    def in_stored_order(self) -> AretomoAlignment:
        """The same alignment in the order of the stored views; AreTomo sorts them by tilt angle."""
        order = np.argsort(self.sections)
        return dataclasses.replace(
            self,
            sections=self.sections[order],
            transforms=self.transforms.take_views(order),
            tilt_deg=self.tilt_deg[order],
        )


def read_xf(path: Path) -> ViewTransforms:
    """Reads an ``.xf`` file.

    Raises:
        ValueError: If a line does not hold six finite numbers, or a matrix is not invertible.
    """
    lines = [(n, line.split()) for n, line in enumerate(_text(path).splitlines(), 1) if line.strip()]
    if not lines:
        raise ValueError(f"{path} is empty; expected a line of six numbers for each view")
    return _transforms(path, lines, np.array([_numbers(path, n, words, 6) for n, words in lines]))


def read_aln(path: Path) -> AretomoAlignment:
    """Reads the global alignment of an ``.aln`` file; local alignments of patches are ignored.

    Raises:
        ValueError: If it is no such file, or is damaged.
    """
    text = _text(path)
    if not text.lstrip().startswith("# AreTomo Alignment"):
        raise ValueError(
            f"{path} does not begin with '# AreTomo Alignment'; expected an .aln file of AreTomo"
        )
    body = text.split("# Local Alignment")[0].splitlines()
    lines = [(n, line.split()) for n, line in enumerate(body, 1) if line.strip() and not line.startswith("#")]
    if not lines:
        raise ValueError(f"{path} lists no view; expected a line of ten numbers for each view")
    table = np.array([_numbers(path, n, words, _COLUMNS) for n, words in lines])
    angle = -np.deg2rad(table[:, _ROT])
    cos, sin = np.cos(angle), np.sin(angle)
    dx, dy = -(cos * table[:, _TX] - sin * table[:, _TY]), -(sin * table[:, _TX] + cos * table[:, _TY])
    transforms = _transforms(path, lines, np.stack([cos, -sin, sin, cos, dx, dy], axis=1))
    sections = table[:, _SECTION].astype(int)
    size = re.search(r"# RawSize\s*=\s*\d+\s+\d+\s+(\d+)", text)
    dark = {int(section) for section in re.findall(r"# DarkFrame\s*=\s*\d+\s+(\d+)", text)}
    # Older versions count the sections from 0; the first one may be dark.
    counted_from_0 = 0 in sections or (0 in dark and not (size and int(size[1]) in sections))
    sections = sections - (not counted_from_0)
    count = int(size[1]) if size else int(sections.max()) + 1
    if len(set(sections)) < len(sections) or sections.min() < 0 or sections.max() >= count:
        raise ValueError(f"{path} lists views twice or beyond the {count} of RawSize; expected each one once")
    return AretomoAlignment(sections, transforms, table[:, _TILT], count)


def _transforms(path: Path, lines: list[tuple[int, list[str]]], rows: np.ndarray) -> ViewTransforms:
    """Transforms from rows (views, 6) ``A11 A12 A21 A22 DX DY``."""
    forward = rows[:, :4].reshape(-1, 2, 2)
    singular = np.flatnonzero(np.abs(np.linalg.det(forward)) < 1e-6)
    if singular.size:
        raise ValueError(
            f"{path}, line {lines[singular[0]][0]}: the matrix is not invertible; expected a rotation, "
            "perhaps with a change of scale"
        )
    inverse = np.linalg.inv(forward)
    shift = -(inverse @ rows[:, 4:, None])[..., 0]
    # (x, y) are columns and rows.
    return ViewTransforms(inverse[:, ::-1, ::-1].copy(), shift[:, ::-1].copy())


def _numbers(path: Path, n: int, words: list[str], count: int) -> list[float]:
    try:
        values = [float(word) for word in words[:count]]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"{path}, line {n}: found {' '.join(words)[:60]!r}; expected {count} finite numbers")
    return values


def _text(path: Path) -> str:
    size = check_file(path, "an alignment").stat().st_size
    if size > _LARGEST:
        raise ValueError(f"{path} is too large for an alignment ({size} bytes); expected text")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file ({error}); expected an alignment") from error
