"""Measured component of an image: the part that its data determine; the prior supplies the rest."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Problem
from pfitre_jax.solvers.conjugate_gradients import conjugate_gradients

#: Default number of conjugate gradient iterations of :func:`measured_component`.
ITERATIONS = 20
#: Smallest damping of the preconditioner, relative to ``||A||^2 = 1``. With a smaller one the preconditioner
#: amplifies the unmeasured component, and its own error, by ``1/damping``, and the iterates are far too large
#: for many iterations. With this one they grow from 0, and early stopping underestimates the measured
#: component.
LEAST_PRECONDITIONER_DAMPING = 0.1
#: Smallest damping, relative to ``||A||^2 = 1``, because of the precision of float32.
LEAST_DAMPING = 1e-6


def measured_component(
    problem: Problem,
    x: Float[Array, "ny nx"],
    damping: Float[Array, ""],
    iterations: int = ITERATIONS,
) -> Float[Array, "ny nx"]:
    """Returns ``(H + damping)^-1 H x`` with ``H = S A^T M W A S / ||A||^2``.

    It is the damped least-squares reconstruction from noiseless data of ``x``: ``x`` itself where ``H`` is
    well above the damping, and 0 where the data contain nothing, as in the missing wedge. The supplied
    component is the rest of ``x``.

    Preconditioned conjugate gradients solve the exact system from 0. With a small damping they stop before
    the weakly measured components have converged, so that the norm of the supplied component is up to 15% too
    large.

    Args:
        problem: The data term of the slice.
        x: (ny, nx), the image.
        damping: (), see :func:`noise_damping`.
        iterations: Number of conjugate gradient iterations.
    """
    return conjugate_gradients(
        lambda v: problem.normal(v) + damping * v,
        problem.normal(x),
        jnp.zeros_like(x),
        iterations=iterations,
        precondition=lambda r: problem.precondition(r, jnp.maximum(damping, LEAST_PRECONDITIONER_DAMPING)),
    )


def noise_damping(problem: Problem, x: Float[Array, "ny nx"], noise: Array | float) -> Float[Array, ""]:
    """Returns ``sigma^2 / (s^2 ||A||^2)``, the variance of the noise over that of the image.

    With it, :func:`measured_component` is the best linear estimate of a white image from noisy data (Wiener
    filter). ``s^2`` is the mean square of the image inside the support. ``sigma`` is the noise of a bin, or
    the root mean square of the image's residual where that is larger, because data that the model does not
    fit do not determine the image. Weights are relative inverse variances; both variances are therefore means
    of ``w r^2``.

    Args:
        problem: The data term of the slice, with its weights.
        x: (ny, nx), the image, in units that predict the data.
        noise: (), standard deviation of the noise in a bin, see
            :func:`pfitre_jax.estimation.calibrate.calibrate`.
    """
    residual = problem.residual(x)
    weights = problem.mask if problem.weights is None else problem.mask * problem.weights
    bins = jnp.maximum(jnp.sum(problem.mask), 1)
    mean_square = jnp.sum(problem.support * x * x) / jnp.maximum(jnp.sum(problem.support), 1)
    variance = jnp.maximum(noise**2 * jnp.sum(weights) / bins, jnp.sum(weights * residual**2) / bins)
    # An empty image has neither a measured nor a supplied component.
    signal = mean_square > 0
    ratio = jnp.where(signal, variance / jnp.where(signal, mean_square * problem.norm_squared, 1), 1.0)
    return jnp.maximum(ratio, LEAST_DAMPING)
