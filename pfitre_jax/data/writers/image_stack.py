"""A stack of slices that is written to a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, eq=False)
class ImageStack:
    """Slices, which are read block by block, so that they may be larger than memory.

    Attributes:
        shape: (rows, ny, nx).
        read: Function that returns an iterator over blocks of neighbouring rows: their range and their slices
            (rows, ny, nx), in the order of the rows.
        pixel_size: Size of a pixel and distance of two slices, micrometres; None if unknown.
        row0: Row of the raw stack that is the first slice.
        name: Name of the images, such as "slices".
        units: Units of the values.
        attributes: Further properties to record, JSON values.
    """

    shape: tuple[int, int, int]
    read: Callable[[], Iterator[tuple[slice, Float[np.ndarray, "rows ny nx"]]]]
    pixel_size: float | None = None
    row0: int = 0
    name: str = "slices"
    units: str = "1/pixel"
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_array(cls, slices: Float[np.ndarray, "rows ny nx"], **more: Any) -> ImageStack:
        """The stack of an array in memory.

        Args:
            slices: (rows, ny, nx).
            **more: Further attributes.
        """
        rows, ny, nx = slices.shape
        return cls((rows, ny, nx), lambda: iter([(slice(0, rows), slices)]), **more)

    @property
    def nbytes(self) -> int:
        """Bytes of the slices in float32."""
        rows, ny, nx = self.shape
        return 4 * rows * ny * nx

    def slices(self) -> Iterator[Float[np.ndarray, "ny nx"]]:
        """The slices one after the other, float32."""
        for _, block in self.read():
            yield from np.asarray(block, np.float32)
