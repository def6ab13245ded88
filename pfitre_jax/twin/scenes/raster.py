"""Rasterisation of polygons and resampling of pictures by exact areas, without aliasing.

Everything runs in NumPy on the host, where banks of tiles are made. Row 0 is at the lowest ``y``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def coverage(
    polygons: Sequence[np.ndarray], x: float, y: float, pixel: tuple[float, float], shape: tuple[int, int]
) -> Float[np.ndarray, "ny nx"]:
    """Share of each pixel that polygons cover: (ny, nx), float32 in [0, 1], exact for disjoint polygons.

    The area to the right of an edge, summed with its sign over the edges of a polygon, is the area of the
    polygon.

    Args:
        polygons: Arrays (corners, 2) of ``x, y`` in either orientation. Overlaps add up, to at most 1.
        x: Left edge of the grid, in the unit of the polygons.
        y: Lower edge of the grid.
        pixel: Sides of a pixel along ``x`` and ``y``.
        shape: Shape (ny, nx) of the grid.
    """
    ny, nx = shape
    total = np.zeros((ny, nx + 1))
    edges = [_edges((np.asarray(p, float) - (x, y)) / pixel) for p in polygons]
    if edges:
        cell_y, cell_x, rise, right = _cells(np.concatenate(edges), ny)
        # An edge to the left of the grid covers whole rows, and an edge to its right covers nothing.
        right = np.where(cell_x < 0, 1.0, right)
        cell_x, in_grid = np.maximum(cell_x, 0), cell_x < nx
        index = (cell_y * (nx + 1) + cell_x)[in_grid]
        rise, right = rise[in_grid], right[in_grid]
        size = total.size
        total += np.bincount(index, rise * right, size).reshape(total.shape)
        total += np.bincount(index + 1, rise * (1 - right), size + 1)[:size].reshape(total.shape)
    # Rounding makes empty pixels exactly 0.
    return np.clip(np.cumsum(total[:, :nx], axis=1).round(9), 0.0, 1.0).astype(np.float32)


def _edges(corners):
    """Edges (k, 4) of a polygon, start and end, oriented so that its area counts as positive."""
    next_corners = np.roll(corners, -1, axis=0)
    area = np.sum(corners[:, 0] * next_corners[:, 1] - next_corners[:, 0] * corners[:, 1])
    # The orientation is positive where the left side of a polygon points up.
    ends = (corners, next_corners) if area < 0 else (next_corners, corners)
    return np.concatenate(ends, axis=1)


def _cells(edges, ny: int):
    """Pieces of the edges between grid lines: row, column, rise, and share of the pixel to their right.

    Pieces outside the rows of the grid are left out.
    """
    edges = edges[edges[:, 1] != edges[:, 3]]
    edges = _cut(_cut(edges, 1), 0)
    middle = (edges[:, :2] + edges[:, 2:]) / 2
    column, row = np.floor(middle).astype(int).T
    inside = (row >= 0) & (row < ny)
    rise = edges[:, 3] - edges[:, 1]
    return row[inside], column[inside], rise[inside], (1 - (middle[:, 0] - column))[inside]


def _cut(edges, axis: int):
    """Edges (k, 4), cut where the coordinate ``axis`` is an integer."""
    low = np.minimum(edges[:, axis], edges[:, 2 + axis])
    high = np.maximum(edges[:, axis], edges[:, 2 + axis])
    first = np.floor(low).astype(int) + 1
    cuts = np.maximum(np.ceil(high).astype(int) - first, 0)
    which = np.repeat(np.arange(len(edges)), cuts + 1)
    number = np.arange(len(which)) - np.repeat(np.cumsum(cuts + 1) - cuts - 1, cuts + 1)
    begin, end = edges[:, axis], edges[:, 2 + axis]
    up = (end >= begin)[which]
    # Grid lines that an edge crosses, in order from its start.
    line = np.where(up, first[which] + number, (first + cuts - 1)[which] - number)
    span = np.where(end == begin, 1.0, end - begin)[which]
    share = lambda line: np.clip((line - begin[which]) / span, 0.0, 1.0)  # noqa: E731
    s = np.where(number == 0, 0.0, share(line - np.where(up, 1, -1)))
    t = np.where(number == cuts[which], 1.0, share(line))
    p, d = edges[which, :2], (edges[:, 2:] - edges[:, :2])[which]
    return np.concatenate([p + s[:, None] * d, p + t[:, None] * d], axis=1)


def averaging_matrix(begin: float, extent: float, size: int, count: int) -> Float[np.ndarray, "count size"]:
    """Matrix that averages ``size`` samples over each of ``count`` equal parts of ``[begin, begin+extent)``.

    Sample ``k`` covers ``[k, k+1)``, and values beyond the ends are 0. Rows of parts inside sum to 1.
    """
    edge = begin + extent * np.arange(count + 1) / count
    k = np.arange(size)
    overlap = np.minimum(edge[1:, None], k + 1) - np.maximum(edge[:-1, None], k)
    return np.maximum(overlap, 0.0) * (count / extent)


def resample(
    image: np.ndarray, top: float, left: float, extent: float, side: int
) -> Float[np.ndarray, "side side"]:
    """Resamples a square of an image to (side, side).

    Pixels are averaged where the square shrinks, and interpolated linearly where it grows.

    Args:
        image: (ny, nx).
        top: First row of the square, pixels.
        left: First column of the square, pixels.
        extent: Side of the square, pixels.
        side: Side of the result, pixels.
    """
    ny, nx = image.shape
    if extent >= side:
        return averaging_matrix(top, extent, ny, side) @ image @ averaging_matrix(left, extent, nx, side).T
    return (
        _interpolation_matrix(top, extent, ny, side) @ image @ _interpolation_matrix(left, extent, nx, side).T
    )


def _interpolation_matrix(begin: float, extent: float, size: int, count: int):
    """Matrix of linear interpolation at the middles of ``count`` parts; end values continue outside."""
    middle = np.clip(begin + extent * (np.arange(count) + 0.5) / count - 0.5, 0, size - 1)
    return np.maximum(1 - np.abs(middle[:, None] - np.arange(size)), 0.0)
