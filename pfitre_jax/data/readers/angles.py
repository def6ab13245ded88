"""Angles: their unit, and the CSV file that lies beside a stack."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pfitre_jax.data.readers.file_checks import check_file, listed
from pfitre_jax.geometry import check_theta_rad

UNITS = ("deg", "rad")

_NAMES = re.compile(
    r"(?P<name>(rot(ation)?[ _]?)?(angles?|theta)|rot(ation)?|phi|omega)"
    r"([ _]?[\[(]?(?P<unit>[°º]|deg(rees?|s)?|rad(ians?|s)?)[\])]?)?",
    re.IGNORECASE,
)
#: Separators in the order in which a file is asked for them: where there are semicolons or tabs, a comma
#: belongs to a number ("-72,00", as a spreadsheet writes it in many languages). None stands for blanks.
_SEPARATORS = (";", "\t", ",", None)
_SEPARATOR_NAMES = {";": "semicolons", "\t": "tabs", ",": "commas", None: "blanks"}
#: Bytes of a file with angles, at the most; what is made of them takes up to 200 times as many.
_LARGEST = 2**23
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(e[-+]?\d+)?", re.IGNORECASE)


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


def check_numbers(
    values, where: str, expected: str = "one for each view, or give --angles CSV"
) -> np.ndarray:
    """``values`` that a file stores at ``where``, its angles; ``ValueError`` where they are no numbers."""
    values = np.asarray(values)
    if values.dtype.kind not in "fiu":
        what = "text" if values.dtype.kind in "SUO" else f"of type {values.dtype}"
        raise ValueError(f"{where} is {what}; expected numbers, {expected}")
    return values


def read_angles(path, unit: str | None = None) -> np.ndarray:
    """Angles of a text file as radians ``(views,)``: one line for each view, with or without a header line.

    unit: "deg" or "rad"; default the one in the header's name, else degrees

    Values are separated by semicolons, tabs, commas or blanks, throughout the file by the first of these that
    it holds. With more than one column the header says which are the angles: ``angle``, ``theta``,
    ``rotation``, ``rot``, ``phi`` or ``omega``, with or without a unit (``theta_deg``, ``angle [rad]``,
    ``angle (°)``). Empty columns, empty lines and lines that start with ``#`` are passed over.

    Raises ``FileNotFoundError``; ``ValueError`` for words, missing values, no values, lines of different
    lengths, columns of which none or several could be the angles, and a header whose unit contradicts
    ``unit``.
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
            "expected one angle a line, or a first line that names one of the columns 'angle'"
            + _decimal_hint(separator, ",".join(first))
        )
    if not rows:
        raise ValueError(f"{path} holds a header but no angles; expected one for each view, one a line")
    values = []
    for n, words in rows:
        value = _number(words[column])
        if value is None:
            raise ValueError(
                f"{path}, line {n}: {listed([words[column]])!r} is not a number; expected the angle of a view"
            )
        values.append(value)
    try:
        return to_radians(values, unit or "deg")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    size = check_file(path, "the angles as CSV").stat().st_size
    if size > _LARGEST:
        raise ValueError(f"{path} is too large for angles ({size} bytes); expected CSV, one angle a line")
    content = path.read_bytes()
    for encoding in ("utf-8-sig", "cp1252"):  # the latter is what Windows saves a "°" as
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not re.search(r"[\x00-\x08\x0e-\x1f]", text):
            return text
    raise ValueError(f"{path} is not a text file; expected CSV (UTF-8), one angle for each view")


def _table(path: Path) -> tuple[str | None, list[tuple[int, list[str]]]]:
    """The separator, and the number and the fields of every line, as many in each."""
    # Blanks at a line's start stay: a tab there follows an empty field.
    lines = [(n, line.rstrip()) for n, line in enumerate(_text(path).splitlines(), 1)]
    lines = [(n, line) for n, line in lines if line and not line.lstrip().startswith("#")]
    if not lines:
        raise ValueError(f"{path} holds no angles; expected one for each view, one a line")
    separator = next(s for s in _SEPARATORS if s is None or any(s in line for _, line in lines))
    rows = [(n, _split(line, separator)) for n, line in lines]
    if separator is None and all(len(words) == 1 for _, words in rows[1:]):
        rows[0] = (lines[0][0], [_unquoted(lines[0][1])])  # one column, whose name may hold blanks
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
    if separator == "," and re.search(r"\d,\d", line):
        return " (are these decimal commas? save the numbers with decimal points)"
    return ""


def _is_header(words: list[str]) -> bool:
    # Not just "no number": a typing error in the first angle ("-72.O") must not pass for a header.
    if not any(words) or any(_number(word) is not None for word in words):
        return False
    return any(map(_NAMES.fullmatch, words)) or all(re.match(r"[^\W\d]", word) for word in words if word)


def _angle_column(path: Path, header: list[str]) -> tuple[int, str | None]:
    """Which column holds the angles, and the unit that its name states."""
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
    found = listed(map(repr, header))
    which = "more than one" if matches else "none"
    raise ValueError(
        f"{path} has the columns {found}, of which {which} could be the angles; expected one: name it 'angle'"
    )


def _split(line: str, separator: str | None) -> list[str]:
    if separator is None:
        # A unit in brackets belongs to the name before it. (Tried once a run of blanks, not at each of them.)
        line = re.sub(r"(?<!\s)\s+(?=[\[(])", "", line)
    return [_unquoted(word) for word in line.split(separator)]


def _unquoted(word: str) -> str:
    return word.strip().strip("\"'").strip()


def _number(word: str) -> float | None:
    if _DECIMAL_COMMA.fullmatch(word):
        word = word.replace(",", ".")
    try:
        return float(word)
    except ValueError:
        return None
