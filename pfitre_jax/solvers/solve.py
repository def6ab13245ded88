"""From a projector and a sinogram to a solution: what the public solvers share."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from pfitre_jax.geometry import Wedge
from pfitre_jax.loop import Solution, check_iterations, run
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.problem import Problem


def solve(
    method,
    A: Projector,
    sinogram,
    *,
    iterations: int,
    mask=None,
    support=None,
    x0=None,
    tolerance: float = 0.0,
    differentiate=None,
) -> Solution:
    """Run ``method`` on one slice, compiled once per shape: a new sinogram, angle or centre does not retrace.

    sinogram: (views, columns), line integrals of an image with values of about [0, 1]
    mask, support: see :meth:`Problem.create`
    x0: (ny, nx), start, default 0
    iterations, tolerance, differentiate: see :func:`pfitre_jax.loop.run`
    """
    check_iterations(iterations)
    sinogram = jnp.asarray(sinogram)
    wedge = Wedge.from_angles(A.geometry.theta_rad)
    return _solve(method, A, sinogram, mask, support, wedge, x0, int(iterations), tolerance, differentiate)


@functools.partial(jax.jit, static_argnums=(7, 8, 9))
def _solve(method, A, sinogram, mask, support, wedge, x0, iterations, tolerance, differentiate):
    problem = Problem.create(A, sinogram, mask, support, wedge)
    x0 = jnp.zeros(A.shape, problem.sinogram.dtype) if x0 is None else jnp.asarray(x0)
    return run(method, problem, x0, iterations=iterations, tolerance=tolerance, differentiate=differentiate)
