"""The methods that are compared, each at its best; a compilation for each number of views and of scans."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from pfitre_jax.baselines.published.loop import Original
from pfitre_jax.estimation.calibrate import estimate_parameters
from pfitre_jax.metrics import psnr
from pfitre_jax.priors.directional_tv import RATIO
from pfitre_jax.priors.files import pretrained
from pfitre_jax.reconstruction.methods import METHODS
from pfitre_jax.solvers.fbp import FBP
from pfitre_jax.solvers.fista import FISTATV
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.volume_problem import VolumeProblem
from pfitre_jax.trust.domain import disagreement
from pfitre_jax.trust.image_statistics import statistics

if TYPE_CHECKING:
    from pfitre_jax.evaluation.scans import Scans

#: What they are called in tables; "first" is what the loop of `pfitre` starts from.
LABELS = {
    "fbp": "FBP",
    "fista_tv": "FISTA-TV",
    "fista_dtv": "directional TV",
    "first": "first reconstruction",
    "network_once": "network, once",
    "pfitre_original": "the published loop with this prior",
    "rows": "its rows one by one",
    "pfitre": "pfitre",
}
#: Of volumes; "rows" are those that `pfitre` makes of them without --joint.
OF_VOLUMES = ("fbp", "fista_tv", "first", "network_once", "rows", "pfitre")
ALL = tuple(name for name in LABELS if name != "rows")
FACTORED = tuple(name for name in ALL if name != "pfitre_original")
SPOILT = tuple(name for name in FACTORED if name != "fista_dtv")
#: Half decades; total variation is given the best of them, by PSNR, for every scene on its own.
WEIGHTS = tuple(10.0 ** (-e / 2) for e in range(10, 3, -1))
#: FISTA-TV is directional TV of ratio 1: one program for both.
_RATIOS = {"fista_tv": 1.0, "fista_dtv": RATIO}
VARIATIONS = tuple(_RATIOS)


def reconstruct(
    prior: Any, scans: Scans, methods: tuple[str, ...], *, rho, iterations: int, fista_iterations: int
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """``images``, name of a method -> (scans, ny, nx), and ``facts``, -> (scans,); where ``methods`` has
    "rows", the scans are the rows of one volume, and ``prior`` is of volumes.

    rho: (), or "auto" for what belongs to the noise of each scan
    facts: the best weight, ``fista_tv_weight`` and ``fista_dtv_weight``, and of `pfitre` the ``disagreement``
        and the ``statistics`` of what its result looks like, (scans, 4)
    """
    if "rows" in methods:
        of_rows = rows_settings()
        images, facts = _learned_volume(prior, scans, _number(rho), iterations=iterations)
        alone = pretrained(of_rows["prior"])
        images["rows"] = _rows(alone, scans, _number(of_rows["rho"]), iterations=of_rows["iterations"])
    else:
        images, facts = _learned(prior, scans, _number(rho), iterations=iterations)
    images |= {"fbp": _fbp(scans)}
    if names := [name for name in VARIATIONS if name in methods]:
        ratios = jnp.asarray([_RATIOS[name] for name in names])
        best, weights = _variation(scans, ratios, jnp.asarray(WEIGHTS), iterations=fista_iterations)
        images |= dict(zip(names, best, strict=True))
        facts |= {weight_of(name): weight for name, weight in zip(names, weights, strict=True)}
    if "pfitre_original" in methods:
        images["pfitre_original"] = _published(prior, scans)
    return {name: images[name] for name in methods}, facts


def rows_settings() -> dict[str, Any]:
    """Of `pfitre` where it makes the rows of a volume one by one: its defaults."""
    return METHODS["pfitre"].defaults


def with_weight(
    prior: Any, scans: Scans, weight, *, rho, iterations: int, fista_iterations: int
) -> dict[str, jax.Array]:
    """Images (scans, ny, nx) of "fista_tv" at a weight, (), and of "pfitre"; a prior of volumes takes the
    scans for the rows of one."""
    learned = _learned_volume if prior.info.reach else _learned
    images, _ = learned(prior, scans, _number(rho), iterations=iterations)
    ratios, weights = jnp.ones(1), jnp.reshape(weight, 1)
    [variation], _ = _variation(scans, ratios, weights, iterations=fista_iterations)
    return {"fista_tv": variation, "pfitre": images["pfitre"]}


def weight_of(name: str) -> str:
    """The fact that tells the best weight of one of ``VARIATIONS``."""
    return f"{name}_weight"


def _number(rho: float | str):
    # Programs take no text.
    return None if rho == "auto" else jnp.asarray(rho)


@functools.partial(jax.jit, static_argnames="iterations")
def _variation(scans: Scans, ratios, weights, *, iterations: int):
    """Best images (ratios, scans, ny, nx) and weights (ratios, scans) of these."""

    def solve(ratio, weight):
        method = FISTATV(weight, ratio=ratio)
        blank = jnp.zeros(scans.problem.A.shape)
        return scans.each(lambda problem: run(method, problem, blank, iterations=iterations).value)

    # All slices share the geometry, and the projector wants many of them.
    every = jax.vmap(jax.vmap(solve, (None, 0)), (0, None))(ratios, weights)
    score = functools.partial(psnr, support=scans.problem.support)
    scores = jax.vmap(jax.vmap(lambda images: jax.vmap(score)(images, scans.truth)))(every)
    which = jnp.argmax(scores, axis=1)
    best = jnp.take_along_axis(every, which[:, None, :, None, None], axis=1)[:, 0]
    return best, weights[which]


@functools.partial(jax.jit, static_argnames="iterations")
def _learned(prior, scans: Scans, rho, *, iterations: int):
    def one(problem):
        # Every scene is a scan of its own.
        scale, own_rho = _scale_and_rho(problem, problem.sinogram[None], problem.mask[None], rho)
        problem = problem.with_sinogram(problem.sinogram / scale)
        images, doubt = _loop(prior, problem, jnp.zeros(problem.A.shape), own_rho, iterations)
        facts = {"disagreement": doubt, "statistics": statistics(images["pfitre"])}
        return {name: scale * image for name, image in images.items()}, facts

    return scans.each(one)


@functools.partial(jax.jit, static_argnames="iterations")
def _learned_volume(prior, scans: Scans, rho, *, iterations: int):
    scale, rho = _scale_and_rho(scans.problem, scans.sinograms, scans.masks, rho)
    problem = VolumeProblem.create(scans.problem, scans.sinograms / scale, scans.masks)
    images, doubt = _loop(prior, problem, jnp.zeros_like(scans.truth), rho, iterations)
    facts = {
        "disagreement": jnp.broadcast_to(doubt, len(scans.truth)),
        "statistics": jax.vmap(statistics)(images["pfitre"]),
    }
    return {name: scale * image for name, image in images.items()}, facts


@functools.partial(jax.jit, static_argnames="iterations")
def _rows(prior, scans: Scans, rho, *, iterations: int):
    scale, rho = _scale_and_rho(scans.problem, scans.sinograms, scans.masks, rho)

    def one(problem):
        problem = problem.with_sinogram(problem.sinogram / scale)
        images, _ = _loop(prior, problem, jnp.zeros(problem.A.shape), rho, iterations)
        return scale * images["pfitre"]

    return scans.each(one)


def _scale_and_rho(problem, sinograms, masks, rho):
    """Scale of the scan of these slices (slices, views, columns), and ``rho``, or for ``None`` the scan's."""
    estimates = estimate_parameters(problem, sinograms, masks, until="rho" if rho is None else "scale")
    return estimates.scale, estimates.rho if rho is None else rho


def _loop(prior, problem, blank, rho, iterations: int):
    """What the loop of `pfitre` starts from, the network's first proposal and the result, of a slice or a
    volume, and how much the prior would still change that."""
    loop = METHODS["pfitre"].build(prior=prior, rho=rho)
    start = loop.init(problem, blank)
    once = loop.proposal(*loop.step(problem, *start))
    x = run(loop, problem, blank, iterations=iterations, start=start).value
    return {"first": start[0].x, "network_once": once, "pfitre": x}, disagreement(prior, problem, x, rho)


@jax.jit
def _published(prior, scans: Scans):
    """The published loop at its own settings; it knows no support."""
    settings = METHODS["pfitre-original"].defaults

    def one(problem):
        scale = estimate_parameters(problem, problem.sinogram[None], until="scale").scale
        problem = problem.with_sinogram(problem.sinogram / scale)
        loop = Original(prior, settings["rho"])
        blank = jnp.zeros(problem.A.shape)
        return scale * run(loop, problem, blank, iterations=settings["iterations"]).value

    return scans.each(one)


@jax.jit
def _fbp(scans: Scans):
    return scans.each(lambda problem: FBP().init(problem, jnp.zeros(problem.A.shape))[0].x)
