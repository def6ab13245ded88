"""Simulated scans of held-out volumes, with and without motion of the views."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage
from scipy.optimize import minimize

import pfitre_jax as pf
from pfitre_jax.estimation import image_support
from pfitre_jax.twin import (
    bin_down,
    circuits3d,
    data_folder,
    layer_heights,
    project_finely,
    read_layout,
    voxels,
)

#: File of the held-out layout, below the data folder.
LAYOUT = "tinytapeout04_raster40nm/tt_um_urish_simon.npz"
#: Share of the field's height that the layers of a layout fill, smallest share of metal voxels, and number of
#: positions that are tried.
STACK_SHARE, MIN_METAL, TRIALS = 0.5, 0.04, 100
#: Extra rows on either side; motion along the rows brings them into view.
PAD = 6


@dataclasses.dataclass(frozen=True)
class VolumeScans:
    """Simulated scans of a volume, and the motion of their views.

    Attributes:
        size: Pixels and detector bins.
        rows: Rows of the scan.
        views: Number of views.
        missing_deg: Missing wedge around the x axis, degrees.
        noise: Sigma over the largest line integral.
        shift: RMS shift of a view along the columns, bins.
        slipped: Number of views with a larger shift.
        largest_slip: Largest shift of those, bins.
        row_shift: RMS shift of a view along the rows, rows.
        roll_deg: Roll of the rotation axis, degrees.
        gain: RMS of the view gains.
        center: Error of the rotation axis that the reconstruction starts from, bins.
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
class SimulatedVolume:
    """Pair of scans of one volume.

    Attributes:
        ideal: Scan without motion.
        moved: The same scan with motion.
        motion: The motion.
        fine: (rows + 2 PAD, 2n, 2n), the volume with finer pixels and :data:`PAD` more rows on either side.
    """

    ideal: pf.Scan
    moved: pf.Scan
    motion: pf.Motion
    fine: np.ndarray

    @functools.cached_property
    def truth(self) -> np.ndarray:
        """(rows, n, n), the volume in pixels of the reconstruction."""
        return self._truth_at(np.zeros(3))

    def registered_psnr(self, volume: np.ndarray) -> float:
        """PSNR (dB, range 1, inside the support) of a volume at any position.

        The views of a scan with unknown shifts determine no position. The shift along the rows and in the
        plane is the one of the largest PSNR. The fine truth is shifted by it and not the volume, which
        interpolation by a fraction of a pixel would blur.

        Args:
            volume: (rows, n, n).
        """
        geometry = self.ideal.geometry()

        def loss(shift):
            return -psnr(ndimage.shift(volume, shift, order=1), self.truth, geometry)

        simplex = np.array([[0, 0, 0], [1, 0, 0], [0, 3, 0], [0, 0, 3.0]])
        options = {"initial_simplex": simplex, "maxfev": 120}
        best = minimize(loss, np.zeros(3), method="Nelder-Mead", options=options)
        return max(psnr(volume, truth, geometry) for truth in (self.truth, self._truth_at(-best.x)))

    def _truth_at(self, shift: np.ndarray) -> np.ndarray:
        """The truth, shifted by rows and pixels with cubic splines, which blur it by less than 0.1 dB."""
        fine = ndimage.shift(self.fine, shift * (1, 2, 2), order=3) if shift.any() else self.fine
        return np.asarray(jax.vmap(bin_down)(jnp.asarray(fine)))[PAD:-PAD]


def simulate(config: VolumeScans, seed: int, layout: bool = False) -> SimulatedVolume:
    """Noisy scan of a volume of circuits, with and without motion.

    Args:
        config: Scan and motion.
        seed: Seed of the volume, the motion and the noise.
        layout: Whether the volume is a piece of the held-out layout (:func:`layout_volume`) instead of a
            random circuit with layers tilted by up to 2 degrees.
    """
    n, views = config.size, config.views
    rng = np.random.default_rng(seed)
    rows = config.rows + 2 * PAD
    if layout:
        fine = jnp.asarray(layout_volume(seed, rows, n))
    else:
        fine = circuits3d(jax.random.key(seed), rows, 2 * n, 1 / n)
    half = (180 - config.missing_deg) / 2
    theta = np.deg2rad(np.linspace(-half, half, views) - 8)
    geometry = pf.ParallelGeometry.create(theta, n)
    clean = np.moveaxis(np.asarray(jax.vmap(lambda image: project_finely(geometry, image))(fine)), 0, 1)
    shifts = rng.normal(0, config.shift, views)
    slipped = rng.permutation(views)[: config.slipped]
    shifts[slipped] += rng.uniform(-config.largest_slip, config.largest_slip, config.slipped)
    row_shifts, gain = rng.normal(0, config.row_shift, views), 1 + rng.normal(0, config.gain, views)
    middle = (n - 1) / 2
    motion = pf.Motion(theta, shifts, row_shifts, gain, np.zeros(views), config.roll_deg, middle)
    inside = slice(PAD, PAD + config.rows)
    moved, _ = motion.undo(clean)
    noise = config.noise * clean.max() * rng.standard_normal((views, config.rows, n))

    def noisy_scan(projections, center):
        return pf.Scan.create((projections[:, inside] + noise).astype(np.float32), theta, center=center)

    scans = noisy_scan(clean, middle), noisy_scan(moved, middle + config.center)
    return SimulatedVolume(*scans, motion, np.asarray(fine))


def has_layout() -> bool:
    """Whether the file of the held-out layout is available."""
    return (data_folder() / LAYOUT).is_file()


def layout_volume(seed: int, rows: int, n: int) -> np.ndarray:
    """Piece of the held-out Tiny Tapeout layout, (rows, 2n, 2n), rows ``1/n`` high.

    The layers run across the image and fill about half of it. They are rotated in the image by up to 10
    degrees and tilted along the rows by 1 to 2 degrees. The position is the first random one with enough
    metal.

    Raises:
        ValueError: If no position has enough metal.
    """
    layout = read_layout(data_folder() / LAYOUT)
    bottom, top = layer_heights(layout)
    field = (top - bottom) / STACK_SHARE
    pixel, row = field / (2 * n), field / n
    edges = (bottom + top) / 2 + pixel * (np.arange(2 * n + 1) - n)
    rng = np.random.default_rng([20263, seed])
    x0, y0, x1, y1 = layout.bounds
    for _ in range(TRIALS):
        x, y = rng.uniform(x0, x1 - field), rng.uniform(y0, y1 - rows * row)
        # Axes: heights (highest first), rows, x.
        volume = np.moveaxis(voxels(layout, x, y, (pixel, row), (rows, 2 * n), edges), 1, 0)[:, ::-1]
        if volume.mean() > MIN_METAL:
            break
    else:
        raise ValueError(
            f"seed {seed}: none of {TRIALS} positions in the layout has more than {MIN_METAL:.0%} metal; "
            "choose another seed"
        )
    turn, tilt = rng.uniform(-10, 10), np.tan(np.deg2rad(rng.choice([-1, 1]) * rng.uniform(1, 2)))
    axis = 2 * np.arange(2 * n) / (2 * n - 1) - 1
    disc = np.hypot(axis[:, None], axis[None, :]) <= 0.96
    for k, image in enumerate(volume):
        # One row is as high as two of these pixels.
        shifted = ndimage.shift(image, (2 * (k - rows / 2) * tilt, 0), order=1)
        volume[k] = disc * ndimage.rotate(shifted, turn, reshape=False, order=1)
    return np.clip(volume, 0, 1).astype(np.float32)


def psnr(volume: np.ndarray, truth: np.ndarray, geometry: pf.ParallelGeometry) -> float:
    """PSNR (dB, range 1) of all rows together, inside the support."""
    inside = np.broadcast_to(image_support(geometry) > 0, truth.shape)
    return float(pf.metrics.psnr(volume, truth, inside))


def motion_error(estimate: pf.Motion, truth: pf.Motion, theta_rad) -> dict[str, float]:
    """RMS errors of an estimated motion.

    Returns:
        ``shifts`` (bins, modulo 1, cos and sin of the angle), ``row_shifts`` (rows, modulo a constant),
        ``gain`` (relative, modulo a factor), ``center`` (signed, bins: the part of all shifts that is neither
        cos nor sin of the angle, because those translate the image) and ``roll_deg`` (signed, degrees).
    """
    basis = np.stack([np.ones_like(theta_rad), np.cos(theta_rad), np.sin(theta_rad)], axis=1)
    difference = estimate.shifts + estimate.center - truth.shifts - truth.center
    common = np.linalg.lstsq(basis, difference, rcond=None)[0]
    return {
        "shifts": float(np.std(difference - basis @ common)),
        "row_shifts": float(np.std(estimate.row_shifts - truth.row_shifts)),
        "gain": float(np.std(np.log(estimate.gain / truth.gain))),
        "center": float(common[0]),
        "roll_deg": estimate.roll_deg - truth.roll_deg,
    }
