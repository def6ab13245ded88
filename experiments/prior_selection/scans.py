"""Simulated scans of many kinds, and what every method makes of them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import pfitre_jax as pf
from experiments.common.comparison import Reference
from experiments.prior_selection.config import Config
from experiments.prior_selection.curves import curves
from pfitre_jax.estimation import calibrate, tv_prediction_error
from pfitre_jax.evaluation import Cell, draw_scene, missing_sources, scan_cell
from pfitre_jax.twin import OVERSAMPLING, SCENES

#: Label of total variation.
TV = "fista-tv"


@dataclasses.dataclass(frozen=True)
class Simulation:
    """A simulated scan.

    Attributes:
        name: Name of the scan.
        kind: Kind of its scene.
        cell: Its geometry, noise and artifact.
    """

    name: str
    kind: str
    cell: Cell


def simulations(config: Config) -> list[Simulation]:
    """All scans of the experiment whose files exist; each is drawn from its own seed."""
    missing = missing_sources(config.sources)
    kinds = {kind: count for kind, count in config.sources.items() if kind not in missing} | config.scenes
    largest = max(kinds.values(), default=0)
    # All kinds come early, so that a part of the scans shows them all.
    return [
        _draw(config, kind, index)
        for index in range(largest)
        for kind, count in kinds.items()
        if index < count
    ]


def _draw(config: Config, kind: str, index: int) -> Simulation:
    seed = config.seed + index
    rng = np.random.default_rng([seed, *map(ord, kind)])
    missing_deg, noise = rng.uniform(*config.missing_deg), np.exp(rng.uniform(*np.log(config.noise)))
    views, center_deg = int(rng.choice(config.views)), rng.uniform(0, 180)
    artifact, strength = "", 0.0
    if config.artifacts and index % 3 == 2:
        artifact = str(rng.choice(list(config.artifacts)))
        strength = config.artifacts[artifact]
    cell = Cell(
        "orientation", f"{seed}", (), center_deg, missing_deg, views, noise, kind, (seed,), artifact, strength
    )
    return Simulation(f"{kind} {seed}", kind, cell)


def simulate(simulation: Simulation, size: int) -> tuple[pf.Scan, Reference]:
    """Scan of one row, with its air at zero, and its truth."""
    cell, fine = simulation.cell, OVERSAMPLING * size
    if simulation.kind in SCENES:
        key = jax.random.fold_in(jax.random.key(20271), cell.seeds[0])
        image = jax.jit(SCENES[simulation.kind], static_argnums=1)(key, fine)
    else:
        image = draw_scene(simulation.kind, cell.seeds[0], fine).image
    scans = scan_cell(cell, jnp.asarray(image)[None])
    theta = np.asarray(scans.problem.A.geometry.theta_rad, float)
    masks = np.moveaxis(np.asarray(scans.masks) > 0, 0, 1)
    projections = np.where(masks, np.moveaxis(np.asarray(scans.sinograms), 0, 1), 0)
    scan = pf.Scan.create(projections, theta, mask=masks, center=(size - 1) / 2)
    return pf.with_air(scan), Reference.from_truth(np.asarray(scans.truth), scan)


def measure(config: Config, simulation: Simulation, prior: str | None) -> dict:
    """PSNR of a method, dB, and its errors on held-out views.

    Args:
        config: Configuration of the experiment.
        simulation: The scan.
        prior: Name or path of the prior; None for total variation.
    """
    scan, reference = simulate(simulation, config.size)
    if prior is None:
        result = pf.reconstruct(scan, TV, iterations=config.iterations, intervals="off")
        calibration = calibrate(scan, "rho", scale=result.scale)
        assert calibration.tv_weight is not None
        weights = {"error": result.parameters["weight"], "error_by_noise": calibration.tv_weight}
        errors = {
            name: tv_prediction_error(scan, calibration.problem, result.scale, weight)[0]
            for name, weight in weights.items()
        }
        return reference.measures(result) | errors | {"weight": weights["error"]}
    calibration = calibrate(scan, "rho")
    found = curves(
        scan,
        calibration.problem,
        pf.priors.pretrained(prior),
        float(calibration.rho or 0),
        calibration.scale,
        reference.images[0],
        reference.support,
    )
    return found.record() | {"rho": calibration.rho, "noise": calibration.noise}
