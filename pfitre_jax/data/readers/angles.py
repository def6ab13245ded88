"""Angles of the views: their unit, and CSV files of angles."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from pfitre_jax.data.readers.file_checks import check_file, format_names
from pfitre_jax.geometry import check_theta_rad

#: Units of angles.
UNITS = ("deg", "rad")

_NAMES = re.compile(
    r"(?P<name>(rot(ation)?[ _]?)?(angles?|theta)|rot(ation)?|phi|omega)"
    r"([ _]?[\[(]?(?P<unit>[°º]|deg(rees?|s)?|rad(ians?|s)?)[\])]?)?",
    re.IGNORECASE,
)
#: Separators in the order in which they are tried: in a file with semicolons or tabs, a comma is part of a
#: number ("-72,00", as spreadsheets write it in many languages). None stands for blanks.
_SEPARATORS = (";", "\t", ",", None)
_SEPARATOR_NAMES = {";": "semicolons", "\t": "tabs", ",": "commas", None: "blanks"}
#: Largest size of a file of angles, bytes; parsing it takes up to 200 times as many.
_LARGEST = 2**23
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(e[-+]?\d+)?", re.IGNORECASE)


def to_radians(values: ArrayLike, unit: str = "deg") -> np.ndarray:
    """Converts angles to radians.

    Args:
        values: (views,), angles.
        unit: "deg" or "rad".

    Returns:
        (views,) float64, radians; angles in degrees are reduced to less than one turn.

    Raises:
        ValueError: If radians look like degrees, or degrees look like radians: ten or more views that all lie
            within 2 pi degrees are not a tomography.
    """
    if unit not in UNITS:
        raise ValueError(f"the angle unit is {unit!r}; expected 'deg' or 'rad'")
    values = np.asarray(values, float)
    if unit == "rad":
        return check_theta_rad(values)
    theta = np.deg2rad(values)
    # Goniometers count turns: more than two turns, in degrees, are not an error.
    theta = check_theta_rad(np.fmod(theta, 2 * np.pi) if np.isfinite(theta).all() else theta)
    if theta.size >= 10 and 0 < np.abs(values).max() <= 2 * np.pi + 0.01:
        raise ValueError(
            f"the angles reach from {values.min():g} to {values.max():g} degrees; these look like radians: "
            "expected degrees, or angle_unit='rad'"
        )
    return theta


def agreed_unit(requested: str | None, stated: str | None, origin: str) -> str | None:
    """The unit that the caller requests, else the one that the file states, else None.

    Args:
        requested: "deg", "rad" or None.
        stated: "deg", "rad" or None.
        origin: Place in the file that states the unit, for the message.

    Raises:
        ValueError: If they contradict each other.
    """
    if requested is not None and stated is not None and requested != stated:
        raise ValueError(
            f"{origin} is in {stated!r} but the angle unit is {requested!r}; "
            f"omit the unit, or use angle_unit={stated!r}"
        )
    return requested or stated


def check_numbers(
    values: ArrayLike, origin: str, expected: str = "one for each view, or use angles='angles.csv'"
) -> np.ndarray:
    """Returns stored values as an array.

    Args:
        values: Values of a file.
        origin: Place in the file, for the message.
        expected: Which numbers are expected, for the message.

    Raises:
        ValueError: If they are not numbers.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "fiu":
        kind = "text" if values.dtype.kind in "SUO" else f"of type {values.dtype}"
        raise ValueError(f"{origin} is {kind}; expected numbers, {expected}")
    return values


def read_angles(path: str | os.PathLike, unit: str | None = None) -> np.ndarray:
    """Reads the angles of a text file: one line for each view, with or without a header line.

    The separator is the first of semicolon, tab, comma and blank that the file contains. With more than one
    column, the header names that of the angles: ``angle``, ``theta``, ``rotation``, ``rot``, ``phi`` or
    ``omega``, with or without a unit (``theta_deg``, ``angle [rad]``, ``angle (°)``). Empty columns, empty
    lines and lines that start with ``#`` are ignored.

    Args:
        path: The file.
        unit: "deg" or "rad"; None for the unit in the header, else degrees.

    Returns:
        (views,) float64, radians.

    Raises:
        FileNotFoundError: If there is no file at ``path``.
        ValueError: If a value is missing or not a number; lines have different lengths; no column or several
            columns could be the angles; or the header's unit contradicts ``unit``.
    """
    path = Path(path)
    separator, rows = _table(path)
    first = rows[0][1]
    column = 0
    if _is_header(first):
        column, named = _angle_column(path, first)
        unit = agreed_unit(unit, named, f"{path}: the column {first[column]!r}")
        rows = rows[1:]
    elif len(first) > 1:
        raise ValueError(
            f"{path} has {len(first)} columns, separated by {_SEPARATOR_NAMES[separator]}, and no header; "
            "expected one angle per line, or a first line that names one of the columns 'angle'"
            + _decimal_hint(separator, ",".join(first))
        )
    if not rows:
        raise ValueError(f"{path} holds a header but no angles; expected one for each view, one per line")
    values = []
    for n, words in rows:
        value = _number(words[column])
        if value is None:
            raise ValueError(
                f"{path}, line {n}: {format_names([words[column]])!r} is not a number; expected the angle "
                "of a view"
            )
        values.append(value)
    try:
        return to_radians(values, unit or "deg")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    """Text of a file in UTF-8, or in the encoding of Windows."""
    size = check_file(path, "the angles as CSV").stat().st_size
    if size > _LARGEST:
        raise ValueError(
            f"{path} is too large for angles ({size} bytes); expected CSV with one angle per line"
        )
    content = path.read_bytes()
    for encoding in ("utf-8-sig", "cp1252"):  # Windows saves "°" as cp1252
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not re.search(r"[\x00-\x08\x0e-\x1f]", text):
            return text
    raise ValueError(f"{path} is not a text file; expected CSV (UTF-8), one angle for each view")


def _table(path: Path) -> tuple[str | None, list[tuple[int, list[str]]]]:
    """Separator of a file, and number and fields of each line, with the same number of fields in all."""
    # Blanks at the start of a line are kept, because a tab there follows an empty field.
    lines = [(n, line.rstrip()) for n, line in enumerate(_text(path).splitlines(), 1)]
    lines = [(n, line) for n, line in lines if line and not line.lstrip().startswith("#")]
    if not lines:
        raise ValueError(f"{path} holds no angles; expected one for each view, one per line")
    separator = next(s for s in _SEPARATORS if s is None or any(s in line for _, line in lines))
    rows = [(n, _split(line, separator)) for n, line in lines]
    if separator is None and all(len(words) == 1 for _, words in rows[1:]):
        rows[0] = (lines[0][0], [_unquoted(lines[0][1])])  # one column, whose name may contain blanks
    first, columns = rows[0][0], len(rows[0][1])
    for (n, words), (_, line) in zip(rows, lines, strict=True):
        if len(words) != columns:
            raise ValueError(
                f"{path}, line {n}: found {len(words)} fields, separated by {_SEPARATOR_NAMES[separator]}; "
                f"expected {columns} as in line {first}" + _decimal_hint(separator, line)
            )
    filled = [column for column in range(columns) if any(words[column] for _, words in rows)]
    return separator, [(n, [words[column] for column in filled or [0]]) for n, words in rows]


def _decimal_hint(separator: str | None, line: str) -> str:
    """Hint for a message about a line whose commas may be decimal commas."""
    if separator == "," and re.search(r"\d,\d", line):
        return " (are these decimal commas? save the numbers with decimal points)"
    return ""


def _is_header(words: list[str]) -> bool:
    """Whether the fields of the first line are names.

    It is not enough that none is a number: a typing error in the first angle ("-72.O") is not a header.
    """
    if not any(words) or any(_number(word) is not None for word in words):
        return False
    return any(map(_NAMES.fullmatch, words)) or all(re.match(r"[^\W\d]", word) for word in words if word)


def _angle_column(path: Path, header: list[str]) -> tuple[int, str | None]:
    """Index of the column of angles, and the unit that its name states."""
    matches = {column: match for column, word in enumerate(header) if (match := _NAMES.fullmatch(word))}
    if len(matches) > 1:  # "angle" beside the names of other axes
        named = {
            column: match for column, match in matches.items() if match["name"].lower() in ("angle", "angles")
        }
        matches = named or matches
    if len(matches) == 1:
        ((column, match),) = matches.items()
        unit = match["unit"]
        return column, unit and ("rad" if unit.lower().startswith("rad") else "deg")
    if len(header) == 1:
        return 0, None
    found = format_names(map(repr, header))
    which = "more than one" if matches else "none"
    raise ValueError(
        f"{path} has the columns {found}, and {which} could be the angles; expected one: name it 'angle'"
    )


def _split(line: str, separator: str | None) -> list[str]:
    """Fields of a line."""
    if separator is None:
        # A unit in brackets is part of the name before it. (Matched once per run of blanks, for speed.)
        line = re.sub(r"(?<!\s)\s+(?=[\[(])", "", line)
    return [_unquoted(word) for word in line.split(separator)]


def _unquoted(word: str) -> str:
    """Field without blanks and quotes around it."""
    return word.strip().strip("\"'").strip()


def _number(word: str) -> float | None:
    """Field as a number, perhaps with a decimal comma, or None if it is not one."""
    if _DECIMAL_COMMA.fullmatch(word):
        word = word.replace(",", ".")
    try:
        return float(word)
    except ValueError:
        return None
