"""Exact areas on a grid: polygons drawn, and pictures averaged, without aliasing.

Numpy, on the host, where banks of tiles are made. Row 0 is at the lowest ``y``.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def coverage(polygons, x: float, y: float, pixel: tuple[float, float], shape: tuple[int, int]):
    """Share of each pixel that polygons cover, ``(ny, nx)`` float32 in [0, 1], exact for disjoint ones.

    polygons: arrays (k, 2) of corners ``x, y``, of either sense; those that overlap add up, at most to 1
    x, y: lower left corner of the grid; pixel: its sides along x and y, in the same unit; shape: ``(ny, nx)``

    The area to the right of an edge, summed with its sign over a polygon's edges, is the polygon's area.
    """
    ny, nx = shape
    total = np.zeros((ny, nx + 1))
    edges = [_edges((np.asarray(p, float) - (x, y)) / pixel) for p in polygons]
    if edges:
        cell_y, cell_x, rise, right = _cells(np.concatenate(edges), ny)
        # An edge left of the grid covers whole rows, one right of it nothing.
        right = np.where(cell_x < 0, 1.0, right)
        cell_x, seen = np.maximum(cell_x, 0), cell_x < nx
        at = (cell_y * (nx + 1) + cell_x)[seen]
        rise, right = rise[seen], right[seen]
        size = total.size
        total += np.bincount(at, rise * right, size).reshape(total.shape)
        total += np.bincount(at + 1, rise * (1 - right), size + 1)[:size].reshape(total.shape)
    return np.clip(np.cumsum(total[:, :nx], axis=1), 0.0, 1.0).astype(np.float32)


def _edges(corners):
    """Edges ``(k, 4)`` from, to of a polygon, so that its area counts as positive."""
    following = np.roll(corners, -1, axis=0)
    area = np.sum(corners[:, 0] * following[:, 1] - following[:, 0] * corners[:, 1])
    # Going up a polygon's left side is the positive sense here.
    ends = (corners, following) if area < 0 else (following, corners)
    return np.concatenate(ends, axis=1)


def _cells(edges, ny: int):
    """The edges cut at the grid's lines, inside its rows: ``row, column, rise``, and share of the pixel right of
    each piece."""
    edges = edges[edges[:, 1] != edges[:, 3]]
    edges = _cut(_cut(edges, 1), 0)
    middle = (edges[:, :2] + edges[:, 2:]) / 2
    column, row = np.floor(middle).astype(int).T
    inside = (row >= 0) & (row < ny)
    rise = edges[:, 3] - edges[:, 1]
    return row[inside], column[inside], rise[inside], (1 - (middle[:, 0] - column))[inside]


def _cut(edges, axis: int):
    """The edges ``(k, 4)`` cut where coordinate ``axis`` is a whole number."""
    low = np.minimum(edges[:, axis], edges[:, 2 + axis])
    high = np.maximum(edges[:, axis], edges[:, 2 + axis])
    first = np.floor(low).astype(int) + 1
    cuts = np.maximum(np.ceil(high).astype(int) - first, 0)
    which = np.repeat(np.arange(len(edges)), cuts + 1)
    number = np.arange(len(which)) - np.repeat(np.cumsum(cuts + 1) - cuts - 1, cuts + 1)
    begin, end = edges[:, axis], edges[:, 2 + axis]
    up = (end >= begin)[which]
    # Lines crossed, in the order from the edge's beginning.
    line = np.where(up, first[which] + number, (first + cuts - 1)[which] - number)
    span = np.where(end == begin, 1.0, end - begin)[which]
    share = lambda line: np.clip((line - begin[which]) / span, 0.0, 1.0)  # noqa: E731
    s = np.where(number == 0, 0.0, share(line - np.where(up, 1, -1)))
    t = np.where(number == cuts[which], 1.0, share(line))
    p, d = edges[which, :2], (edges[:, 2:] - edges[:, :2])[which]
    return np.concatenate([p + s[:, None] * d, p + t[:, None] * d], axis=1)


def averaging(begin: float, extent: float, size: int, count: int) -> Float[np.ndarray, "count size"]:
    """Matrix that averages ``size`` samples over each of ``count`` equal parts of ``[begin, begin+extent)``.

    Sample ``k`` stands for ``[k, k+1)``; beyond the ends there is nothing. Rows sum to 1 inside.
    """
    edge = begin + extent * np.arange(count + 1) / count
    k = np.arange(size)
    overlap = np.minimum(edge[1:, None], k + 1) - np.maximum(edge[:-1, None], k)
    return np.maximum(overlap, 0.0) * (count / extent)


def resample(image, top: float, left: float, extent: float, side: int) -> Float[np.ndarray, "side side"]:
    """The square ``extent`` wide at ``(top, left)`` of an image as ``(side, side)``: averaged where it shrinks
    and linear between pixels' centres where it grows.
    """
    ny, nx = image.shape
    if extent >= side:
        return averaging(top, extent, ny, side) @ image @ averaging(left, extent, nx, side).T
    return _between(top, extent, ny, side) @ image @ _between(left, extent, nx, side).T


def _between(begin: float, extent: float, size: int, count: int):
    """Matrix of linear interpolation at the middles of ``count`` parts; the ends go on."""
    middle = np.clip(begin + extent * (np.arange(count) + 0.5) / count - 0.5, 0, size - 1)
    return np.maximum(1 - np.abs(middle[:, None] - np.arange(size)), 0.0)
