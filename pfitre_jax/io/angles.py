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


def agreed_unit(given: str | None, stated: str | None, where: str) -> str | None:
    """The unit that the caller gave or else the one that the file states at ``where``; None without either.

    ``ValueError`` where they contradict each other.
    """
    if given is not None and stated is not None and given != stated:
        raise ValueError(
            f"{where} is in {stated!r} but the angle unit is {given!r}; "
            f"leave the unit out, or say {stated!r} (--angle-unit {stated})"
        )
    return given or stated


def read_angles(path, unit: str | None = None) -> np.ndarray:
    """Angles of a text file as radians ``(views,)``: one line for each view, with or without a header line.

    unit: "deg" or "rad"; default the one in the header's name, else degrees

    Values are separated by commas, semicolons or blanks; the angle is the column that the header calls
    ``angle`` or ``theta`` (``theta_deg``, ``angle_rad``, ... too), else the last one. Empty lines and lines
    that start with ``#`` are passed over.

    Raises ``FileNotFoundError``; ``ValueError`` for words, missing values, no values, and a header whose unit
    contradicts ``unit``.
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
        column, named = _angle_column(header)
        unit = agreed_unit(unit, named, f"{path}: the column {header[column]!r}")
    if not lines:
        raise ValueError(f"{path} holds a header but no angles; expected one for each view, one a line")
    values = []
    for n, words in lines:
        word = words[column] if column < len(words) else ""
        if not _is_number(word):
            raise ValueError(f"{path}, line {n}: {word!r} is not a number; expected the angle of a view")
        values.append(float(word))
    try:
        return to_radians(values, unit or "deg")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _angle_column(header: list[str]) -> tuple[int, str | None]:
    """Which column holds the angles, and the unit that its name states."""
    for column, word in enumerate(header):
        if match := _NAMES.fullmatch(word):
            return column, match["unit"].lower() if match["unit"] else None
    return -1, None


def _split(line: str) -> list[str]:
    # A unit in brackets belongs to the name before it, also where blanks separate the columns.
    line = re.sub(r"\s+(?=[\[(])", "", line)
    separator = next((s for s in ",;\t" if s in line), None)
    return [word.strip().strip("\"'") for word in line.split(separator)]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
