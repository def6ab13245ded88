"""Calibration table of the intervals of a result: a factor for each range of wedge width and noise.

A model card holds one table for each kind of scale (:data:`KINDS`) under the key ``intervals``. Tables are
made by ``python -m experiments.intervals``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

#: What the scale of an interval is made of: the error that the prior expects, the errors of an equivariant
#: bootstrap, or both.
Kind = Literal["expected-error", "bootstrap", "combined"]
KINDS = get_args(Kind)


@dataclasses.dataclass(frozen=True)
class IntervalCell:
    """Calibration of the scans in a range of wedge width and noise.

    Attributes:
        wedge_deg: Smallest and largest width of the missing wedge, degrees.
        noise: Smallest and largest noise of a bin over the maximum of the sinogram, as estimated from a scan.
        factor: Factor of the scale that gives the half width of the interval.
        slices: Number of slices that the factor was calibrated on.
    """

    wedge_deg: tuple[float, float]
    noise: tuple[float, float]
    factor: float
    slices: int

    def contains(self, wedge_deg: float, noise: float) -> bool:
        """Whether a scan belongs to the cell."""
        low, high = self.wedge_deg
        return low <= wedge_deg <= high and self.noise[0] <= noise <= self.noise[1]

    @property
    def area(self) -> float:
        """Size of the range, to compare cells: degrees times the logarithm of the noise ratio."""
        return (self.wedge_deg[1] - self.wedge_deg[0]) * math.log(self.noise[1] / self.noise[0])

    def record(self) -> dict[str, Any]:
        """The cell as JSON values."""
        return {
            "wedge_deg": list(self.wedge_deg),
            "noise": list(self.noise),
            "factor": self.factor,
            "slices": self.slices,
        }


@dataclasses.dataclass(frozen=True)
class IntervalTable:
    """Calibrated cells of one kind of scale.

    Attributes:
        level: Share of the true values that the intervals contain.
        draws: Number of bootstrap draws; 0 without a bootstrap.
        cells: The cells, which may overlap: narrow ones and wider ones that hold them.
        calibration: What it was calibrated on (scenes, size, views, command), as JSON values.
        gradient_weight: Weight of the gradient of the image beside the expected error in the scale, 0 to 1.
    """

    level: float
    draws: int
    cells: tuple[IntervalCell, ...]
    calibration: dict[str, Any] = dataclasses.field(default_factory=dict)
    gradient_weight: float = 0.0

    @property
    def wedge_deg(self) -> tuple[float, float]:
        """Range of the wedge width over all cells."""
        return min(c.wedge_deg[0] for c in self.cells), max(c.wedge_deg[1] for c in self.cells)

    @property
    def noise(self) -> tuple[float, float]:
        """Range of the noise over all cells."""
        return min(c.noise[0] for c in self.cells), max(c.noise[1] for c in self.cells)

    def find(self, wedge_deg: float, noise: float) -> IntervalCell:
        """The narrowest cell that contains a scan; for a scan outside the table, that of the nearest values.

        Args:
            wedge_deg: Width of the missing wedge, degrees.
            noise: Noise of a bin over the maximum of the sinogram.
        """
        wedge_deg = min(max(wedge_deg, self.wedge_deg[0]), self.wedge_deg[1])
        noise = min(max(noise, self.noise[0]), self.noise[1])
        # Cells need not cover the whole range: without a cell around the scan, the widest one is used.
        around = [cell for cell in self.cells if cell.contains(wedge_deg, noise)]
        if around:
            return min(around, key=lambda cell: cell.area)
        return max(self.cells, key=lambda cell: cell.area)

    def record(self) -> dict[str, Any]:
        """The table as JSON values."""
        return {
            "level": self.level,
            "draws": self.draws,
            "gradient_weight": self.gradient_weight,
            "cells": [cell.record() for cell in self.cells],
            "calibration": self.calibration,
        }

    @classmethod
    def from_record(cls, record: Any) -> IntervalTable:
        """The table of :meth:`record`.

        Raises:
            ValueError: It is malformed; the message states the entry, what it is, and what was expected.
        """
        if not isinstance(record, Mapping):
            raise ValueError(f"it is {_shown(record)}; expected a table")
        level: Any = record.get("level")
        draws: Any = record.get("draws")
        cells: Any = record.get("cells")
        if not (_is_number(level) and 0 < level < 1):
            raise ValueError(f"level is {_shown(level)}; expected a number between 0 and 1")
        if not (isinstance(draws, int) and not isinstance(draws, bool) and draws >= 0):
            raise ValueError(f"draws is {_shown(draws)}; expected a whole number")
        if not (isinstance(cells, list) and cells):
            raise ValueError(f"cells is {_shown(cells)}; expected a list of tables")
        weight: Any = record.get("gradient_weight", 0.0)
        if not (_is_number(weight) and 0 <= weight < 1):
            raise ValueError(f"gradient_weight is {_shown(weight)}; expected a number from 0 to below 1")
        calibration = record.get("calibration", {})
        if not isinstance(calibration, Mapping):
            raise ValueError(f"calibration is {_shown(calibration)}; expected a table")
        return cls(float(level), draws, tuple(map(_cell, cells)), dict(calibration), float(weight))


def tables_from_record(record: Any) -> dict[str, IntervalTable]:
    """The tables by kind of scale, from the entry ``intervals`` of a model card.

    Raises:
        ValueError: The entry is malformed.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"it is {_shown(record)}; expected a table for each kind of scale")
    unknown = sorted(set(record) - set(KINDS))
    if unknown:
        raise ValueError(f"{', '.join(map(str, unknown))} is unknown; expected {', '.join(KINDS)}")
    tables = {}
    for kind, entry in record.items():
        try:
            tables[kind] = IntervalTable.from_record(entry)
        except ValueError as error:
            raise ValueError(f"{kind}: {error}") from error
    return tables


def _cell(record: Any) -> IntervalCell:
    if not isinstance(record, Mapping):
        raise ValueError(f"a cell is {_shown(record)}; expected a table")
    factor: Any = record.get("factor")
    slices: Any = record.get("slices")
    for name in ("wedge_deg", "noise"):
        value: Any = record.get(name)
        is_range = isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
        if not (is_range and 0 < value[0] < value[1]):
            raise ValueError(f"{name} of a cell is {_shown(value)}; expected two positive, ascending numbers")
    if not (_is_number(factor) and factor > 0):
        raise ValueError(f"factor of a cell is {_shown(factor)}; expected a number above 0")
    if not (isinstance(slices, int) and not isinstance(slices, bool) and slices > 0):
        raise ValueError(f"slices of a cell is {_shown(slices)}; expected a whole number above 0")
    wedge_deg, noise = (tuple(map(float, record[name])) for name in ("wedge_deg", "noise"))
    return IntervalCell((wedge_deg[0], wedge_deg[1]), (noise[0], noise[1]), float(factor), slices)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
