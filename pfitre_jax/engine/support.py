"""Where an image may differ from 0, given what the detector sees."""

from __future__ import annotations

import numpy as np

from pfitre_jax.geometry import ParallelGeometry

#: Side of the largest extended image, in units of the detector's columns.
LIMIT = 1.5


def image_support(geometry: ParallelGeometry, truncated=None) -> np.ndarray:
    """1 for the pixels that may differ from 0: support (ny, nx) float32, whose shape is that of the image.

    Where no view is truncated: the disc about the rotation axis that every view sees whole, on an image of
    (columns, columns). Where some are: their rays pass through matter outside the field of view, which needs
    pixels of its own or it is pressed into the image's edge. The support is then every pixel that all the views
    which are *not* truncated see inside the detector, within a disc of 1.5 times the columns across; the
    image is the smallest square, of the columns' parity, that holds it.

    truncated: (views,) bool, which views run out of the field of view; default none
    """
    columns = geometry.columns
    shifts = np.asarray(geometry.shifts, float)
    center = float(geometry.center)
    truncated = np.zeros(geometry.views, bool) if truncated is None else np.asarray(truncated, bool)
    if truncated.shape != (geometry.views,):
        raise ValueError(f"truncated has shape {truncated.shape}; expected one flag for each of the views")
    if not truncated.any():
        x, y = _grid(columns)
        radius = min(center, columns - 1 - center) - np.abs(shifts).max() + 0.5
        return (x**2 + y**2 <= radius**2).astype(np.float32)
    size = columns + 2 * int(np.ceil((LIMIT - 1) * columns / 2))
    x, y = _grid(size)
    support = x**2 + y**2 <= (size / 2) ** 2
    theta = np.asarray(geometry.theta_rad, float)
    for v in np.flatnonzero(~truncated):
        bins = x * np.cos(theta[v]) + y * np.sin(theta[v]) + center + shifts[v]
        support &= (bins >= -0.5) & (bins <= columns - 0.5)
    cut = 0
    while size - 2 * (cut + 1) >= columns and not _frame(support, cut).any():
        cut += 1
    return support[cut : size - cut, cut : size - cut].astype(np.float32)


def _grid(size: int):
    """x (1, size) to the right and y (size, 1) upwards, in pixels from the middle."""
    x = np.arange(size) - (size - 1) / 2
    return x[None, :], -x[:, None]


def _frame(image, depth: int):
    """The pixels of a square image at ``depth`` from its border."""
    inner = image[depth : len(image) - depth, depth : len(image) - depth]
    return np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
