"""Sample support: the pixels that may differ from 0, from what the detector sees."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from pfitre_jax.data.overview import Overview, smoothed_peak
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.truncation import TRUNCATION_ERRORS, TRUNCATION_FRACTION, truncated_views
from pfitre_jax.geometry import ParallelGeometry

#: Side of the largest extended image, in units of the detector's columns.
LARGEST_EXTENSION = 1.5
#: Pixels beyond the field of view in which a learned prior is applied.
MARGIN = 16


def scan_support(scan: Scan) -> tuple[Float[np.ndarray, "ny nx"], Bool[np.ndarray, " views"]]:
    """Support of a scan, and its truncated views.

    :func:`image_support`, extended where a view is truncated, or where signal lies outside the shadow of the
    disc (an axis far from the detector's middle, with views from one side).

    Returns:
        The support (ny, nx), 1 where the image may differ from 0; and which views (views,) extend beyond the
        field of view.
    """
    truncated = np.isin(np.arange(scan.views), truncated_views(scan))
    extended = truncated.any() or _signal_beyond_disc(scan.geometry(), scan.overview)
    return image_support(scan.geometry(), truncated if extended else None), truncated


def image_support(
    geometry: ParallelGeometry, truncated: Bool[np.ndarray, " views"] | None = None
) -> Float[np.ndarray, "ny nx"]:
    """Support (ny, nx) float32, 1 for the pixels that may differ from 0; its shape is that of the image.

    By default it is the disc about the rotation axis that every view sees completely, on an image of
    (columns, columns). With truncated views, whose rays also cross matter beyond the field of view, it is
    every pixel that all other views see inside the detector, within a disc of 1.5 times the columns across.
    The image is then the smallest square, of the columns' parity, whose inscribed disc contains the support,
    so that it can be rotated.

    Args:
        geometry: Geometry of a row.
        truncated: (views,), which views extend beyond the field of view; None for the disc.

    Raises:
        ValueError: ``truncated`` has another shape.
    """
    columns = geometry.columns
    if truncated is None:
        x, y = _pixel_grid(columns)
        return (x**2 + y**2 <= float(geometry.disc_radius) ** 2).astype(np.float32)
    truncated = np.asarray(truncated, bool)
    if truncated.shape != (geometry.views,):
        raise ValueError(
            f"truncated has shape {truncated.shape}; expected one value for each of {geometry.views} views"
        )
    size = columns + 2 * int(np.ceil((LARGEST_EXTENSION - 1) * columns / 2))
    x, y = _pixel_grid(size)
    support = x**2 + y**2 <= (size / 2) ** 2
    theta = np.asarray(geometry.theta_rad, float)
    shifts = np.asarray(geometry.shifts, float)
    center = float(geometry.center)
    for view in np.flatnonzero(~truncated):
        bins = x * np.cos(theta[view]) + y * np.sin(theta[view]) + center + shifts[view]
        support &= (bins >= -0.5) & (bins <= columns - 0.5)
    diameter = 2 * float(np.sqrt(np.max((x**2 + y**2) * support)))
    margin = max(int((size - max(diameter + 1, columns)) / 2), 0)
    return support[margin : size - margin, margin : size - margin].astype(np.float32)


def field_of_view(geometry: ParallelGeometry) -> int:
    """Side of the square in which a learned prior is applied, pixels, of the columns' parity.

    It is centred on the rotation axis and contains what the detector sees in all views, with
    :data:`MARGIN` pixels on each side.
    """
    center, last = float(geometry.center), geometry.columns - 1
    reach = max(center, last - center) + 0.5
    return geometry.columns + 2 * (int(np.ceil(max(reach - geometry.columns / 2, 0))) + MARGIN)


def _signal_beyond_disc(geometry: ParallelGeometry, overview: Overview) -> bool:
    """Whether a view has signal outside the shadow of the disc, as much as that of a truncated view."""
    distance = np.abs(np.arange(geometry.columns) - float(geometry.center))
    outside = distance > float(geometry.disc_radius) + 1
    valid = overview.valid[:, outside].sum(axis=1)
    signal = overview.signal[:, outside].sum(axis=1) / np.maximum(valid, 1)
    error = overview.noise / np.sqrt(np.maximum(valid, 1))
    highest = smoothed_peak(overview.profile)
    threshold = np.maximum(TRUNCATION_FRACTION * highest, TRUNCATION_ERRORS * error)
    return bool(np.any((highest > 0) & (signal > threshold)))


def _pixel_grid(size: int) -> tuple[Float[np.ndarray, "1 size"], Float[np.ndarray, "size 1"]]:
    """Coordinates x (1, size) to the right and y (size, 1) upwards, in pixels from the middle."""
    x = np.arange(size) - (size - 1) / 2
    return x[None, :], -x[:, None]
