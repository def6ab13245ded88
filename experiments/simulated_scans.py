"""Scans of the digital twin, of circuits that no prior was trained on, with their truth."""

from __future__ import annotations

import dataclasses
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

import pfitre_jax as pf
from experiments.comparing import Reference
from pfitre_jax.evaluation.cells import Cell
from pfitre_jax.evaluation.scans import Scans, scan_cell
from pfitre_jax.evaluation.scenes import draw
from pfitre_jax.metrics import psnr, ssim
from pfitre_jax.solvers.parameters.noise import estimate_noise, noise_from_differences
from pfitre_jax.solvers.parameters.scale import estimate_scale
from pfitre_jax.solvers.parameters.tv_weight import rho_from_tv_weight, tv_weight_from_noise
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.twin import OVERSAMPLING


@dataclasses.dataclass(frozen=True)
class Twin:
    """size: pixels and bins; spacing_deg: of the views; orientation_deg: middle of the wedge
    seeds: of the scenes, :func:`pfitre_jax.twin.scenes.heldout.heldout`; each is one row of the scan
    prior: of ``pfitre``
    """

    size: int = 128
    spacing_deg: float = 2.0
    orientation_deg: float = 22.5
    seeds: tuple[int, ...] = tuple(range(7000, 7016))
    prior: str = "circuits"


def simulate(twin: Twin, missing_deg: float, *, noise: float = 0.0, photons: float = 0.0):
    """A scan with a wedge of ``missing_deg`` left out, and its truth (rows, ny, nx).

    noise: Gaussian, sigma over the sinogram's maximum
    photons: in the brightest bin, of Poisson noise; 0 for none
    """
    return _as_scan(_scans(twin, missing_deg, noise, photons))


def _scans(twin: Twin, missing_deg: float, noise: float, photons: float = 0.0) -> Scans:
    cell = Cell(
        factor="",
        value="",
        methods=(),
        wedge_center_deg=twin.orientation_deg,
        missing_deg=missing_deg,
        views=round((180 - missing_deg) / twin.spacing_deg),
        noise=noise,
        source="heldout",
        seeds=twin.seeds,
        artifact="counts" if photons else "",
        strength=photons,
    )
    return scan_cell(cell, _scenes(twin))


def _as_scan(scans: Scans):
    geometry = scans.problem.A.geometry
    scan = pf.Scan.create(
        np.moveaxis(np.asarray(scans.sinograms), 0, 1), geometry.theta_rad, center=float(geometry.center)
    )
    return scan, np.asarray(scans.truth)


@functools.lru_cache(maxsize=1)
def _scenes(twin: Twin):
    return jnp.stack([draw("heldout", seed, OVERSAMPLING * twin.size).image for seed in twin.seeds])


_noise = jax.jit(estimate_noise)


@jax.jit
def _found(problem, sinograms):
    ways = {
        "estimate_noise": estimate_noise,
        "noise_from_differences": lambda _, y: noise_from_differences(y, jnp.ones_like(y)),
    }
    # Of each slice as of a scan of one row.
    return {name: jax.vmap(lambda y, f=f: f(problem, y[None]))(sinograms) for name, f in ways.items()}


class Slices:
    """The slices of :func:`simulate`, all scaled by one number, as a scan's rows are, and the prior.

    noise: (slices,), of a bin
    """

    def __init__(self, twin: Twin, missing_deg: float, noise: float):
        scans = _scans(twin, missing_deg, noise)
        scan, truth = _as_scan(scans)
        self.truth = jnp.asarray(truth)
        self.support = jnp.asarray(Reference.of_truth(truth, scan).support)
        sinograms = jnp.asarray(np.moveaxis(scan.projections, 1, 0))
        A = pf.Projector(scan.geometry())
        self.problem = jax.jit(SliceProblem.create)(A, sinograms[0])
        self.scale = float(jax.jit(estimate_scale)(self.problem, sinograms))
        self.sinograms = sinograms / self.scale
        self.noise = scans.noise / jnp.sqrt(jnp.sum(scans.masks, axis=(1, 2))) / self.scale
        self.prior = pf.priors.pretrained(twin.prior)

    def each(self, function, *args):
        """``function(problem, *args)`` of every slice, ``args`` with a leading axis of slices."""
        one = lambda y, *args: function(self.problem.with_sinogram(y), *args)  # noqa: E731
        return jax.vmap(one)(self.sinograms, *args)

    def found_noise(self) -> dict[str, jax.Array]:
        """Of a bin of each slice alone, (slices,), as it is found in two ways."""
        return _found(self.problem, self.sinograms)

    def weight(self):
        """The automatic weight of this scan, ()."""
        return tv_weight_from_noise(self.problem, _noise(self.problem, self.sinograms))

    def rho(self):
        """What a learned prior gets for the noise in this scan, ()."""
        return rho_from_tv_weight(self.weight())

    def psnr(self, images):
        """Of each slice, dB."""
        return jax.vmap(lambda a, b: psnr(a, b, self.support))(self.scale * images, self.truth)

    def measures(self, images) -> dict[str, float]:
        """Means over the slices."""
        similar = jax.vmap(ssim)(self.scale * images, self.truth)
        return {"psnr": float(jnp.mean(self.psnr(images))), "ssim": float(jnp.mean(similar))}


def timed(function):
    """What the second call returns, and its seconds: the first one compiles."""
    jax.block_until_ready(function())
    began = time.perf_counter()
    result = jax.block_until_ready(function())
    return result, time.perf_counter() - began
