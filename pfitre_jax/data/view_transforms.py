"""Affine transforms of the views that a file of the scan states, such as the alignment of a tilt series."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class ViewTransforms:
    """Position of each aligned view in the stored one.

    Bin ``b = (row, column)`` of aligned view ``v`` lies at ``matrix[v] (b - middle) + middle + shift[v]`` of
    the stored view; ``middle`` is that of the detector.

    Attributes:
        matrix: (views, 2, 2).
        shift: (views, 2), rows and columns, bins.
    """

    matrix: np.ndarray
    shift: np.ndarray

    def __len__(self) -> int:
        """Number of views."""
        return len(self.shift)

    def take_views(self, indices: np.ndarray | slice) -> ViewTransforms:
        """The transforms of the views with these indices."""
        return ViewTransforms(self.matrix[indices], self.shift[indices])
