"""Simulated scans whose rows are different scenes, and the scores of their intervals."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pfitre_jax as pf
from experiments.intervals.config import Config
from pfitre_jax.evaluation import Cell, draw_scene, scan_cell
from pfitre_jax.reconstruction import Intervals, Settings, make_plan, split_rows
from pfitre_jax.trust import area_under_curve, statistics
from pfitre_jax.twin import OVERSAMPLING

#: Number of quantiles that stand for all pixels of a slice.
GRID = 1000
#: Quantile of a scene that becomes 1, that of the scale of a scan; smallest mean value of a scene.
BRIGHT_QUANTILE, LEAST_MEAN = 0.995, 0.04
#: Share of the pixels of a slice that count as the largest errors.
LARGEST = 0.1


@dataclasses.dataclass(frozen=True)
class Draw:
    """A scan to simulate.

    Attributes:
        wedge_deg: Width of the missing wedge, degrees.
        center_deg: Middle of the missing wedge, degrees.
        noise: Sigma over the largest line integral.
        views: Number of views.
        test: Whether it has the scenes of the test.
        first: Number of its first scene.
    """

    wedge_deg: float
    center_deg: float
    noise: float
    views: int
    test: bool
    first: int

    @property
    def name(self) -> str:
        """Stem of its file."""
        part = "test" if self.test else "calibration"
        return f"{part}-{self.first:04d}-{self.wedge_deg:.1f}-{self.noise:.5f}-{self.views}"


def calibration_draws(config: Config) -> list[Draw]:
    """Scans of all cells: the wedge is uniform in its cell, the noise log-uniform."""
    rng, draws = np.random.default_rng(config.seed), []
    for wedge in itertools.pairwise(config.wedge_edges):
        for noise in itertools.pairwise(config.simulated_noise):
            for _ in range(config.scans):
                number = len(draws)
                level = float(np.exp(rng.uniform(*np.log(noise))))
                draws.append(
                    Draw(
                        float(rng.uniform(*wedge)),
                        float(rng.uniform(0, 180)),
                        level,
                        config.views[number % len(config.views)],
                        False,
                        number * config.rows,
                    )
                )
    # An interrupted run has all cells.
    return [draws[k] for k in np.random.default_rng(0).permutation(len(draws))]


def test_draws(config: Config) -> list[Draw]:
    """Scans at the wedges and noise levels of the test."""
    rng, draws = np.random.default_rng([config.seed, 1]), []
    for wedge_deg in config.test_wedges:
        for noise in config.test_noise:
            for _ in range(config.test_scans):
                number = len(draws)
                views = config.views[number % len(config.views)]
                center = float(rng.uniform(0, 180))
                draws.append(Draw(wedge_deg, center, noise, views, True, number * config.rows))
    return draws


@functools.lru_cache(maxsize=512)
def _scene(source: str, seed: int, fine: int) -> np.ndarray:
    """A scene that is not nearly blank, with bright values of 1 as if it were alone in its scan."""
    for trial in range(20):
        image = np.asarray(draw_scene(source, seed + 1000 * trial, fine).image, np.float32)
        bright = np.quantile(image, BRIGHT_QUANTILE)
        if image.mean() > LEAST_MEAN and bright > LEAST_MEAN:
            break
    return image / max(bright, LEAST_MEAN)


def available_sources(config: Config) -> tuple[str, ...]:
    """The sources whose files exist."""
    found = []
    for source in config.sources:
        try:
            _scene(source, 0, 2 * OVERSAMPLING * 16)
            found.append(source)
        except (FileNotFoundError, ImportError) as error:
            print(f"without the scenes {source!r}: {error}", flush=True)
    return tuple(found)


def simulate(config: Config, draw: Draw, sources: tuple[str, ...]) -> tuple[pf.Scan, np.ndarray, list[str]]:
    """The scan, its truth (rows, ny, nx), and the source of each row."""
    numbers = (draw.first + np.arange(config.rows)) % config.scenes
    # Scenes of the test differ from those of the calibration, and both from those of the evaluation.
    seeds = [int(900_000 + 500_000 * draw.test + number // len(sources)) for number in numbers]
    kinds = [sources[number % len(sources)] for number in numbers]
    fine = OVERSAMPLING * config.size
    images = jnp.stack([_scene(kind, seed, fine) for kind, seed in zip(kinds, seeds, strict=True)])
    noise_seeds = tuple(config.seed + 1000 * draw.test + draw.first + k for k in range(config.rows))
    cell = Cell("", "", (), draw.center_deg, draw.wedge_deg, draw.views, draw.noise, "heldout", noise_seeds)
    scans = scan_cell(cell, images)
    geometry = scans.problem.A.geometry
    projections = np.moveaxis(np.asarray(scans.sinograms), 0, 1)
    scan = pf.Scan.create(projections, geometry.theta_rad, center=float(geometry.center))
    return scan, np.asarray(scans.truth), kinds


def score(
    config: Config, draw: Draw, sources: tuple[str, ...], method: str, prior: Any, intervals: Intervals
) -> dict[str, np.ndarray]:
    """Arrays (rows, ...) of the errors and of the scale of a scan, reconstructed as by ``pfitre recon``."""
    scan, truth, kinds = simulate(config, draw, sources)
    values: dict[str, Any] = dict(config.settings)
    if prior is not None:
        values["prior"] = prior
    # A prior that was trained through the loop has its own number; other methods keep theirs.
    if prior is None or prior.info.iterations is not None:
        values.pop("iterations", None)
    settings = Settings.create(method, **values)
    plan = make_plan(scan, settings, scan.rows, intervals=intervals)
    blocks = list(plan.solve(split_rows(slice(0, scan.rows), plan.chunk)))
    volume, upper = (np.concatenate([getattr(b, name) for b in blocks]) for name in ("volume", "upper"))
    margin = (volume.shape[1] - truth.shape[1]) // 2
    inside = slice(margin, margin + truth.shape[1])
    support = plan.calibration.support[inside, inside] > 0
    scale = (upper - volume)[:, inside, inside][:, support] / plan.calibration.scale
    error = np.abs(volume[:, inside, inside] - truth)[:, support] / plan.calibration.scale
    at = (np.arange(GRID) + 0.5) / GRID
    assert plan.intervals is not None
    largest = error >= np.quantile(error, 1 - LARGEST, axis=1, keepdims=True)
    result = {
        "kind": np.array(kinds),
        "wedge_deg": np.full(len(kinds), draw.wedge_deg),
        "noise": np.full(len(kinds), draw.noise),
        "estimated_noise": np.full(len(kinds), plan.intervals.noise),
        "scores": np.quantile(error / scale, at, axis=1).T.astype(np.float32),
        "errors": np.quantile(error, at, axis=1).T.astype(np.float32),
        "mean_scale": scale.mean(axis=1),
        "area": np.array([area_under_curve(s, e) for s, e in zip(scale, largest, strict=True)]),
    }
    result["statistics"] = np.asarray(_statistics(volume / np.float32(plan.calibration.scale)))
    return result


_statistics = jax.jit(jax.vmap(statistics))
