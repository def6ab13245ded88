"""Tables in text files: lines of fields, whichever separator, decimal sign and comment sign they use."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path

from pfitre_jax.data.readers.angle_units import find_unit
from pfitre_jax.data.readers.file_checks import check_file

#: Separators in the order in which they are tried: in a file with semicolons or tabs, a comma is part of a
#: number ("-72,00", as spreadsheets write it in many languages). None stands for blanks.
SEPARATORS = (";", "\t", ",", None)
SEPARATOR_NAMES = {";": "semicolons", "\t": "tabs", ",": "commas", None: "blanks"}
#: First characters of comments: numpy.savetxt, MATLAB and C.
_COMMENTS = ("#", "%", "//")
#: Largest size of a file of angles, bytes; parsing it takes up to 200 times as many.
_LARGEST = 2**23
#: Longest field that is searched for a unit, characters.
_LONGEST_VALUE = 100
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(e[-+]?\d+)?", re.IGNORECASE)
_VALUE = re.compile(
    r"(?P<number>[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?)\s*(?P<unit>[^\s\d.,+-][^\d,]*)", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Table:
    """Lines of a text file.

    Attributes:
        path: The file.
        separator: Separator of the fields, None for blanks.
        comments: Text of the comment lines.
        rows: Number and fields of each other line; all have the same number of fields.
    """

    path: Path
    separator: str | None
    comments: list[str]
    rows: list[tuple[int, list[str]]]

    def comment_as_header(self, comment: str) -> list[list[str]]:
        """Splits a comment into as many names as there are columns, in every way that does."""
        count = len(self.rows[0][1])
        if count == 1:
            return [[_unquoted(comment)]]
        separators = (self.separator, *(s for s in SEPARATORS if s != self.separator))
        fields = [split_line(comment.strip(), separator) for separator in separators]
        return [words for words in fields if len(words) == count]


def read_table(path: Path) -> Table:
    """Reads a table.

    Raises:
        ValueError: If the file is not text or holds no lines; lines have different numbers of fields; or
            commas may be decimal commas as well as separators.
    """
    # Blanks at the start of a line are kept, because a tab there follows an empty field.
    lines = [(n, line.rstrip()) for n, line in enumerate(_text(path).splitlines(), 1)]
    comments = [line.strip().lstrip("#%/").strip() for _, line in lines if _is_comment(line)]
    lines = [(n, line) for n, line in lines if line.strip() and not _is_comment(line)]
    if not lines:
        raise ValueError(f"{path} holds no angles; expected one for each view, one per line")
    try:
        separator = _separator([line for _, line in lines])
        rows = [(n, _fields(line, separator)) for n, line in lines]
    except csv.Error as error:
        raise ValueError(f"{path} is no table of angles ({error}); expected one angle per line") from error
    if separator in (None, "") and all(len(words) == 1 for _, words in rows[1:]):
        rows[0] = (lines[0][0], [_unquoted(lines[0][1])])  # one column, whose name may contain blanks
    first, columns = rows[0][0], len(rows[0][1])
    for (n, words), (_, line) in zip(rows, lines, strict=True):
        if len(words) != columns:
            raise ValueError(
                f"{path}, line {n}: found {len(words)} fields, separated by "
                f"{SEPARATOR_NAMES[separator or None]}; expected {columns} as in line {first}"
                + decimal_hint(separator, line)
            )
    filled = [column for column in range(columns) if any(words[column] for _, words in rows)]
    rows = [(n, [words[column] for column in filled or [0]]) for n, words in rows]
    return Table(path, separator or None, comments, rows)


def parse_value(word: str) -> tuple[float, str | None] | None:
    """Number and unit of a field such as "-72", "-72,5" or "12.5°"; None if it is not a number.

    The unit is text that :func:`pfitre_jax.data.readers.angle_units.find_unit` knows.
    """
    word = word.replace("\N{MINUS SIGN}", "-")
    number = _to_float(word)
    if number is not None:
        return number, None
    if len(word) > _LONGEST_VALUE:
        return None
    match = _VALUE.fullmatch(word)
    if match is None or find_unit(match["unit"]) is None:
        return None
    number = _to_float(match["number"])
    return None if number is None else (number, match["unit"])


def is_number(word: str) -> bool:
    """Whether a field is a number, perhaps with a unit."""
    return parse_value(word) is not None


def decimal_hint(separator: str | None, line: str) -> str:
    """Hint for a message about a line whose commas may be decimal commas."""
    if separator == "," and re.search(r"\d,\d", line):
        return " (are these decimal commas? save the numbers with decimal points)"
    return ""


def split_line(line: str, separator: str | None) -> list[str]:
    """Fields of a line."""
    if separator is None:
        # A unit in brackets is part of the name before it. (Matched once per run of blanks, for speed.)
        line = re.sub(r"(?<!\s)\s+(?=[\[(])", "", line)
        # A unit after a number is part of the number.
        line = re.sub(r"(?<=[\d.])[ \t]+(?=(?:[°º˚]|m?rad|m?deg|arcmin|arcsec)\w*(?:\s|$))", "", line)
    if separator == "," and '"' in line:
        return [_unquoted(word) for word in next(csv.reader([line], skipinitialspace=True))]
    return [_unquoted(word) for word in line.split(separator)]


def _fields(line: str, separator: str | None) -> list[str]:
    """Fields of a line; the separator "" stands for one column."""
    return [_unquoted(line)] if separator == "" else split_line(line, separator)


def _separator(lines: list[str]) -> str | None:
    """Separator of a table; "" for a single column of numbers with decimal commas."""
    separator = next(s for s in SEPARATORS if s is None or any(s in line for line in lines))
    if separator != ",":
        return separator
    # The first line is a header if it is not made of numbers.
    named = not all(is_number(word) for word in split_line(lines[0], ","))
    body = lines[1:] if named and len(lines) > 1 else lines
    header = lines[0] if body is not lines else None
    if any('"' in line for line in body):
        return ","
    words = [split_line(line, None) for line in body]
    if all(_is_value(word) for line in words for word in line):
        columns = {len(line) for line in words}
        if columns == {1}:
            return "" if _is_decimal(header, [line[0] for line in words]) else ","
        # Between blanks, a comma is part of a number: "0 -72,00". "0, 45" is not: it ends a field.
        if len(columns) == 1 and (header is None or "," not in header):
            return None
    return ","


def _is_value(word: str) -> bool:
    """Whether a field, with at most one comma, is a number."""
    return bool(_DECIMAL_COMMA.fullmatch(word)) or is_number(word)


def _is_decimal(header: str | None, words: list[str]) -> bool:
    """Whether commas in a column ("-72,50") are decimal commas, and not separators of two columns."""
    if header is not None and ("," in header or len(split_line(header, None)) == 2):
        return False
    pairs = [word.strip("+-").split(",") for word in words if "," in word]
    digits = [re.split(r"\D", fraction)[0] for _, fraction in pairs]
    # "1,047" may be a thousand and more, unless a whole part is 0.
    if all(len(fraction) == 3 for fraction in digits) and not any(whole in ("", "0") for whole, _ in pairs):
        return False
    if header is not None or len(pairs) < len(words):
        return True
    wholes = [word.split(",")[0] for word in words]
    counts = any(wholes == [str(start + k) for k in range(len(words))] for start in (0, 1))
    # No column of whole numbers holds "00" or "05".
    return not counts and any(len(fraction) > 1 and fraction[0] == "0" for fraction in digits)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith(_COMMENTS)


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


def _unquoted(word: str) -> str:
    """Field without blanks and quotes around it; a single quote is the sign of a unit."""
    word = word.strip()
    if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'":
        word = word[1:-1].strip()
    return word


def _to_float(word: str) -> float | None:
    """Field as a number, perhaps with a decimal comma, or None if it is not one."""
    if _DECIMAL_COMMA.fullmatch(word):
        word = word.replace(",", ".")
    try:
        return float(word)
    except ValueError:
        return None
