"""Reconstruction of simulated scans by the compared methods, each with its best parameters.

Each number of views and of scans is a compilation.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.baselines.published.loop import PublishedADMM
from pfitre_jax.estimation.calibrate import estimate_parameters
from pfitre_jax.evaluation.method_names import TV_METHODS, weight_key
from pfitre_jax.evaluation.scans import Scans
from pfitre_jax.metrics import psnr
from pfitre_jax.priors.directional_tv import RATIO
from pfitre_jax.priors.files import pretrained
from pfitre_jax.reconstruction.methods import METHODS
from pfitre_jax.solvers.fbp import FBP
from pfitre_jax.solvers.fista import FISTATV
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.volume_problem import VolumeProblem
from pfitre_jax.solvers.wrappers.coarse_to_fine import CoarseToFine
from pfitre_jax.trust.domain import disagreement
from pfitre_jax.trust.image_statistics import statistics

#: TV weights, half decades; each scene has the best of them, by PSNR.
TV_WEIGHTS = tuple(10.0 ** (-e / 2) for e in range(10, 3, -1))
#: Ratio of directional TV of each TV method; FISTA-TV has the ratio 1, so that one program solves both.
_RATIOS = {"fista_tv": 1.0, "fista_dtv": RATIO}


def reconstruct(
    prior: Any,
    scans: Scans,
    methods: Sequence[str],
    *,
    rho: float | str,
    iterations: int,
    fista_iterations: int,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Reconstructs scans by every method.

    Args:
        prior: Learned prior of ``pfitre``; a prior for volumes if ``methods`` has "rows".
        scans: The scans; the rows of one volume if ``methods`` has "rows".
        methods: Names of the methods, see :data:`pfitre_jax.evaluation.method_names.LABELS`.
        rho: Prior strength, or "auto" for an estimate from the noise of each scan.
        iterations: Iterations of ``pfitre``.
        fista_iterations: Iterations of FISTA-TV and directional TV.

    Returns:
        Images (scans, ny, nx) by method, and properties (scans, ...) by name: the best TV weights
        (:func:`weight_key`), and of the result of ``pfitre`` the ``disagreement`` and the image
        ``statistics``.
    """
    if "rows" in methods:
        images, properties = _pfitre_volume(prior, scans, _traced_rho(rho), iterations=iterations)
        row_settings = rows_settings()
        row_prior = pretrained(row_settings["prior"])
        images["rows"] = _pfitre_rows(
            row_prior, scans, _traced_rho(row_settings["rho"]), iterations=row_settings["iterations"]
        )
    else:
        images, properties = _pfitre_slices(prior, scans, _traced_rho(rho), iterations=iterations)
    images |= {"fbp": _fbp(scans)}
    if names := [name for name in TV_METHODS if name in methods]:
        ratios = jnp.asarray([_RATIOS[name] for name in names])
        best, weights = _best_tv(scans, ratios, jnp.asarray(TV_WEIGHTS), iterations=fista_iterations)
        images |= dict(zip(names, best, strict=True))
        properties |= {weight_key(name): weight for name, weight in zip(names, weights, strict=True)}
    if "pfitre_original" in methods:
        images["pfitre_original"] = _published(prior, scans)
    return {name: images[name] for name in methods}, properties


def rows_settings() -> dict[str, Any]:
    """Returns the settings of ``pfitre`` on the rows of a volume one by one: its defaults."""
    return METHODS["pfitre"].defaults


def reconstruct_with_weight(
    prior: Any, scans: Scans, weight: Array, *, rho: float | str, iterations: int, fista_iterations: int
) -> dict[str, Array]:
    """Reconstructs scans by "fista_tv" with one TV weight, and by "pfitre".

    Args:
        prior: Learned prior; with one for volumes the scans are the rows of one volume.
        scans: The scans.
        weight: (), TV weight.
        rho: Prior strength, or "auto".
        iterations: Iterations of ``pfitre``.
        fista_iterations: Iterations of FISTA-TV.

    Returns:
        Images (scans, ny, nx) by method.
    """
    pfitre = _pfitre_volume if prior.info.reach else _pfitre_slices
    images, _ = pfitre(prior, scans, _traced_rho(rho), iterations=iterations)
    ratios, weights = jnp.ones(1), jnp.reshape(weight, 1)
    [tv], _ = _best_tv(scans, ratios, weights, iterations=fista_iterations)
    return {"fista_tv": tv, "pfitre": images["pfitre"]}


def _traced_rho(rho: float | str) -> Array | None:
    """Returns an array, or None for "auto", as a jitted program takes no text."""
    return None if rho == "auto" else jnp.asarray(rho)


@functools.partial(jax.jit, static_argnames="iterations")
def _best_tv(scans: Scans, ratios, weights, *, iterations: int):
    """Returns the best images (ratios, scans, ny, nx), by PSNR, and their weights (ratios, scans)."""

    def solve(ratio, weight):
        method = FISTATV(weight, ratio=ratio)
        blank = jnp.zeros(scans.problem.A.shape)
        return scans.each(lambda problem: run(method, problem, blank, iterations=iterations).value)

    # All weights in one batch: the projector is faster for many slices of one geometry.
    every = jax.vmap(jax.vmap(solve, (None, 0)), (0, None))(ratios, weights)
    score = functools.partial(psnr, support=scans.problem.support)
    scores = jax.vmap(jax.vmap(lambda images: jax.vmap(score)(images, scans.truth)))(every)
    which = jnp.argmax(scores, axis=1)
    best = jnp.take_along_axis(every, which[:, None, :, None, None], axis=1)[:, 0]
    return best, weights[which]


@functools.partial(jax.jit, static_argnames="iterations")
def _pfitre_slices(prior, scans: Scans, rho, *, iterations: int):
    def one(problem):
        # Every scene is a separate scan.
        scale, own_rho = _scale_and_rho(problem, problem.sinogram[None], problem.mask[None], rho)
        problem = problem.with_sinogram(problem.sinogram / scale)
        images, change = _loop(prior, problem, jnp.zeros(problem.A.shape), own_rho, iterations)
        properties = {"disagreement": change, "statistics": statistics(images["pfitre"])}
        return {name: scale * image for name, image in images.items()}, properties

    return scans.each(one)


@functools.partial(jax.jit, static_argnames="iterations")
def _pfitre_volume(prior, scans: Scans, rho, *, iterations: int):
    scale, rho = _scale_and_rho(scans.problem, scans.sinograms, scans.masks, rho)
    problem = VolumeProblem.create(scans.problem, scans.sinograms / scale, scans.masks)
    images, change = _loop(prior, problem, jnp.zeros_like(scans.truth), rho, iterations)
    properties = {
        "disagreement": jnp.broadcast_to(change, len(scans.truth)),
        "statistics": jax.vmap(statistics)(images["pfitre"]),
    }
    return {name: scale * image for name, image in images.items()}, properties


@functools.partial(jax.jit, static_argnames="iterations")
def _pfitre_rows(prior, scans: Scans, rho, *, iterations: int):
    scale, rho = _scale_and_rho(scans.problem, scans.sinograms, scans.masks, rho)

    def one(problem):
        problem = problem.with_sinogram(problem.sinogram / scale)
        images, _ = _loop(prior, problem, jnp.zeros(problem.A.shape), rho, iterations)
        return scale * images["pfitre"]

    return scans.each(one)


def _scale_and_rho(problem, sinograms, masks, rho):
    """Returns the scale of a scan of slices (slices, views, columns), and its rho where ``rho`` is None."""
    estimates = estimate_parameters(problem, sinograms, masks, until="rho" if rho is None else "scale")
    return estimates.scale, estimates.rho if rho is None else rho


def _loop(prior, problem, blank, rho, iterations: int):
    """Returns initial estimate, first proposal and result of ``pfitre``, and the result's disagreement."""
    loop = METHODS["pfitre"].build(prior=prior, rho=rho)
    fine = loop.solver if isinstance(loop, CoarseToFine) else loop
    start = fine.init(problem, blank)
    once = fine.proposal(*fine.step(problem, *start))
    # From a coarser level the loop has another start than a single pass of the network.
    coarse = isinstance(loop, CoarseToFine) and loop.has_coarser_level(problem)
    own_start = loop.init(problem, blank) if coarse else start
    x = run(loop, problem, blank, iterations=iterations, start=own_start).value
    return {"first": start[0].x, "network_once": once, "pfitre": x}, disagreement(prior, problem, x, rho)


@jax.jit
def _published(prior, scans: Scans):
    """Returns the images of the published loop with its own settings; it uses no support."""
    settings = METHODS["pfitre-original"].defaults

    def one(problem):
        scale = estimate_parameters(problem, problem.sinogram[None], until="scale").scale
        problem = problem.with_sinogram(problem.sinogram / scale)
        loop = PublishedADMM(prior, settings["rho"])
        blank = jnp.zeros(problem.A.shape)
        return scale * run(loop, problem, blank, iterations=settings["iterations"]).value

    return scans.each(one)


@jax.jit
def _fbp(scans: Scans):
    return scans.each(lambda problem: FBP().init(problem, jnp.zeros(problem.A.shape))[0].x)
