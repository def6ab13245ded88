"""What of a result the data determine, and what was supplied: by the prior, or by any other assumption."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.solvers.conjugate_gradients import conjugate_gradients
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Conjugate gradients of :func:`measured_part`.
ITERATIONS = 20
#: Damping of their preconditioner, at least, where ``norm(A)^2 = 1``. With that of the problem, where it is
#: small, the preconditioner amplifies what the data say nothing of by ``1/damping``, and its own error with
#: it: iterates are far too large for long. With this one they grow from 0; ended early, less is measured.
LEAST_DAMPING = 0.1
#: The damping is at least this, relative to ``norm(A)^2 = 1``: no data are better than float32 tells.
SMALLEST_DAMPING = 1e-6


def measured_part(problem: SliceProblem, x: Float[Array, "ny nx"], damping, iterations: int = ITERATIONS):
    """``(H + damping)^-1 H x`` with ``H = S A^T M W A S / norm(A)^2``: image (ny, nx) -> (ny, nx).

    What a damped least-squares reconstruction would make of noiseless data of ``x``: the identity where ``H``
    is far above ``damping``, 0 where the data say nothing, as in the missing wedge. By preconditioned
    conjugate gradients on the exact operator, from 0: where the damping is small they end before all that is
    hardly measured has come, and ``norm(x - measured)`` is up to 15% too large.

    damping: (), of :func:`damping`
    """
    image = problem.normal(x)
    return conjugate_gradients(
        lambda v: problem.normal(v) + damping * v,
        image,
        jnp.zeros_like(x),
        iterations=iterations,
        precondition=lambda r: problem.precondition(r, jnp.maximum(damping, LEAST_DAMPING)),
    )


def damping(problem: SliceProblem, x: Float[Array, "ny nx"], noise):
    """``sigma^2 / (s^2 norm(A)^2)``: the noise's variance over the image's, relative to ``norm(A)^2 = 1``.

    With it, :func:`measured_part` is the best linear estimate of a white image from noisy data (Wiener).
    ``s^2`` is the mean square of the image inside the support. ``sigma`` is the noise of a bin, or the rms
    residual of the image where that is larger: data that the model does not explain determine nothing either.
    With weights it is ``w r^2`` whose mean counts: they stand for the inverse of the bins' variances.

    problem: with the data of this slice, and weights; x: the slice, in units that predict them
    noise: (), of a bin, such as :func:`pfitre_jax.estimation.calibrate.calibrate`
    """
    residual = problem.residual(x)
    counted = problem.mask if problem.weights is None else problem.mask * problem.weights
    bins = jnp.maximum(jnp.sum(problem.mask), 1)
    size = jnp.sum(problem.support * x * x) / jnp.maximum(jnp.sum(problem.support), 1)
    variance = jnp.maximum(noise**2 * jnp.sum(counted) / bins, jnp.sum(counted * residual**2) / bins)
    # Of an empty image nothing was measured and nothing supplied.
    found = jnp.where(size > 0, variance / jnp.where(size > 0, size * problem.norm_squared, 1), 1.0)
    return jnp.maximum(found, SMALLEST_DAMPING)
