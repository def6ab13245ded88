"""Selections of rows and views: ``"A:B:S"`` and ``slice`` objects as indices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def parse_slice(text: str) -> slice:
    """Parses ``"A:B"`` or ``"A:B:S"`` as a slice: from A up to but not including B, every S-th item.

    A, B and S are whole numbers counted from 0; A and B may be omitted (``"10:"``, ``":40"``). Negative
    numbers are refused because they read as options on a command line.

    Args:
        text: The selection.

    Raises:
        ValueError: If the text is not such a selection.

    >>> parse_slice("40:80:2")
    slice(40, 80, 2)
    """
    expected = "expected A:B or A:B:S with whole numbers from 0, such as 40:80 or 0:51:4"
    parts = text.strip().split(":")
    if len(parts) == 1 and parts[0].isdecimal():
        raise ValueError(f"{text!r} is one number; for a single item write {text}:{int(text) + 1}")
    if len(parts) not in (2, 3) or any(part.strip() and not part.strip().isdecimal() for part in parts):
        raise ValueError(f"{text!r} is not a selection; {expected}")
    start, stop, *step = (int(part) if part.strip() else None for part in parts)
    if step and step[0] == 0:
        raise ValueError(f"{text!r} has the step 0; {expected}")
    return slice(start, stop, step[0] if step else None)


def resolve_indices(selection: slice | str, count: int, name: str) -> np.ndarray:
    """Returns the indices that a selection names among ``count`` items.

    Stricter than Python, which silently shortens a selection that reaches beyond the last item.

    Args:
        selection: A slice or ``"A:B[:S]"``.
        count: Number of items.
        name: Name of the items in messages, in the plural.

    Raises:
        ValueError: If the selection reaches outside ``0:count``, counts from the end, or is empty.
    """
    selection = parse_slice(selection) if isinstance(selection, str) else selection
    if not isinstance(selection, slice):
        raise ValueError(
            f"the {name} are {selection!r}; expected slice(A, B) or 'A:B' with whole numbers from 0"
        )
    start = 0 if selection.start is None else selection.start
    stop = count if selection.stop is None else selection.stop
    step = 1 if selection.step is None else selection.step
    text = f"{start}:{stop}" + (f":{step}" if step != 1 else "")
    if start < 0 or stop < 0 or step < 1 or start >= count or stop > count:
        raise ValueError(f"the {name} {text} lie outside the scan; expected A:B within 0:{count}")
    indices = np.arange(start, stop, step)
    if indices.size == 0:
        raise ValueError(f"the {name} {text} are empty; expected A:B with A below B, within 0:{count}")
    return indices


def resolve_rows(selection: slice | str | None, count: int) -> slice:
    """Returns a selection of neighbouring rows as a slice with both ends; all rows for None.

    Raises:
        ValueError: If rows lie outside ``0:count``, none is selected, or the step is not 1.
    """
    if selection is None:
        return slice(0, count)
    indices = resolve_indices(selection, count, "rows")
    if indices.size > 1 and indices[1] - indices[0] != 1:
        raise ValueError(f"the rows {selection} have a step; expected neighbouring rows A:B")
    return slice(int(indices[0]), int(indices[-1]) + 1)


def resolve_views(selection: slice | str | None, exclude: slice | str | None, count: int) -> np.ndarray:
    """Returns the indices of the selected views, all for None, without those in ``exclude``.

    Raises:
        ValueError: If views lie outside ``0:count`` or none is left.
    """
    indices = resolve_indices(slice(None) if selection is None else selection, count, "views")
    if exclude is not None:
        indices = np.setdiff1d(indices, resolve_indices(exclude, count, "excluded views"))
    if indices.size == 0:
        raise ValueError(f"no view is left of {count} after excluding {exclude}; keep at least one")
    return indices


def format_ranges(numbers: Sequence[int] | np.ndarray) -> str:
    """Formats ascending numbers (n,) as ranges: ``27-35, 40``."""
    groups = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return ", ".join(f"{g[0]}-{g[-1]}" if len(g) > 1 else f"{g[0]}" for g in groups)
