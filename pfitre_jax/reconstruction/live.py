"""Reconstruction of a growing scan: repeated as views arrive, each time from the previous result."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import calibrate_slices
from pfitre_jax.estimation.support_selection import select_support
from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.methods import METHODS
from pfitre_jax.reconstruction.scan_solver import build
from pfitre_jax.reconstruction.slabs import solve_volume
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Smallest number of views that a program is compiled for. It doubles when more views arrive, so that only a
#: few programs are compiled during a scan.
MIN_CAPACITY = 32


@dataclasses.dataclass(frozen=True, eq=False)
class LiveResult:
    """The reconstruction of the views that have arrived.

    Attributes:
        images: (rows, ny, nx), per pixel.
        residual: (rows,), relative residuals.
        views: Number of views.
        iterations: Number of iterations.
        seconds: Wall time.
        seconds_compile: Part of this time that was spent on compilation.
    """

    images: Float[np.ndarray, "rows ny nx"]
    residual: Float[np.ndarray, " rows"]
    views: int
    iterations: int
    seconds: float
    seconds_compile: float


def refresh(
    scan: Scan,
    settings: Settings,
    previous: LiveResult | None = None,
    warm_iterations: int | None = None,
) -> LiveResult:
    """Reconstructs all rows from the views that have arrived; the centre of the scan must be known.

    Args:
        scan: The rows to reconstruct, with these views.
        settings: Settings of the method. The support "auto" is the disc that every view sees: comparing
            supports needs a complete scan.
        previous: Result from fewer views, from which the iteration starts.
        warm_iterations: Iterations from a previous result; by default half of those of the settings.
    """
    start = time.perf_counter()
    iterations = settings.iterations
    if previous is not None:
        iterations = max(-(-iterations // 2), 1) if warm_iterations is None else warm_iterations
    capacity = MIN_CAPACITY
    while capacity < scan.views:
        capacity *= 2
    missing = capacity - scan.views
    theta = np.pad(scan.theta_rad, (0, missing), mode="edge")
    geometry = ParallelGeometry.create(theta, scan.columns, scan.center)
    view_weights = np.pad(np.ones(scan.views, np.float32), (0, missing))
    sinograms, masks = (
        np.pad(np.moveaxis(a, 1, 0).astype(np.float32), ((0, 0), (0, missing), (0, 0)))
        for a in (scan.projections, scan.mask)
    )
    support = _support(scan, settings)
    images = np.zeros((scan.rows, *support.shape), np.float32)
    if previous is not None:
        images = support * _resized(previous.images, len(support))
    wedge = Wedge.from_angles(scan.theta_rad)
    arguments = as_arrays((geometry, support, wedge, sinograms, masks, view_weights))
    until = "scale" if settings.needed_parameter == "noise" else settings.needed_parameter
    calibration, seconds_calibrate = compiled(calibrate_slices, *arguments, until=until)
    problem, estimates = calibration(*arguments)
    settings = settings.resolve(estimates.tv_weight, estimates.rho)
    # A previous result is better than an initial estimate. Coarser levels need all views.
    solver = build(settings, initial_estimate=previous is None, coarse=False)
    inputs = as_arrays((solver, problem, estimates.scale, sinograms, masks, images))
    tolerance = METHODS[settings.method].tolerance
    solve, seconds_solve = compiled(
        _solve, *inputs, iterations=iterations, tolerance=tolerance, joint=settings.joint
    )
    images, residual = (np.asarray(a) for a in solve(*inputs))
    seconds = time.perf_counter() - start
    return LiveResult(images, residual, scan.views, iterations, seconds, seconds_calibrate + seconds_solve)


def _support(scan: Scan, settings: Settings) -> Float[np.ndarray, "ny nx"]:
    kind = "disc" if settings.support == "auto" else settings.support
    return select_support(scan, kind).support.image


def _resized(images: Float[np.ndarray, "rows n n"], size: int) -> Float[np.ndarray, "rows size size"]:
    """Images with ``size`` pixels on a side: an extended support grows or shrinks as views arrive."""
    change = (size - images.shape[-1]) // 2
    if change >= 0:
        return np.pad(images, ((0, 0), (change, change), (change, change)))
    return images[:, -change:change, -change:change]


@functools.partial(jax.jit, static_argnames=("iterations", "tolerance", "joint"))
def _solve(
    solver: Any,
    problem: SliceProblem,
    scale: Array,
    sinograms: Float[Array, "rows views columns"],
    masks: Float[Array, "rows views columns"],
    images: Float[Array, "rows ny nx"],
    *,
    iterations: int,
    tolerance: float,
    joint: bool,
) -> tuple[Float[Array, "rows ny nx"], Float[Array, " rows"]]:
    """Images and relative residuals after more iterations from ``images``."""
    if joint:
        solution, residuals = solve_volume(
            solver,
            problem,
            tolerance,
            sinograms / scale,
            masks,
            iterations=iterations,
            start=images / scale,
        )
        return scale * solution.value, residuals

    def one(sinogram, mask, x0):
        row = problem.with_sinogram(sinogram / scale, mask)
        image = run(solver, row, x0 / scale, iterations=iterations, tolerance=tolerance).value
        image = jnp.where(jnp.any(sinogram != 0), image, 0)
        return scale * image, row.residual_norm(image)

    return jax.vmap(one)(sinograms, masks, images)
