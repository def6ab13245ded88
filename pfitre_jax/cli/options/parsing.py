"""Parsers of the values of options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def parse_number(text: str | None, name: str, auto: Any) -> Any:
    """Returns the number in ``text``, or ``auto`` for the word "auto", or None for None.

    Args:
        text: Value as it was typed.
        name: Option, for the message.
        auto: Value that stands for "auto".

    Raises:
        ValueError: For any other text.
    """
    if text is None:
        return None
    if text.strip().lower() == "auto":
        return auto
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}; expected a number or 'auto'") from None


def parse_names(words: Sequence[str]) -> tuple[str, ...]:
    """Returns the names in the values of an option that may be repeated, and that takes lists.

    >>> parse_names(["tiff, mrc", "ome-zarr"])
    ('tiff', 'mrc', 'ome-zarr')
    """
    return tuple(name.strip().lower() for word in words for name in word.split(",") if name.strip())


def parse_air(text: str) -> float | str:
    """Returns the number in ``text``, or the word "auto" or "none".

    Raises:
        ValueError: For any other text.
    """
    word = text.strip().lower()
    if word in ("auto", "none"):
        return word
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not math.isfinite(level):
        raise ValueError(f"--air is {text!r}; expected a line integral (a finite number), 'auto' or 'none'")
    return level


def parse_values(text: str) -> np.ndarray:
    """Returns the numbers A, A+S, ... up to and including B of ``"A:B:S"``.

    Args:
        text: Value as it was typed.

    Raises:
        ValueError: The text is not such a range, or has more than 100 values.

    >>> parse_values("74:75:0.5")
    array([74. , 74.5, 75. ])
    """
    import numpy as np

    expected = "expected A:B:S, three numbers with A at most B and S above 0, such as 70:80:1"
    try:
        start, stop, step = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a range of values; {expected}") from error
    if not np.all(np.isfinite([start, stop, step])) or step <= 0 or stop < start:
        raise ValueError(f"{text!r} is not a range of values; {expected}")
    count = int(np.floor((stop - start) / step + 1e-9)) + 1
    if count > 100:
        raise ValueError(f"{text!r} are {count} values; expected at most 100: use a larger step")
    return start + step * np.arange(count)
