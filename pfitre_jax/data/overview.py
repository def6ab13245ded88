"""Overview of a scan: signal at the detector's edges and sums over the rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

#: Number of outermost valid columns that form an edge.
EDGE_COLUMNS = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Overview:
    """Statistics of all rows of a scan, from which truncated views and the sample support are estimated.

    Collected for some rows at a time and then joined. The last axis of the edge arrays is left, right.

    Attributes:
        edge: (views, rows, 2), mean line integral of the :data:`EDGE_COLUMNS` outermost valid bins.
        outermost: (views, rows, 2), line integral of the outermost valid bin.
        start: (views, rows, 2), distance of that bin from the detector's edge, bins.
        present: (views, rows, 2), whether the row has a valid bin.
        signal: (views, columns), sum of the line integrals over the rows.
        valid: (views, columns), number of valid bins over the rows.
    """

    edge: np.ndarray
    outermost: np.ndarray
    start: np.ndarray
    present: np.ndarray
    signal: np.ndarray
    valid: np.ndarray

    @classmethod
    def from_rows(cls, projections: np.ndarray, mask: np.ndarray) -> Overview:
        """Overview of line integrals (views, rows, columns) and their mask of valid bins."""
        starts = np.argmax(mask, axis=2), np.argmax(mask[..., ::-1], axis=2)
        edges, outermost = edge_bins(mask, EDGE_COLUMNS), edge_bins(mask, 1)
        means = [np.sum(projections * side, axis=2) / np.maximum(side.sum(axis=2), 1) for side in edges]
        return cls(
            edge=np.stack(means, axis=-1),
            outermost=np.stack([np.sum(projections * side, axis=2) for side in outermost], axis=-1),
            start=np.stack(starts, axis=-1),
            present=np.stack([side.any(axis=2) for side in edges], axis=-1),
            signal=projections.sum(axis=1),
            valid=mask.sum(axis=1),
        )

    @classmethod
    def join(cls, parts: Sequence[Overview]) -> Overview:
        """Overview of the rows of all ``parts``, in their order."""
        edge, outermost, start, present = (
            np.concatenate([getattr(part, name) for part in parts], axis=1)
            for name in ("edge", "outermost", "start", "present")
        )
        signal, valid = (sum(getattr(part, name) for part in parts) for name in ("signal", "valid"))
        return cls(edge, outermost, start, present, signal, valid)

    def take_views(self, indices: np.ndarray | slice) -> Overview:
        """Overview of the views with these indices."""
        return Overview(*(getattr(self, field.name)[indices] for field in dataclasses.fields(self)))

    @property
    def profile(self) -> np.ndarray:
        """(views, columns), mean line integral over the valid bins of the rows."""
        return self.signal / np.maximum(self.valid, 1)


def edge_bins(mask: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the ``columns`` outermost valid bins of each row, at the left and at the right."""
    rank = np.cumsum(mask, axis=2)
    return mask & (rank <= columns), mask & (rank > rank[..., -1:] - columns)
