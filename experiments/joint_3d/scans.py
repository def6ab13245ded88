"""Simulated scans of a volume: where their views should be, and moved."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from scipy import ndimage
from scipy.optimize import minimize

import pfitre_jax as pf
from experiments.joint_3d.config import Config
from pfitre_jax import metrics
from pfitre_jax.engine.support import image_support
from pfitre_jax.twin.projecting import bin_down, project_finely
from pfitre_jax.twin.scenes.circuits3d import circuits3d

#: More rows than are seen, on either side: what moves along the rows comes from there.
PAD = 6


@dataclasses.dataclass(frozen=True, eq=False)
class Moved:
    """straight, moved: the same scan with its views where they belong, and not
    motion: how they were moved; truth: (rows, n, n)"""

    straight: pf.Scan
    moved: pf.Scan
    motion: pf.Motion
    truth: np.ndarray


def simulate(config: Config, seed: int) -> Moved:
    """A scan of a volume of circuits, with noise, and the same scan moved."""
    n, views = config.size, config.views
    g = np.random.default_rng(seed)
    fine = circuits3d(jax.random.key(seed), config.rows + 2 * PAD, 2 * n, 1 / n)
    half = (180 - config.missing_deg) / 2
    theta = np.deg2rad(np.linspace(-half, half, views) - 8)
    geometry = pf.ParallelGeometry.create(theta, n)
    clean = np.moveaxis(np.asarray(jax.vmap(lambda image: project_finely(geometry, image))(fine)), 0, 1)
    shifts = g.normal(0, config.shift, views)
    slipped = g.permutation(views)[: config.slipped]
    shifts[slipped] += g.uniform(-config.largest_slip, config.largest_slip, config.slipped)
    along = (shifts, g.normal(0, config.row_shift, views), 1 + g.normal(0, config.gain, views))
    motion = pf.Motion(theta, *along, np.zeros(views), config.roll_deg, (n - 1) / 2)
    seen = slice(PAD, PAD + config.rows)
    moved, _ = motion.undo(clean)
    noise = config.noise * clean.max() * g.standard_normal((views, config.rows, n))
    scan = lambda p, center: pf.Scan.create((p[:, seen] + noise).astype(np.float32), theta, center=center)  # noqa: E731
    middle = (n - 1) / 2
    truth = np.asarray(jax.vmap(bin_down)(fine))[seen]
    return Moved(scan(clean, middle), scan(moved, middle + config.center), motion, truth)


def psnr(volume: np.ndarray, truth: np.ndarray, geometry) -> float:
    """PSNR, dB, range 1, of all rows together, inside the support."""
    inside = np.broadcast_to(image_support(geometry) > 0, truth.shape)
    return float(metrics.psnr(volume, truth, inside))


def registered(volume: np.ndarray, truth: np.ndarray, geometry) -> float:
    """:func:`psnr` after the shift of the volume, along rows and in the plane, that makes it best."""

    def loss(shift):
        return -psnr(ndimage.shift(volume, shift, order=1), truth, geometry)

    simplex = np.array([[0, 0, 0], [1, 0, 0], [0, 3, 0], [0, 0, 3.0]])
    found = minimize(
        loss, np.zeros(3), method="Nelder-Mead", options={"initial_simplex": simplex, "maxfev": 120}
    )
    return max(-float(found.fun), psnr(volume, truth, geometry))


def off(found: pf.Motion, truth: pf.Motion, theta_rad) -> dict[str, float]:
    """Errors of an alignment, rms: of the shifts modulo {1, cos, sin}, of those along the rows modulo a
    constant, of the gain modulo a factor, and of the roll, degrees."""
    basis = np.stack([np.ones_like(theta_rad), np.cos(theta_rad), np.sin(theta_rad)], axis=1)
    left = lambda values: values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]  # noqa: E731
    return {
        "shifts": float(np.std(left(found.shifts - truth.shifts))),
        "row_shifts": float(np.std(found.row_shifts - truth.row_shifts)),
        "gain": float(np.std(np.log(found.gain / truth.gain))),
        "roll_deg": found.roll_deg - truth.roll_deg,
    }
