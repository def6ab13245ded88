"""Check of the entries of a model card that the package reads, so that a damaged card is refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pfitre_jax.priors.interval_table import tables_from_record


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_number, value))


def _is_range(value: Any) -> bool:
    return _is_list(value) and len(value) == 2 and value[0] <= value[1]


def _is_array(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(map(_is_list, value))
        and len(set(map(len, value))) == 1
    )


def _is_stages(value: Any) -> bool:
    return isinstance(value, list) and all(_is_table(v) and _is_mixture(v.get("scenes")) for v in value)


def _is_mixture(value: Any) -> bool:
    return value is None or (_is_table(value) and all(map(_is_number, value.values())))


_TABLE, _NUMBER, _COUNT = (_is_table, "a table"), (_is_number, "a number"), (_is_count, "a whole number")
_TEXT, _RANGE = (_is_text, "a text"), (_is_range, "two numbers in ascending order")
_MIXTURE = (_is_mixture, "a table of numbers")
#: Entries, those of a table behind the table itself, and what is expected there. All may be absent.
_ENTRIES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": _TEXT,
    "sha256": _TEXT,
    "architecture": _TEXT,
    "network": _TABLE,
    "parameters": _COUNT,
    "steps": _COUNT,
    "trained_on": _TABLE,
    **{f"trained_on.{name}": _RANGE for name in ("missing_deg", "views", "noise", "rho")},
    **{f"trained_on.{name}": _COUNT for name in ("initial_iterations", "first_iterations")},
    "disagreement": _TABLE,
    "disagreement.limit": _NUMBER,
    "likeness": _TABLE,
    "likeness.images": (_is_array, "a table of numbers, one line for each image"),
    "likeness.deviation": (_is_list, "a list of numbers"),
    "likeness.limit": _NUMBER,
    "scores": _TABLE,
    "scores.gain": _TABLE,
    **{f"scores.gain.{name}": _NUMBER for name in ("mean", "smallest", "largest")},
    "config": _TABLE,
    "config.scenes": _MIXTURE,
    "config.stages": (_is_stages, "a list of tables"),
}


def check_card(card: Mapping[str, Any]) -> None:
    """Checks the types of the entries of a model card.

    Raises:
        ValueError: With the entry, what it is, and what is expected.
    """
    for path, (is_valid, expected) in _ENTRIES.items():
        value: Any = card
        for name in path.split("."):
            value = None if value is None else value.get(name)
        if value is not None and not is_valid(value):
            shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
            raise ValueError(f"the entry {path} of the model card is {shown}; expected {expected}")
    if card.get("intervals") is not None:
        try:
            tables_from_record(card["intervals"])
        except ValueError as error:
            raise ValueError(f"the entry intervals of the model card: {error}") from error
