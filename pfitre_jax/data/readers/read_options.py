"""Options of a reader: what the caller states about a file, and which of its contents to read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

#: Options that only some readers take; every reader takes the others.
SELECTORS = ("element", "dataset", "theta_path", "axis_order")
#: Names of the axes in an axis order.
AXES = ("view", "row", "column")


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """What the caller states about a scan file.

    Attributes:
        angles: CSV file whose angles replace those of the scan file, or None.
        angle_unit: Unit of the angles, a key of :data:`pfitre_jax.data.readers.angle_units.RADIANS` such as
            "deg", "rad" or "mdeg"; None for the one that the file states, else degrees.
        kind: One of :data:`pfitre_jax.data.raw.KINDS`; None for counts if the file holds flats, else
            absorption.
        element: Name of the channel to read, such as "Cu" or "Cu_K".
        dataset: Dataset of the projections, a path such as "/entry/data".
        theta_path: Dataset, attribute ("/group@name") or process variable of the angles.
        axis_order: Names of the axes of the stored projections: those in :data:`AXES`, and "element" if there
            are several, in any order.
    """

    angles: Path | None = None
    angle_unit: str | None = None
    kind: str | None = None
    element: str | None = None
    dataset: str | None = None
    theta_path: str | None = None
    axis_order: tuple[str, ...] | None = None

    @property
    def selectors(self) -> frozenset[str]:
        """Names of the options in :data:`SELECTORS` that are set."""
        return frozenset(name for name in SELECTORS if getattr(self, name) is not None)

    def text(self, name: str) -> str:
        """The value of an option as it is written in a message."""
        value = getattr(self, name)
        return ",".join(value) if isinstance(value, tuple) else repr(value)


def parse_axis_order(text: str | None) -> tuple[str, ...] | None:
    """Parses names of axes that are separated by commas.

    Args:
        text: The names, for example "row,column,view", or None.

    Raises:
        ValueError: If they are not view, row and column, and element or not, in any order.

    >>> parse_axis_order("row,column,view")
    ('row', 'column', 'view')
    """
    if text is None:
        return None
    names = tuple(word.strip().lower().removesuffix("s") for word in text.split(","))
    if sorted(names) not in (sorted(AXES), sorted((*AXES, "element"))):
        raise ValueError(
            f"axis_order is {text!r}; expected view, row and column (and element) in the order of the stored "
            "axes, such as 'row,column,view'"
        )
    return names
