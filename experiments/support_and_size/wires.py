"""Simulated scan of gratings of fine wires, about as wide as a detector bin."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

import pfitre_jax as pf
from pfitre_jax.twin import OVERSAMPLING, bin_down, project_finely

#: Directions of the wires. The views resolve the first; the spectrum of the second is in the missing wedge.
MEASURED, MISSING = "along the beam", "across the beam"


@dataclasses.dataclass(frozen=True)
class WireScan:
    """Gratings of wires, one for each direction and each width and pitch, side by side.

    Attributes:
        columns: Detector bins.
        views: Number of views, about the y axis.
        missing_deg: Missing wedge around the x axis, degrees.
        noise: Sigma over the maximum of the sinogram.
        gratings: Width and pitch of the wires, bins.
        side: Width of a grating, bins.
    """

    columns: int = 256
    views: int = 102
    missing_deg: float = 96.0
    noise: float = 0.01
    gratings: tuple[tuple[int, int], ...] = ((1, 3), (1, 4), (2, 4))
    side: int = 48

    def names(self) -> list[tuple[str, int, int]]:
        """Direction, width and pitch of each grating, row by row of the scene."""
        return [(direction, *grating) for direction in (MEASURED, MISSING) for grating in self.gratings]


@dataclasses.dataclass(frozen=True, eq=False)
class Wires:
    """Scan of gratings, and its truth.

    Attributes:
        scan: The scan, of one row.
        truth: (columns, columns).
        squares: (top, left) of each grating, pixels, by the order of :meth:`WireScan.names`.
    """

    scan: pf.Scan
    truth: np.ndarray
    squares: tuple[tuple[int, int], ...]


def simulate(config: WireScan) -> Wires:
    """Simulated scan of the gratings; wires are aligned with the bins of the view along the y axis."""
    n, side = config.columns, config.side
    across = len(config.gratings)
    lefts = [n // 2 + round((k - across / 2) * 1.25 * side) for k in range(across)]
    tops = [n // 2 + round((k - 1) * 1.25 * side) for k in range(2)]
    squares = tuple((top, left) for top in tops for left in lefts)
    fine = np.zeros((OVERSAMPLING * n, OVERSAMPLING * n), np.float32)
    position = np.arange(OVERSAMPLING * side) // OVERSAMPLING
    for (direction, width, pitch), (top, left) in zip(config.names(), squares, strict=True):
        profile = (position % pitch < width).astype(np.float32)
        square = np.broadcast_to(profile, (len(profile), len(profile)))
        y, x = (slice(OVERSAMPLING * start, OVERSAMPLING * (start + side)) for start in (top, left))
        fine[y, x] = square if direction == MEASURED else square.T
    half = (180 - config.missing_deg) / 2
    theta = np.deg2rad(np.linspace(-half, half, config.views))
    geometry = pf.ParallelGeometry.create(theta, n)
    sinogram = np.asarray(project_finely(geometry, jnp.asarray(fine)))
    noise = config.noise * sinogram.max() * np.random.default_rng(0).standard_normal(sinogram.shape)
    scan = pf.Scan.create((sinogram + noise)[:, None].astype(np.float32), theta, center=(n - 1) / 2)
    return Wires(scan, np.asarray(bin_down(jnp.asarray(fine))), squares)


def contrasts(config: WireScan, wires: Wires, image: np.ndarray) -> dict[str, float]:
    """Contrast of each grating over the true one: ``<x, p> / <p, p>``, ``p`` the truth less its mean.

    It is 1 for the truth and 0 for a grating whose wires have run together.

    Args:
        config: The gratings.
        wires: Their scan.
        image: (columns, columns), reconstruction in the units of the truth.
    """
    values = {}
    for (direction, width, pitch), (top, left) in zip(config.names(), wires.squares, strict=True):
        square = (slice(top, top + config.side), slice(left, left + config.side))
        pattern = wires.truth[square] - wires.truth[square].mean()
        values[f"{width}/{pitch} {direction}"] = float(np.sum(image[square] * pattern) / np.sum(pattern**2))
    return values
