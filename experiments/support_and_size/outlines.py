"""Simulated scans of samples with an outline, inside the field of view or beyond it."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.path import Path

import pfitre_jax as pf
from pfitre_jax.evaluation import draw_scene
from pfitre_jax.twin import OVERSAMPLING, bin_down, project_finely

#: Radius of a disc about the rotation axis, or corners (x, y) of a polygon; in units of the columns. The
#: rotation axis is at (0, 0), and the beam runs along y in the middle of the measured views.
Outline = float | tuple[tuple[float, float], ...]


def rectangle(width: float, height: float) -> Outline:
    """Rectangle about the rotation axis, ``width`` along x and ``height`` along y."""
    x, y = width / 2, height / 2
    return ((-x, -y), (x, -y), (x, y), (-x, y))


#: Outlines by name.
OUTLINES: dict[str, Outline] = {
    "disc inside the field": 0.42,
    "slab inside the field": rectangle(0.8, 0.3),
    "slab longer than the detector": rectangle(1.4, 0.3),
    "polygon beyond one edge": (
        (-0.15, -0.2),
        (0.3, -0.24),
        (0.6, -0.06),
        (0.58, 0.08),
        (0.3, 0.24),
        (-0.1, 0.16),
    ),
    "polygon inside the field": (
        (-0.4, -0.1),
        (-0.1, -0.38),
        (0.28, -0.3),
        (0.18, -0.02),
        (0.38, 0.2),
        (-0.2, 0.3),
    ),
    "disc beyond the field": 0.6,
}


@dataclasses.dataclass(frozen=True)
class OutlineScans:
    """Simulated scans of circuits on a uniform matrix inside an outline.

    Attributes:
        columns: Detector bins.
        views: Number of views.
        missing_deg: Missing wedge around the x axis, degrees.
        noise: Sigma over the maximum of the projections.
        matrix: Value of the matrix.
        width: Width of the simulated image, in units of the columns.
        seeds: Seeds of the scenes; each scene is one row of the scan.
    """

    columns: int = 128
    views: int = 51
    missing_deg: float = 96.0
    noise: float = 0.01
    matrix: float = 0.2
    width: float = 1.5
    seeds: tuple[int, ...] = (7200, 7201, 7202)


@dataclasses.dataclass(frozen=True, eq=False)
class OutlinedSample:
    """Scan of a sample, and what is known about it.

    Attributes:
        scan: The scan.
        truth: (rows, columns, columns).
        outline: (wide, wide), 1 inside the true outline, else 0; also beyond the detector.
    """

    scan: pf.Scan
    truth: np.ndarray
    outline: np.ndarray


def simulate(config: OutlineScans, outline: Outline) -> OutlinedSample:
    """Simulated scan of a sample with an outline.

    The whole sample is projected on a finer grid to a detector of ``config.width`` times the columns. The
    scan has the middle of it.
    """
    n = config.columns
    margin = round((config.width - 1) * n / 2)
    wide = n + 2 * margin
    inside = contains(outline, OVERSAMPLING * wide, OVERSAMPLING * n)
    fine = [draw_scene("heldout", seed, OVERSAMPLING * wide).image for seed in config.seeds]
    fine = jnp.asarray(inside * (config.matrix + (1 - config.matrix) * np.stack(fine)), jnp.float32)
    half = (180 - config.missing_deg) / 2
    theta = np.deg2rad(np.linspace(-half, half, config.views))
    geometry = pf.ParallelGeometry.create(theta, wide)
    projections = np.moveaxis(
        np.asarray(jax.lax.map(lambda image: project_finely(geometry, image), fine)), 0, 1
    )
    middle = slice(margin, margin + n)
    rng = np.random.default_rng(config.seeds[0])
    seen = projections[..., middle]
    seen = seen + config.noise * seen.max() * rng.standard_normal(seen.shape)
    scan = pf.Scan.create(seen.astype(np.float32), theta, center=(n - 1) / 2)
    truth = np.asarray(jax.vmap(bin_down)(fine))[:, middle, middle]
    return OutlinedSample(scan, truth, np.asarray(bin_down(jnp.asarray(inside, jnp.float32))) > 0)


def contains(outline: Outline, size: int, columns: int) -> np.ndarray:
    """Whether pixels of an image are inside an outline, (size, size).

    Args:
        outline: The outline.
        size: Width of the image, pixels.
        columns: Unit of length of the outline, pixels.
    """
    x = (np.arange(size) - (size - 1) / 2) / columns
    x, y = np.meshgrid(x, -x)
    if isinstance(outline, float):
        return np.hypot(x, y) <= outline
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    return Path(outline).contains_points(points).reshape(size, size)
