"""Scans of the experiment: simulated volumes and slices, and measured scans."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

import pfitre_jax as pf
from experiments.common.comparison import Reference, scan_with_reference
from experiments.common.real_scans import (
    CHIP_CENTER,
    CHIP_ROLL_DEG,
    full_angle_samples,
    limit_range,
    load_chip,
    removed_views,
)
from experiments.common.simulated_volumes import VolumeScans, simulate
from experiments.self_supervision.config import Config
from pfitre_jax.evaluation import Cell, simulate_cell
from pfitre_jax.reconstruction import select_slabs
from pfitre_jax.twin import bin_down, project_finely

CIRCUITS, LAYOUTS, SLICES, RODS = "circuits", "layouts", "slices", "rods"
#: Pieces of the layout whose rows are neighbours, as a volume and as single rows.
VOLUMES, SINGLE_ROWS = "layouts, neighbouring rows, joint", "layouts, neighbouring rows, single"
#: Kinds of simulated scans.
SIMULATED = (CIRCUITS, LAYOUTS, VOLUMES, SINGLE_ROWS, SLICES, RODS)
#: Rods of a slice, and the range of their radii, shares of the field.
NUMBER_OF_RODS, RADII = 60, (0.006, 0.014)


def simulated(config: Config, kind: str, seed: int) -> tuple[pf.Scan, Reference]:
    """Simulated scan of a held-out volume or slice, without artifacts but noise, and its truth."""
    if kind == RODS:
        scan, truth = rods(config, seed)
        return scan, Reference.from_truth(truth, scan)
    tall = config.rows * config.row_step
    if kind in (LAYOUTS, VOLUMES, SINGLE_ROWS):
        scans = VolumeScans(config.size, tall, config.views, config.missing_deg, config.noise)
        volume = simulate(scans, seed, layout=True)
        scan, truth = volume.ideal, volume.truth
        if kind != LAYOUTS:
            rows = select_slabs(0, tall).ravel()
            return scan.take_rows(rows), Reference.from_truth(truth[rows], scan)
    else:
        orientations = config.circuits if kind == CIRCUITS else config.slices
        center_deg = 180 * orientations.index(seed) / len(orientations)
        scan_of = functools.partial(Cell, "orientation", f"{center_deg:g}", (), center_deg)
        cell = scan_of(config.missing_deg, config.views, config.noise, "heldout", (seed,))
        _, scans = simulate_cell(cell, tall if kind == CIRCUITS else 1, config.size)
        projections = np.moveaxis(np.asarray(scans.sinograms), 0, 1)
        theta = np.asarray(scans.problem.A.geometry.theta_rad, float)
        scan = pf.Scan.create(projections, theta, center=(config.size - 1) / 2)
        truth = np.asarray(scans.truth)
    picked = np.arange(config.row_step // 2, tall, config.row_step) if scan.rows > 1 else np.arange(1)
    return scan.take_rows(picked), Reference.from_truth(truth[picked], scan)


def rods(config: Config, seed: int) -> tuple[pf.Scan, np.ndarray]:
    """Scan of one slice of thin rods, whose cross-sections are discs, and its truth (1, n, n)."""
    rng, fine = np.random.default_rng(seed), 2 * config.size
    axis = np.arange(fine) - (fine - 1) / 2
    image = np.zeros((fine, fine), np.float32)
    for _ in range(NUMBER_OF_RODS):
        radius, (x, y) = rng.uniform(*RADII) * fine, rng.uniform(-0.3, 0.3, 2) * fine
        image[np.hypot(axis - x, axis[:, None] - y) <= radius] = 1
    half = (180 - config.missing_deg) / 2
    theta = np.deg2rad(np.linspace(-half, half, config.views))
    clean = np.asarray(project_finely(pf.ParallelGeometry.create(theta, config.size), jnp.asarray(image)))
    noisy = clean + config.noise * clean.max() * rng.standard_normal(clean.shape)
    scan = pf.Scan.create(noisy[:, None].astype(np.float32), theta, center=(config.size - 1) / 2)
    return scan, np.asarray(bin_down(jnp.asarray(image)))[None]


def chip(config: Config, views: str) -> tuple[pf.Scan, pf.Scan]:
    """Some rows of Cu_23 without the held-out views, and these views."""
    load = functools.partial(load_chip, CHIP_CENTER, CHIP_ROLL_DEG)
    scan, held_out = load(exclude_views=views), load(views=views)
    rows = range(2, scan.rows, config.chip_row_step)
    return scan.take_rows(rows), held_out.take_rows(rows)


def limited(name: str, missing: str) -> tuple[pf.Scan, Reference, pf.Scan]:
    """A measured scan without some of its range, its reference from all views, and the removed views."""
    sample, missing_deg = full_angle_samples()[name], float(missing.removesuffix(" degrees"))
    full, reference = scan_with_reference(sample, "fista-tv")
    wedge = (full, missing_deg, sample.first_angle_deg(missing_deg))
    return pf.with_air(limit_range(*wedge)), reference, removed_views(*wedge)


def removed_error(volume: np.ndarray, removed: pf.Scan) -> float:
    """``||M(A x - y)|| / ||M y||`` of a volume (rows, ny, nx) over the removed views, all rows together."""
    projector = pf.Projector(removed.geometry(), volume.shape[1:])
    predicted = np.moveaxis(np.asarray(jax.vmap(projector)(jnp.asarray(volume))), 0, 1)
    error = np.linalg.norm((predicted - removed.projections)[removed.mask])
    return float(error / np.linalg.norm(removed.projections[removed.mask]))
