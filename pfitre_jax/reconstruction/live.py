"""Rows of a scan that grows: reconstructed again as views arrive, each time from the last result."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import estimate_parameters
from pfitre_jax.estimation.support import image_support
from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.operators.normal import NormalKernel
from pfitre_jax.operators.projector import Projector
from pfitre_jax.reconstruction import methods
from pfitre_jax.reconstruction.slabs import solve_volume
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.wrappers.symmetrised import InTurns

#: A program is for 32, 64, 128, ... views, so that it is compiled a few times in a whole scan.
FEWEST_VIEWS = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Refreshed:
    """images: (rows, ny, nx), per pixel; residual: (rows,); views: used; iterations: made
    seconds: wall time, ``seconds_compile`` of it to compile"""

    images: np.ndarray
    residual: np.ndarray
    views: int
    iterations: int
    seconds: float
    seconds_compile: float


def refresh(
    scan: Scan,
    method: str,
    settings: dict[str, Any],
    before: Refreshed | None = None,
    warm: int | None = None,
    *,
    joint: bool = False,
) -> Refreshed:
    """All rows of a scan whose centre is known, with the views that there are so far.

    settings: of :func:`pfitre_jax.reconstruction.methods.settings`
    before: of fewer views, to begin with; then ``warm`` iterations are made, default half as many
    joint: whether the rows are one volume; as the settings were made with
    """
    began = time.perf_counter()
    iterations = settings.get("iterations", 1)
    if before is not None:
        iterations = max(-(-iterations // 2), 1) if warm is None else warm
    room = FEWEST_VIEWS
    while room < scan.views:
        room *= 2
    missing = room - scan.views
    theta = np.pad(scan.theta_rad, (0, missing), mode="edge")
    geometry = ParallelGeometry.create(theta, scan.columns, scan.center)
    weights = np.pad(np.ones(scan.views, np.float32), (0, missing))
    sinograms, masks = (
        np.pad(np.moveaxis(a, 1, 0).astype(np.float32), ((0, 0), (0, missing), (0, 0)))
        for a in (scan.projections, scan.mask)
    )
    support = image_support(geometry)
    start = np.zeros((scan.rows, *support.shape), np.float32) if before is None else before.images
    wedge = Wedge.from_angles(scan.theta_rad)
    arguments = as_arrays((geometry, wedge, support, weights, sinograms, masks))
    until = methods.needed_parameter(settings)
    until = "scale" if until == "noise" else until
    executable, seconds = compiled(_measure, *arguments, until=until)
    problem, estimates = executable(*arguments)
    scale = estimates.scale
    solver = methods.build(method, methods.with_numbers(settings, estimates.tv_weight))
    if before is not None:
        solver = _without_first(solver)
    arguments = as_arrays((solver, problem, scale, sinograms, masks, start))
    static = {"iterations": iterations, "tolerance": methods.recipe(method).tolerance, "joint": joint}
    executable, more = compiled(_refresh, *arguments, **static)
    images, residual = (np.asarray(a) for a in executable(*arguments))
    return Refreshed(images, residual, scan.views, iterations, time.perf_counter() - began, seconds + more)


def _without_first(solver):
    """A loop that begins with what it is given: the last result is better than a first reconstruction."""
    if isinstance(solver, InTurns):
        return InTurns(_without_first(solver.loop))
    if hasattr(solver, "first_iterations"):
        return dataclasses.replace(solver, first_iterations=0)
    return solver


@functools.partial(jax.jit, static_argnames="until")
def _measure(geometry, wedge, support, weights, sinograms, masks, *, until):
    """The problem of one row, and the estimated parameters of all of them."""
    A = Projector(geometry, support.shape)
    problem = Problem.create(A, sinograms[0], masks[0], support, wedge)
    # Views that are yet to come count for nothing.
    problem = dataclasses.replace(
        problem,
        norm_squared=A.norm_squared(view_weights=weights),
        kernel=NormalKernel.create(A, support, weights),
    )
    return problem, estimate_parameters(problem, sinograms, masks, until=until)


@functools.partial(jax.jit, static_argnames=("iterations", "tolerance", "joint"))
def _refresh(solver, problem, scale, sinograms, masks, start, *, iterations, tolerance, joint):
    if joint:
        together = dict(iterations=iterations, start=start / scale)
        done, residuals = solve_volume(solver, problem, tolerance, sinograms / scale, masks, **together)
        return scale * done.value, residuals

    def one(sinogram, mask, x0):
        row = problem.with_sinogram(sinogram / scale, mask)
        image = run(solver, row, x0 / scale, iterations=iterations, tolerance=tolerance).value
        image = jnp.where(jnp.any(sinogram != 0), image, 0)
        return scale * image, row.residual(image)

    return jax.vmap(one)(sinograms, masks, start)
