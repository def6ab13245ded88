"""Angles: their unit, and the CSV file that lies beside a stack."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pfitre_jax.geometry import check_theta_rad

UNITS = ("deg", "rad")

_NAMES = re.compile(r"(rotation_)?(angles?|theta)([ _]?[\[(]?(?P<unit>deg|rad)[a-z]*[\])]?)?", re.IGNORECASE)


def to_radians(values, unit: str = "deg") -> np.ndarray:
    """Angles in ``unit`` ("deg" or "rad") as radians, float64.

    ``ValueError`` for radians that look like degrees, and for degrees that look like radians: ten views or
    more that together span less than 2 pi degrees are no tomography.
    """
    if unit not in UNITS:
        raise ValueError(f"the angle unit is {unit!r}; expected 'deg' or 'rad'")
    values = np.asarray(values, float)
    if unit == "rad":
        return check_theta_rad(values)
    theta = np.deg2rad(values)
    # Goniometers count turns: more than two of them, in degrees, are no mistake.
    theta = check_theta_rad(np.fmod(theta, 2 * np.pi) if np.isfinite(theta).all() else theta)
    if theta.size >= 10 and 0 < np.abs(values).max() <= 2 * np.pi + 0.01:
        raise ValueError(
            f"the angles reach from {values.min():g} to {values.max():g} degrees; these look like radians: "
            "expected degrees, or say the angle unit 'rad' (--angle-unit rad)"
        )
    return theta


def read_angles(path, unit: str = "deg") -> np.ndarray:
    """Angles of a text file as radians ``(views,)``: one line for each view, with or without a header line.

    Values are separated by commas, semicolons or blanks; the angle is the column that the header calls
    ``angle`` or ``theta`` (``theta_deg``, ``angle_rad``, ... too), else the last one. Empty lines and lines
    that start with ``#`` are passed over.

    Raises ``FileNotFoundError``; ``ValueError`` for words, missing values, no values, and a header whose unit
    is not ``unit``.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file; expected CSV, one angle for each view") from error
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1)]
    lines = [(n, _split(line)) for n, line in lines if line and not line.startswith("#")]
    if not lines:
        raise ValueError(f"{path} holds no angles; expected one for each view, one a line")
    column = -1
    header = lines[0][1]
    if not any(_is_number(word) for word in header):
        lines = lines[1:]
        column = _angle_column(path, header, unit)
    if not lines:
        raise ValueError(f"{path} holds a header but no angles; expected one for each view, one a line")
    values = []
    for n, words in lines:
        word = words[column] if column < len(words) else ""
        if not _is_number(word):
            raise ValueError(f"{path}, line {n}: {word!r} is not a number; expected the angle of a view")
        values.append(float(word))
    try:
        return to_radians(values, unit)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _angle_column(path: Path, header: list[str], unit: str) -> int:
    found = [(k, m) for k, word in enumerate(header) if (m := _NAMES.fullmatch(word))]
    if not found:
        return -1
    column, match = found[0]
    named = match["unit"]
    if named and named.lower() != unit:
        raise ValueError(
            f"{path}: the column {header[column]!r} is in {named.lower()} but the angle unit is {unit!r}; "
            f"say the angle unit {named.lower()!r} (--angle-unit {named.lower()})"
        )
    return column


def _split(line: str) -> list[str]:
    separator = next((s for s in ",;\t" if s in line), None)
    return [word.strip().strip("\"'") for word in line.split(separator)]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
