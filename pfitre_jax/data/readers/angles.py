"""Files of angles: one for each view, in a text file with or without a header."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from pfitre_jax.data.readers.angle_units import (
    LEAST_RANGE_DEG,
    Angles,
    choose_unit,
    convert_angles,
    find_unit,
)
from pfitre_jax.data.readers.csv_table import (
    SEPARATOR_NAMES,
    Table,
    decimal_hint,
    is_number,
    parse_value,
    read_table,
)
from pfitre_jax.data.readers.file_checks import format_names
from pfitre_jax.data.readers.hdf5_file import Hdf5File
from pfitre_jax.data.readers.read_options import ReadOptions

_ANGLE_NAMES = re.compile(
    r"((rot(ation)?|tilt|sample|stage|view|projection)[ _]?)?(angles?|theta|winkel)"
    r"|rot(ation)?|tilt|phi|omega",
    re.IGNORECASE,
)
#: Longest name that is searched for a unit, characters.
_LONGEST_NAME = 200
#: The unit behind a name: in brackets, after a slash, or after "in".
_BRACKETS = re.compile(
    r"(?P<name>.*?)[\s_]*(?:[\[({<](?P<bracket>[^\])}>]*)[\])}>]|/\s*(?P<slash>[^\s/]+)|\bin\s+(?P<in>\S+))"
)
#: A unit without a separator behind the name of an angle: "thetarad", "angle°".
_ATTACHED = re.compile(
    r"(?P<name>angles?|theta|rotation|rot|tilt|phi|omega)(?P<unit>[mu]?(?:rad|deg)\w*|°|º|˚)", re.IGNORECASE
)
#: Units of what is no angle.
_OTHER_UNITS = re.compile(
    r"counts?|steps?|ticks?|pulses?|encoder|px|pixels?|[mµun]?[ms]|cm|h|[km]?hz|m?[va]", re.IGNORECASE
)
#: Words for units of angles that mean nothing else in a sentence.
_PROSE = re.compile(
    r"(?<![\w/.])(?:(?:milli|micro|nano|centi|[muµμnc])?[ -]?(?:deg(?:ree)?s?|rad(?:ian)?s?)"
    r"|arc[ -]?(?:min(?:ute)?|sec(?:ond)?)s?|gradians?)(?![\w/])",
    re.IGNORECASE,
)
#: A unit in a comment: "unit: mrad", "theta [counts]".
_STATED = re.compile(
    r"\bunits?\s*[:=]\s*(?P<unit>[^\s,;]+)"
    r"|\b(?:\w*angles?|\w*theta|rotation|tilt|phi|omega)\w*\s*[\[(](?P<bracket>[^\])]*)[\])]",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True, eq=False)
class StoredAngles:
    """Angles as a scan file stores them.

    Attributes:
        place: Place in the file, for messages and the provenance.
        values: (views,), or None if there are none.
        unit: Unit that the file states, or None.
    """

    place: str
    values: ArrayLike | None = None
    unit: str | None = None

    @classmethod
    def of_dataset(cls, hdf5: Hdf5File, name: str) -> StoredAngles:
        """Angles and unit of a dataset of an HDF5 file, which need not be there."""
        if name not in hdf5.datasets:
            return cls(f"/{name}")
        return cls(f"/{name}", hdf5.values(name), hdf5.unit(name))


def choose_angles(options: ReadOptions, stored: StoredAngles, path: Path, format: str) -> tuple[Angles, str]:
    """The angles of the CSV file in the options, else those of the scan file, and their origin in words.

    Args:
        options: What the caller states.
        stored: Angles of the scan file.
        path: The scan file.
        format: Name of its format, for messages.

    Raises:
        ValueError: If there are none (0 to 180 degrees is never assumed), they are implausible, or their unit
            contradicts the options.
    """
    if options.angles is not None:
        return read_angle_file(options.angles, options.angle_unit), str(options.angles)
    if stored.values is None:
        raise ValueError(
            f"{path} ({format}) holds no angles in {stored.place}; "
            "give them as a CSV file with one angle for each view (angles='angles.csv')"
        )
    place = f"{path}: {stored.place}"
    theta = check_numbers(stored.values, place)
    unit = choose_unit(options.angle_unit, stored.unit, place)
    try:
        return convert_angles(theta, unit), stored.place
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


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
    """Reads the angles of a text file as (views,) float64, radians; see :func:`read_angle_file`."""
    return read_angle_file(path, unit).theta_rad


def read_angle_file(path: str | os.PathLike, unit: str | None = None) -> Angles:
    """Reads the angles of a text file: one line for each view, with or without a header line.

    The separator is the first of semicolon, tab, comma and blank that the file contains. Commas are decimal
    commas where the lines can mean nothing else. With more than one column, the header names that of the
    angles: ``angle``, ``theta``, ``rotation``, ``rot``, ``tilt``, ``phi`` or ``omega``, with or without a
    unit (``theta_deg``, ``angle [mrad]``, ``angle (°)``). The last comment before the numbers is the header
    if it names the columns (``# index theta_rad``, as numpy.savetxt writes it). Without a header, a column
    that counts the views from 0 or 1 is an index, and the other one the angles. Empty columns and empty lines
    are ignored.

    Args:
        path: The file.
        unit: Key of :data:`pfitre_jax.data.readers.angle_units.RADIANS`; None for the unit that header,
            comments or values state, else degrees.

    Raises:
        FileNotFoundError: If there is no file at ``path``.
        ValueError: If a value is missing or not a number; lines have different lengths; no column or several
            columns could be the angles; the file's unit is no unit of angles or contradicts ``unit``; or the
            angles are implausible.
    """
    path = Path(path)
    table = read_table(path)
    header, rows = _header(table)
    column, stated, place = 0, None, f"{path}"
    warnings: tuple[str, ...] = ()
    if header is not None:
        column, stated = _angle_column(path, header)
        place = f"{path}: the column {header[column]!r}"
    elif len(rows[0][1]) > 1:
        column = _column_beside_index(table)
        warnings = (
            f"{path} has no header; column {column + 1} was read as the angles, because the other one counts "
            "the views",
        )
    if not rows:
        raise ValueError(f"{path} holds a header but no angles; expected one for each view, one per line")
    values, units = _values(path, rows, column)
    if len(units) > 1:
        raise ValueError(
            f"{path} has angles in {format_names(sorted(map(repr, units)))}; expected one unit, behind every "
            "angle or in the header"
        )
    (written,) = units
    if written is not None:
        if stated and find_unit(stated) != find_unit(written):
            raise ValueError(f"{place} is in {stated!r}, but its values in {written!r}; expected one of them")
        stated, place = written, f"{path}"
    if not stated:
        stated = _unit_in_comments(path, table.comments, requested=unit)
        place = f"{path}: a comment" if stated else place
    try:
        angles = convert_angles(values, choose_unit(unit, stated, place))
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(str(path)) else f"{path}: {text}") from error
    return Angles(angles.theta_rad, (*warnings, *angles.warnings))


def split_unit(word: str) -> tuple[str, str | None]:
    """Name and unit of a column: "theta [mrad]" is "theta" in "mrad".

    The unit may be of something else than an angle; it is None if the name has none.
    """
    if len(word) > _LONGEST_NAME:
        return word, None
    match = _BRACKETS.fullmatch(word.strip())
    if match:
        unit = next((match[name] for name in ("bracket", "slash", "in") if match[name] is not None), "")
        return match["name"], unit.strip() or None
    if find_unit(word) is not None:
        return "angle", word
    match = _ATTACHED.fullmatch(word)
    if match and find_unit(match["unit"]) is not None:
        return match["name"], match["unit"]
    tokens = re.split(r"[\s_.:,-]+|(?<=[a-z])(?=[A-Z])", word)
    for count in (2, 1):
        unit = " ".join(tokens[-count:])
        if len(tokens) > count and find_unit(unit) is not None:
            return " ".join(tokens[:-count]), unit
    if len(tokens) > 1 and _OTHER_UNITS.fullmatch(tokens[-1]):
        return " ".join(tokens[:-1]), tokens[-1]
    return word, None


def _header(table: Table) -> tuple[list[str] | None, list[tuple[int, list[str]]]]:
    """Names of the columns, or None if there are none, and the lines with numbers."""
    first = table.rows[0][1]
    if _is_header(first):
        return first, table.rows[1:]
    for comment in table.comments[::-1]:
        for words in table.comment_as_header(comment):
            if any(_is_angle(split_unit(word)[0]) for word in words):
                return words, table.rows
    return None, table.rows


def _is_angle(name: str) -> bool:
    return _ANGLE_NAMES.fullmatch(name.strip()) is not None


def _is_header(words: list[str]) -> bool:
    """Whether the fields of the first line are names.

    It is not enough that none is a number: a typing error in the first angle ("-72.O") is not a header.
    """
    if not any(words) or any(is_number(word) for word in words):
        return False
    named = any(_is_angle(split_unit(word)[0]) for word in words)
    return named or all(re.match(r"[^\W\d]", word) for word in words if word)


def _angle_column(path: Path, header: list[str]) -> tuple[int, str | None]:
    """Index of the column of angles, and the unit that its name states."""
    names = [split_unit(word) for word in header]
    matches = [column for column, (name, _) in enumerate(names) if _is_angle(name)]
    if len(matches) > 1:  # "angle" beside the names of other axes, or degrees beside the counts of an encoder
        angle = [column for column in matches if names[column][0].lower() in ("angle", "angles")]
        known = [column for column in matches if names[column][1] and find_unit(names[column][1] or "")]
        others = [column for column in matches if names[column][1] and column not in known]
        matches = angle if len(angle) == 1 else known if len(known) + len(others) == len(matches) else matches
    if len(matches) == 1:
        return matches[0], names[matches[0]][1]
    if len(header) == 1:
        return 0, names[0][1]
    found = format_names(map(repr, header))
    which = "more than one" if matches else "none"
    raise ValueError(
        f"{path} has the columns {found}, and {which} could be the angles; expected one: name it 'angle'"
    )


def _column_beside_index(table: Table) -> int:
    """The column of the angles in two columns without a header, where the other one counts the views.

    Raises:
        ValueError: If there are other columns.
    """
    path, rows = table.path, table.rows
    columns = list(zip(*(words for _, words in rows), strict=True))
    counting = [
        column
        for column, words in enumerate(columns)
        if any(list(words) == [str(start + k) for k in range(len(words))] for start in (0, 1))
    ]
    if len(columns) == 2 and len(rows) > 1:
        if len(counting) == 1 and _reaches_far(columns[1 - counting[0]]):
            return 1 - counting[0]
        if columns[0] == columns[1] and counting:
            return 1
    raise ValueError(
        f"{path} has {len(columns)} columns, separated by {SEPARATOR_NAMES[table.separator]}, and no header; "
        "expected one angle per line, or a first line that names one of the columns 'angle'"
        + decimal_hint(table.separator, ",".join(rows[0][1]))
    )


def _reaches_far(words: Sequence[str]) -> bool:
    """Whether a column holds numbers over a range of angles, and not times or currents that hardly change."""
    values = [parse_value(word) for word in words]
    numbers = [value[0] for value in values if value is not None]
    return len(numbers) == len(words) and max(numbers) - min(numbers) > LEAST_RANGE_DEG


def _values(
    path: Path, rows: list[tuple[int, list[str]]], column: int
) -> tuple[list[float], set[str | None]]:
    """Numbers of a column, and the units behind them."""
    values, units = [], set()
    for n, words in rows:
        parsed = parse_value(words[column])
        if parsed is None:
            raise ValueError(
                f"{path}, line {n}: {format_names([words[column]])!r} is not a number; expected the angle "
                "of a view"
            )
        values.append(parsed[0])
        units.add(parsed[1] and find_unit(parsed[1]))
    return values, units


def _unit_in_comments(path: Path, comments: list[str], requested: str | None) -> str | None:
    """The unit that comments state, or None.

    Raises:
        ValueError: If they name several units, and the caller requests none.
    """
    stated = [match["unit"] or match["bracket"] for text in comments for match in _STATED.finditer(text)]
    stated = [text for text in stated if text]
    if stated and (unknown := next((text for text in stated if find_unit(text) is None), None)):
        return unknown
    words = stated or [match[0] for text in comments for match in _PROSE.finditer(text)]
    units = {find_unit(word) for word in words} - {None}
    if len(units) > 1 and requested is None:
        raise ValueError(
            f"{path}: comments name the units {format_names(sorted(map(repr, units)))}; expected one: name "
            "the column 'angle_deg' or 'angle_rad', or state the unit (angle_unit='deg')"
        )
    return words[0] if len(units) == 1 else None
