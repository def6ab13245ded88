"""Preconditioned conjugate gradients, and the data step of the splitting methods made from them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from pfitre_jax.solvers.problem import Problem


def conjugate_gradients(
    operator, rhs, x0, *, iterations: int, precondition=lambda r: r, residual=None, dot=jnp.vdot
):
    """Solve ``operator(x) = rhs`` for a symmetric positive ``operator`` by a fixed number of iterations.

    rhs, x0: arrays of one shape; residual: ``rhs - operator(x0)``, where it is known already
    dot: the inner product; one for each of several systems that ``operator`` solves side by side, with axes
        of length 1 where it sums

    Differentiable by unrolling. A direction that no longer makes progress is skipped, so more iterations than
    needed do no harm. (Hestenes & Stiefel, 1952.)
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


def ratio(part, whole):
    """``part / whole``, 0 where there is no whole; its gradient is finite there too."""
    # The gradient divides by the square.
    enough = whole > jnp.finfo(whole.dtype).tiny ** 0.5
    return jnp.where(enough, part / jnp.where(enough, whole, 1), 0)


def data_step(problem: Problem, target, rho, x, *, iterations: int):
    """``argmin_x 1/2 |M(Ax - y)|^2/norm(A)^2 + rho/2 |x - target|^2`` over ``x >= 0`` in the support.

    target: (ny, nx); rho: (); x: (ny, nx), the warm start; iterations: of conjugate gradients.

    Exact ``A^T A`` with the circulant preconditioner. Non-negativity by an active set: pixels at 0 whose
    gradient points below 0 stay there, the others are solved for together and clipped; the set is renewed at
    each call, so that a loop of warm-started calls settles on the constrained solution.
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
