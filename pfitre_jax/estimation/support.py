"""Where an image may differ from 0, given what the detector sees."""

from __future__ import annotations

import numpy as np

from pfitre_jax.data.overview import Overview
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.truncation import TRUNCATION_FRACTION, truncated_views
from pfitre_jax.geometry import ParallelGeometry

#: Side of the largest extended image, in units of the detector's columns.
LIMIT = 1.5
#: Pixels beyond the field of view that a learned prior looks at.
MARGIN = 16


def scan_support(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Support (ny, nx) for the images of ``scan``, and which views (views,) run out of the field of view.

    :func:`image_support`, extended where a view is truncated or where signal lies outside the disc's shadow
    (an axis far from the detector's middle, and views from one side).
    """
    truncated = np.isin(np.arange(scan.views), truncated_views(scan))
    extended = truncated.any() or _beyond_disc(scan.geometry(), scan.overview) > TRUNCATION_FRACTION
    return image_support(scan.geometry(), truncated if extended else None), truncated


def image_support(geometry: ParallelGeometry, truncated=None) -> np.ndarray:
    """1 for the pixels that may differ from 0: support (ny, nx) float32, whose shape is that of the image.

    By default the disc about the rotation axis that every view sees whole, on an image of (columns, columns).

    truncated: (views,) bool, which views run out of the field of view. Their rays pass through matter beyond
        it, which needs pixels of its own or it is pressed into the image's edge. The support is then every
        pixel that all views which are *not* truncated see inside the detector, within a disc of
        1.5 times the columns across; the image is the smallest square, of the columns' parity, whose
        inscribed disc holds it, so that it may be turned.
    """
    columns = geometry.columns
    if truncated is None:
        x, y = _grid(columns)
        return (x**2 + y**2 <= float(geometry.disc_radius) ** 2).astype(np.float32)
    truncated = np.asarray(truncated, bool)
    if truncated.shape != (geometry.views,):
        raise ValueError(
            f"truncated has shape {truncated.shape}; expected a flag for each of the {geometry.views} views"
        )
    size = columns + 2 * int(np.ceil((LIMIT - 1) * columns / 2))
    x, y = _grid(size)
    support = x**2 + y**2 <= (size / 2) ** 2
    theta = np.asarray(geometry.theta_rad, float)
    shifts = np.asarray(geometry.shifts, float)
    center = float(geometry.center)
    for v in np.flatnonzero(~truncated):
        bins = x * np.cos(theta[v]) + y * np.sin(theta[v]) + center + shifts[v]
        support &= (bins >= -0.5) & (bins <= columns - 0.5)
    reach = 2 * float(np.sqrt(np.max((x**2 + y**2) * support)))
    cut = max(int((size - max(reach + 1, columns)) / 2), 0)
    return support[cut : size - cut, cut : size - cut].astype(np.float32)


def field_of_view(geometry: ParallelGeometry) -> int:
    """Pixels on a side of the square about the rotation axis, of the columns' parity, that holds whatever the
    detector sees in every view, and :data:`MARGIN` pixels more on each side."""
    center, last = float(geometry.center), geometry.columns - 1
    reach = max(center, last - center) + 0.5
    return geometry.columns + 2 * (int(np.ceil(max(reach - geometry.columns / 2, 0))) + MARGIN)


def _beyond_disc(geometry: ParallelGeometry, overview: Overview) -> float:
    """Largest mean signal of a view outside the disc's shadow, relative to the view's maximum."""
    distance = np.abs(np.arange(geometry.columns) - float(geometry.center))
    outside = distance > float(geometry.disc_radius) + 1
    valid = overview.valid[:, outside].sum(axis=1)
    signal = overview.signal[:, outside].sum(axis=1) / np.maximum(valid, 1)
    highest = overview.profile.max(axis=1)
    return float(np.max(np.where(highest > 0, signal / np.where(highest > 0, highest, 1), 0)))


def _grid(size: int):
    """x (1, size) to the right and y (size, 1) upwards, in pixels from the middle."""
    x = np.arange(size) - (size - 1) / 2
    return x[None, :], -x[:, None]
