"""From a projector and a sinogram to a solution: what the public solvers share."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from pfitre_jax.geometry import Wedge
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.loop import Solution, check_iterations, run
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.wrappers.reweighted import Reweighted


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
    data_term=None,
    differentiate=None,
) -> Solution:
    """Run ``method`` on one slice, compiled once per shape: a new sinogram, angle or centre does not retrace.

    method: a pytree with ``init(problem, x0)`` and ``step(problem, state)``: :class:`HQS`, or your own
    sinogram: (views, columns), line integrals of an image with values of about [0, 1]
    iterations: at most
    mask: (views, columns), 1 for a valid bin, 0 for one to ignore; default all valid
    support: (ny, nx), 1 where the image may differ from 0; default the disc that every view sees
    x0: (ny, nx), start, default 0
    tolerance: stop when the relative change of the image falls to it; 0: never
    data_term: such as :class:`Huber` ("auto") or :class:`Poisson`, by :class:`Reweighted`; default least
        squares
    differentiate: ``None``, "unroll", "checkpoint" or "implicit", see :func:`pfitre_jax.solvers.loop.run`

    Raises ``ValueError`` for a shape that does not fit, iterations below 1, an unknown ``differentiate``.
    """
    check_iterations(iterations)
    sinogram = as_float(sinogram)
    if x0 is not None and jnp.shape(x0) != A.shape:
        raise ValueError(f"x0 has shape {jnp.shape(x0)}; expected {A.shape} (ny, nx)")
    if data_term is not None:
        method = Reweighted(method, data_term)
    wedge = Wedge.from_angles(A.geometry.theta_rad)
    return _solve(method, A, sinogram, mask, support, wedge, x0, int(iterations), tolerance, differentiate)


def as_float(sinogram):
    """A sinogram of whole numbers too as one of floating-point numbers."""
    sinogram = jnp.asarray(sinogram)
    floating = jnp.issubdtype(sinogram.dtype, jnp.floating)
    return sinogram if floating else sinogram.astype(jnp.result_type(float))


def check_number(name: str, value, or_zero: bool = False) -> None:
    """``ValueError`` for a number that is not finite and positive (``or_zero``: or 0); traced ones pass."""
    if isinstance(value, jax.core.Tracer):
        return
    lowest = "0 or more" if or_zero else "more than 0"
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; expected a number, {lowest}") from None
    if not (0 < number < float("inf") or (or_zero and number == 0)):
        raise ValueError(f"{name} is {number:g}; expected a finite number, {lowest}")


@functools.partial(jax.jit, static_argnums=(7, 8, 9))
def _solve(method, A, sinogram, mask, support, wedge, x0, iterations, tolerance, differentiate):
    problem = Problem.create(A, sinogram, mask, support, wedge)
    x0 = jnp.zeros(A.shape, problem.sinogram.dtype) if x0 is None else jnp.asarray(x0, problem.sinogram.dtype)
    return run(method, problem, x0, iterations=iterations, tolerance=tolerance, differentiate=differentiate)
