"""Sources of the rows of a scan: arrays in memory, or anything that reads rows on demand."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pfitre_jax.data.overview import Overview


class RowSource(Protocol):
    """Reads line integrals and their mask, a few neighbouring rows at a time.

    Inheriting from the protocol brings the default methods, so that a new source needs only :attr:`shape` and
    :meth:`read`.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of views, rows and columns."""
        ...

    def read(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Line integrals (views, n, columns) float32, 0 where invalid, and which are valid, bool.

        Args:
            rows: Neighbouring rows, with both ends.
        """
        ...

    @property
    def rows_in_memory(self) -> np.ndarray:
        """(n,), ascending indices of rows that are read without access to a file; by default all."""
        return np.arange(self.shape[1])

    @property
    def overview(self) -> Overview:
        """Overview of all rows. By default all of them are read for it."""
        return Overview.from_rows(*self.read(slice(0, self.shape[1])))

    def take_views(self, indices: np.ndarray | slice) -> RowSource:
        """A source of the views with these indices. By default all rows are read for it."""
        projections, mask = self.read(slice(0, self.shape[1]))
        return ArrayRows(projections[indices], mask[indices])

    def subtract(self, level: float) -> RowSource:
        """A source of the same rows with ``level`` subtracted from every valid bin."""
        return OffsetRows(self, float(level))

    def take_rows(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Line integrals and mask (views, n, columns) of rows that need not be neighbours."""
        rows = [self.read(slice(int(row), int(row) + 1)) for row in indices]
        projections, mask = (np.concatenate(arrays, axis=1) for arrays in zip(*rows, strict=True))
        return projections, mask


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayRows(RowSource):
    """Rows in memory.

    Attributes:
        projections: (views, rows, columns) float32, line integrals, 0 where invalid.
        mask: (views, rows, columns) bool, True for a valid bin.
    """

    projections: np.ndarray
    mask: np.ndarray

    @functools.cached_property
    def overview(self) -> Overview:
        """Overview of all rows, computed once."""
        return Overview.from_rows(self.projections, self.mask)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of views, rows and columns."""
        return self.projections.shape

    def read(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Views of the arrays, without a copy."""
        return self.projections[:, rows], self.mask[:, rows]

    def subtract(self, level: float) -> RowSource:
        """Rows in memory with ``level`` subtracted from every valid bin."""
        return ArrayRows(_subtract(self.projections, self.mask, level), self.mask)

    def take_rows(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Line integrals and mask (views, n, columns) of rows that need not be neighbours."""
        return self.projections[:, indices], self.mask[:, indices]


@dataclasses.dataclass(frozen=True, eq=False)
class OffsetRows(RowSource):
    """Rows of another source with a constant subtracted from every valid bin when they are read.

    Attributes:
        source: The other source.
        level: The constant, a line integral.
    """

    source: RowSource
    level: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of views, rows and columns."""
        return self.source.shape

    @property
    def rows_in_memory(self) -> np.ndarray:
        """(n,), those of the other source."""
        return self.source.rows_in_memory

    @property
    def overview(self) -> Overview:
        """Overview of all rows, from that of the other source."""
        return self.source.overview.subtract(self.level)

    def read(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Line integrals (views, n, columns) float32, 0 where invalid, and which are valid, bool."""
        projections, mask = self.source.read(rows)
        return _subtract(projections, mask, self.level), mask

    def take_views(self, indices: np.ndarray | slice) -> RowSource:
        """The same rows with only the views with these indices."""
        return OffsetRows(self.source.take_views(indices), self.level)


def _subtract(projections: np.ndarray, mask: np.ndarray, level: float) -> np.ndarray:
    """``projections - level`` where the bin is valid, else 0."""
    return np.where(mask, projections - np.float32(level), np.float32(0))
