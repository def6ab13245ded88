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
        x0: Start, of the same shape.
        iterations: Number of iterations.
        precondition: Symmetric positive linear map, about the inverse of ``operator``.
        residual: ``rhs - operator(x0)`` where it is known. None: computed.
        dot: Inner product. For several systems that ``operator`` solves side by side it returns one value for
            each, with axes of length 1 where it sums.

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
    """``part / whole``, 0 where ``whole`` is next to 0; its gradient is finite there too."""
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

    The exact ``A^T A`` with the circulant preconditioner. Non-negativity is an active set: pixels at 0 whose
    gradient points below 0 stay there, the others are solved for together and clipped. The set is renewed at
    each call, so that a loop of warm-started calls settles on the constrained solution.

    Args:
        problem: The data term.
        target: (ny, nx), the image that the solution is drawn towards.
        rho: (), strength, relative to ``||A||^2 = 1``.
        x: (ny, nx), start image.
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
