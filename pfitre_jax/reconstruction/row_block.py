"""Solved rows of a scan: one block of neighbouring rows, or several that are concatenated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclasses.dataclass(frozen=True, eq=False)
class LazyVolume:
    """A volume (rows, ny, nx) float32 whose blocks of rows are read from files when they are needed.

    Attributes:
        shape: (rows, ny, nx).
        blocks: Pairs of a range of rows and the function that reads it, in the order of the rows.
    """

    shape: tuple[int, int, int]
    blocks: Sequence[tuple[slice, Callable[[], np.ndarray]]]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> np.ndarray:
        """One slice (ny, nx)."""
        for rows, read in self.blocks:
            if rows.start <= row < rows.stop:
                return read()[row - rows.start]
        raise IndexError(f"row {row} of {len(self)}")

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.concatenate([read() for _, read in self.blocks]).astype(dtype or np.float32)

    def read(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows and their slices (rows, ny, nx), block by block."""
        for rows, read in self.blocks:
            yield rows, read()


def read_blocks(volume: np.ndarray | LazyVolume) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows and their slices (rows, ny, nx), block by block; a volume in memory is one block."""
    return volume.read() if isinstance(volume, LazyVolume) else iter([(slice(0, len(volume)), volume)])


@dataclasses.dataclass(frozen=True, eq=False)
class RowBlock:
    """Solved neighbouring rows of a scan.

    Attributes:
        rows: Rows of the scan.
        volume: (rows, ny, nx) float32, per pixel or per micrometre.
        measured: (rows, ny, nx) float32, the component of the volume that the data determine.
        supplied: (rows,), ``||volume - measured|| / ||volume||``.
        status: (rows,), :class:`pfitre_jax.solvers.loop.Status`.
        iterations: (rows,), iterations done.
        residual: (rows,), ``||M(A x - y)|| / ||M y||`` of the volume.
        residual_history: (rows, iterations), relative residual after each iteration; NaN after the last one.
        change_history: (rows, iterations), relative change in each iteration; NaN after the last one.
        norm: (rows,), Euclidean norm of the slice.
        empty: (rows,), whether the row has no valid bin.
        gains: (rows, views), estimated view gains, 1 for none; (rows, 0) where not estimated.
        stripes: (rows, columns), column offsets, in units of the projections; (rows, 0) where not estimated.
        view_weights: (rows, views), mean weights of the views in a robust data term; (rows, 0) without one.
        lower: (rows, ny, nx) float32, lower limit of the interval of each pixel; (rows, 0, 0) without.
        upper: (rows, ny, nx) float32, upper limit; (rows, 0, 0) without intervals.
        half_width: (rows,), median half width of the intervals in the support; NaN without intervals.
        wider: (rows,), share of the pixels near structure whose interval is wider than the local contrast,
            see :func:`pfitre_jax.trust.share_wider_than_contrast`; NaN without intervals.
    """

    rows: slice
    volume: Float[np.ndarray, "rows ny nx"] | LazyVolume
    measured: Float[np.ndarray, "rows ny nx"] | LazyVolume
    supplied: Float[np.ndarray, " rows"]
    status: Int[np.ndarray, " rows"]
    iterations: Int[np.ndarray, " rows"]
    residual: Float[np.ndarray, " rows"]
    residual_history: Float[np.ndarray, "rows iterations"]
    change_history: Float[np.ndarray, "rows iterations"]
    norm: Float[np.ndarray, " rows"]
    empty: Bool[np.ndarray, " rows"]
    gains: Float[np.ndarray, "rows _"]
    stripes: Float[np.ndarray, "rows _"]
    view_weights: Float[np.ndarray, "rows _"]
    lower: Float[np.ndarray, "rows _ _"] | LazyVolume
    upper: Float[np.ndarray, "rows _ _"] | LazyVolume
    half_width: Float[np.ndarray, " rows"]
    wider: Float[np.ndarray, " rows"]

    def __len__(self) -> int:
        return self.rows.stop - self.rows.start

    def arrays(self) -> dict[str, np.ndarray]:
        """All attributes but ``rows``, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)[1:]}


def concatenate(blocks: Sequence[RowBlock]) -> RowBlock:
    """Joins blocks of neighbouring rows into one block."""
    arrays = [block.arrays() for block in blocks]
    joined: dict[str, Any] = {name: _join([part[name] for part in arrays]) for name in arrays[0]}
    return RowBlock(slice(blocks[0].rows.start, blocks[-1].rows.stop), **joined)


def _join(parts: Sequence[np.ndarray | LazyVolume]) -> np.ndarray | LazyVolume:
    volumes = [part for part in parts if isinstance(part, LazyVolume)]
    if not volumes:
        return np.concatenate(parts)
    blocks, start = [], 0
    for volume in volumes:
        blocks += [(slice(start + rows.start, start + rows.stop), read) for rows, read in volume.blocks]
        start += len(volume)
    return LazyVolume((start, *volumes[0].shape[1:]), blocks)
