"""Simulated scans of volumes that no prior was trained on: where their views should be, and moved."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage
from scipy.optimize import minimize

import pfitre_jax as pf
from pfitre_jax import metrics
from pfitre_jax.estimation.support import image_support
from pfitre_jax.twin import bin_down, circuits3d, data_folder, project_finely
from pfitre_jax.twin.scenes.heldout_files import SOURCES, available
from pfitre_jax.twin.scenes.layouts import heights, read_layout, voxels

#: Share of a field's height that the layers of a layout take, of its voxels that must be metal, and
#: how many places are tried.
STACK_SHARE, LEAST_METAL, TRIALS = 0.5, 0.04, 100
#: More rows than are seen, on either side: what moves along the rows comes from there.
PAD = 6


@dataclasses.dataclass(frozen=True)
class VolumeScans:
    """size, rows, views, missing_deg, noise: of the scans; missing about the x axis, noise over the largest
        line integral
    shift, slipped, largest_slip, row_shift, roll_deg, gain, center: of those that moved: rms of the shifts,
        number of views that slip further and how far, rms along the rows, roll, rms of the gain, and how far
        off the centre is that the reconstruction is told
    """

    size: int = 96
    rows: int = 32
    views: int = 51
    missing_deg: float = 96.0
    noise: float = 0.01
    shift: float = 1.5
    slipped: int = 3
    largest_slip: float = 6.0
    row_shift: float = 1.0
    roll_deg: float = 1.0
    gain: float = 0.05
    center: float = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Moved:
    """straight, moved: the same scan with its views where they belong, and not
    motion: how they were moved; truth: (rows, n, n)"""

    straight: pf.Scan
    moved: pf.Scan
    motion: pf.Motion
    truth: np.ndarray


def simulate(config: VolumeScans, seed: int, chip: bool = False) -> Moved:
    """A scan of a volume of circuits, with noise, and the same scan moved.

    chip: whether it is a piece of a held-out layout (:func:`layout3d`), else drawn by the rules of the twin,
        layers tilted by up to 2 degrees
    """
    n, views = config.size, config.views
    g = np.random.default_rng(seed)
    rows = config.rows + 2 * PAD
    fine = (
        jnp.asarray(layout3d(seed, rows, n)) if chip else circuits3d(jax.random.key(seed), rows, 2 * n, 1 / n)
    )
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


def has_layout() -> bool:
    """Whether the held-out layout is at hand."""
    return available("tile")


def layout3d(seed: int, rows: int, n: int) -> np.ndarray:
    """A piece of the Tiny Tapeout design that no prior is trained on, (rows, 2n, 2n), rows ``1/n`` high.

    The layers lie across the image, which a stack of them fills by about half, turned in the image by up to
    10 degrees, and tilted along the rows by 1 to 2. The place is the first of a seed's that holds metal.
    """
    layout = read_layout(data_folder() / SOURCES["tile"][0])
    bottom, top = heights(layout)
    field = (top - bottom) / STACK_SHARE
    pixel, row = field / (2 * n), field / n
    edges = (bottom + top) / 2 + pixel * (np.arange(2 * n + 1) - n)
    g = np.random.default_rng([20263, seed])
    x0, y0, x1, y1 = layout.bounds
    for _ in range(TRIALS):
        x, y = g.uniform(x0, x1 - field), g.uniform(y0, y1 - rows * row)
        # (heights, rows, x), the highest on top.
        volume = np.moveaxis(voxels(layout, x, y, (pixel, row), (rows, 2 * n), edges), 1, 0)[:, ::-1]
        if volume.mean() > LEAST_METAL:
            break
    else:
        raise ValueError(
            f"no place of {TRIALS} in the layout holds {LEAST_METAL:.0%} metal; choose another seed"
        )
    turn, tilt = g.uniform(-10, 10), np.tan(np.deg2rad(g.choice([-1, 1]) * g.uniform(1, 2)))
    axis = 2 * np.arange(2 * n) / (2 * n - 1) - 1
    disc = np.hypot(axis[:, None], axis[None, :]) <= 0.96
    for k, image in enumerate(volume):
        # A row is as high as two of these pixels.
        moved = ndimage.shift(image, (2 * (k - rows / 2) * tilt, 0), order=1)
        volume[k] = disc * ndimage.rotate(moved, turn, reshape=False, order=1)
    return np.clip(volume, 0, 1).astype(np.float32)


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
