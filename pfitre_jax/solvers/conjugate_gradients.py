"""Preconditioned conjugate gradients, and the data step of the splitting methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Problem


def conjugate_gradients(
    operator: Callable[[Array], Array],
    rhs: Array,
    x0: Array,
    *,
    iterations: int,
    precondition: Callable[[Array], Array] = lambda r: r,
    residual: Array | None = None,
    dot: Callable[[Array, Array], Array] = jnp.vdot,
) -> Array:
    """Solves ``operator(x) = rhs`` by a fixed number of conjugate gradient iterations.

    Differentiable by unrolling. A direction without curvature or without residual is skipped, so that more
    iterations than needed do no harm.

    Args:
        operator: Symmetric positive linear map.
        rhs: Right-hand side, of any shape.
        x0: Initial value, of the same shape.
        iterations: Number of iterations.
        precondition: Symmetric positive linear map that approximates the inverse of ``operator``.
        residual: ``rhs - operator(x0)`` if it is known. None: computed.
        dot: Inner product. For several independent systems it returns one value for each, with axes of length
            1 along which it sums.

    References:
        Hestenes & Stiefel, J. Res. NBS 49, 1952.
    """
    residual = rhs - operator(x0) if residual is None else residual
    direction = precondition(residual)
    energy = dot(residual, direction)

    def iterate(carry, _):
        x, residual, direction, energy = carry
        image = operator(direction)
        curvature = dot(direction, image)
        step = ratio(energy, curvature)
        x = x + step * direction
        residual = residual - step * image
        steepest = precondition(residual)
        new = dot(residual, steepest)
        direction = steepest + ratio(new, energy) * direction
        return (x, residual, direction, new), None

    (x, *_), _ = jax.lax.scan(iterate, (x0, residual, direction, energy), length=iterations)
    return x


def ratio(part: Array, whole: Array) -> Array:
    """``part / whole``, 0 where ``whole`` is tiny; the gradient is finite there, too."""
    # The gradient divides by the square of the whole.
    enough = whole > jnp.finfo(whole.dtype).tiny ** 0.5
    return jnp.where(enough, part / jnp.where(enough, whole, 1), 0)


def data_step(
    problem: Problem,
    target: Float[Array, "*rows ny nx"],
    rho: Any,
    x: Float[Array, "*rows ny nx"],
    *,
    iterations: int,
) -> Float[Array, "*rows ny nx"]:
    """``argmin_x 1/2 ||M(A x - y)||_W^2 / ||A||^2 + rho/2 ||x - target||^2`` over ``x >= 0`` in the support.

    Solved by conjugate gradients with the exact ``A^T A`` and a circulant preconditioner. Non-negativity is
    imposed by an active set: pixels at 0 whose gradient step would be negative stay 0, the others are solved
    for and clipped. Each call updates the set, so that repeated warm-started calls converge to the
    constrained solution.

    Args:
        problem: The data term.
        target: (ny, nx), image from which the solution should differ little.
        rho: (), weight of the distance to ``target``, relative to ``||A||^2 = 1``.
        x: (ny, nx), initial image.
        iterations: Conjugate gradient iterations.
    """
    shifted = lambda v: problem.normal(v) + rho * v  # noqa: E731
    rhs = problem.back(problem.sinogram) + rho * problem.support * target
    x = jnp.maximum(x, 0) * problem.support
    downhill = rhs - shifted(x)
    free = jax.lax.stop_gradient(((x > 0) | (downhill > 0)).astype(x.dtype)) * problem.support
    x = conjugate_gradients(
        lambda v: free * shifted(free * v),
        free * rhs,
        free * x,
        iterations=iterations,
        precondition=lambda r: free * problem.precondition(free * r, rho),
        # Every pixel above 0 is free, so that free * x is x.
        residual=free * downhill,
        dot=problem.dot,
    )
    return jnp.maximum(x, 0)
