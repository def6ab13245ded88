"""Simulated scans of held-out circuits, with their truth."""

from __future__ import annotations

import dataclasses
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

import pfitre_jax as pf
from experiments.common.comparison import Reference
from pfitre_jax.estimation import estimate_parameters
from pfitre_jax.evaluation import Cell, Scans, draw_scene, scan_cell
from pfitre_jax.solvers import SliceProblem, estimate_noise, noise_from_differences
from pfitre_jax.twin import OVERSAMPLING


@dataclasses.dataclass(frozen=True)
class CircuitScans:
    """Simulated scans of circuits from the held-out generator.

    Attributes:
        size: Pixels and detector bins.
        spacing_deg: Angle between views.
        orientation_deg: Centre of the missing wedge.
        seeds: Seeds of the scenes; each scene is one row of the scan.
        prior: Name of the prior for ``pfitre``.
    """

    size: int = 128
    spacing_deg: float = 2.0
    orientation_deg: float = 22.5
    seeds: tuple[int, ...] = tuple(range(7000, 7016))
    prior: str = "circuits"


def simulate(
    config: CircuitScans, missing_deg: float, *, noise: float = 0.0, photons: float = 0.0
) -> tuple[pf.Scan, np.ndarray]:
    """Scan with ``missing_deg`` degrees missing, and its truth (rows, ny, nx).

    Args:
        config: Scenes and geometry.
        missing_deg: Width of the missing wedge, degrees.
        noise: Sigma of Gaussian noise over the maximum of the sinogram.
        photons: Photons in the brightest bin, for Poisson noise; 0 for none.
    """
    return _to_scan(_simulate(config, missing_deg, noise, photons))


def _simulate(config: CircuitScans, missing_deg: float, noise: float, photons: float = 0.0) -> Scans:
    cell = Cell(
        factor="",
        value="",
        methods=(),
        wedge_center_deg=config.orientation_deg,
        missing_deg=missing_deg,
        views=round((180 - missing_deg) / config.spacing_deg),
        noise=noise,
        source="heldout",
        seeds=config.seeds,
        artifact="counts" if photons else "",
        strength=photons,
    )
    return scan_cell(cell, _scenes(config))


def _to_scan(scans: Scans) -> tuple[pf.Scan, np.ndarray]:
    geometry = scans.problem.A.geometry
    projections = np.moveaxis(np.asarray(scans.sinograms), 0, 1)
    scan = pf.Scan.create(projections, geometry.theta_rad, center=float(geometry.center))
    return scan, np.asarray(scans.truth)


@functools.lru_cache(maxsize=1)
def _scenes(config: CircuitScans):
    fine = OVERSAMPLING * config.size
    return jnp.stack([draw_scene("heldout", seed, fine).image for seed in config.seeds])


@jax.jit
def _noise_estimates(problem, sinograms):
    estimators = {
        "estimate_noise": estimate_noise,
        "noise_from_differences": lambda _, y: noise_from_differences(y, jnp.ones_like(y)),
    }
    # Each slice is treated as a scan of one row.
    return {name: jax.vmap(lambda y, f=f: f(problem, y[None]))(sinograms) for name, f in estimators.items()}


class SliceSet:
    """Slices of :func:`simulate`, divided by one common scale, as problems for a solver.

    Attributes:
        truth: (slices, ny, nx).
        support: (ny, nx), 1 for the pixels that enter the PSNR.
        problem: Problem of a slice, with the sinogram of the first one.
        scale: Scale of the scan.
        sinograms: (slices, views, columns), line integrals over ``scale``.
        noise: (slices,), true noise of a bin over ``scale``.
        tv_weight: (), automatic TV weight of the scan.
        rho: (), automatic strength of a learned prior.
        prior: Prior of the configuration.
    """

    def __init__(self, config: CircuitScans, missing_deg: float, noise: float):
        scans = _simulate(config, missing_deg, noise)
        scan, truth = _to_scan(scans)
        self.truth = jnp.asarray(truth)
        self.support = jnp.asarray(Reference.from_truth(truth, scan).support)
        sinograms = jnp.asarray(np.moveaxis(scan.projections, 1, 0))
        A = pf.Projector(scan.geometry())
        self.problem = jax.jit(SliceProblem.create)(A, sinograms[0])
        estimates = jax.jit(estimate_parameters)(self.problem, sinograms)
        self.scale = float(estimates.scale)
        self.tv_weight, self.rho = estimates.tv_weight, estimates.rho
        self.sinograms = sinograms / self.scale
        self.noise = scans.noise / jnp.sqrt(jnp.sum(scans.masks, axis=(1, 2))) / self.scale
        self.prior = pf.priors.pretrained(config.prior)

    def map(self, function, *args):
        """``function(problem, *args)`` of every slice; ``args`` have a leading axis of slices."""
        one = lambda y, *args: function(self.problem.with_sinogram(y), *args)  # noqa: E731
        return jax.vmap(one)(self.sinograms, *args)

    def estimated_noise(self) -> dict[str, jax.Array]:
        """Noise of a bin estimated from each slice alone, (slices,), by name of the estimator."""
        return _noise_estimates(self.problem, self.sinograms)

    def psnr(self, images) -> jax.Array:
        """PSNR of each slice, (slices,), dB."""
        return jax.vmap(lambda a, b: pf.metrics.psnr(a, b, self.support))(self.scale * images, self.truth)

    def measures(self, images) -> dict[str, float]:
        """Mean PSNR (dB) and SSIM over the slices."""
        ssims = jax.vmap(pf.metrics.ssim)(self.scale * images, self.truth)
        return {"psnr": float(jnp.mean(self.psnr(images))), "ssim": float(jnp.mean(ssims))}


def timed(function):
    """Result and wall seconds of the second call of ``function``; the first call compiles."""
    jax.block_until_ready(function())
    start = time.perf_counter()
    result = jax.block_until_ready(function())
    return result, time.perf_counter() - start
