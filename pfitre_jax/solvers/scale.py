"""The one number per scan that brings its image values to about [0, 1]."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.solvers.cg import data_step
from pfitre_jax.solvers.problem import Problem

#: The first reconstruction that scale and loop start from: damping and conjugate gradients.
SCALE_RHO = 0.02
SCALE_ITERATIONS = 12
#: Of the pixel values inside the support, this share lies below the scale.
SCALE_QUANTILE = 0.995


def reference_scale(problem: Problem, sinograms: Float[Array, "slices views columns"]) -> Float[Array, ""]:
    """The ``SCALE_QUANTILE`` of a damped, non-negative reconstruction of all ``sinograms`` together.

    A quantile, not the maximum: one hot pixel must not rescale the image. ``problem`` supplies everything
    but the sinogram. 1 for sinograms without signal.
    """
    zero = jnp.zeros(problem.A.shape, sinograms.dtype)

    def reconstruct(sinogram):
        one = problem.with_sinogram(sinogram)
        return data_step(one, zero, SCALE_RHO, zero, iterations=SCALE_ITERATIONS)

    images = jax.vmap(reconstruct)(sinograms)
    inside = jnp.where(problem.support[None] > 0, images, jnp.nan)
    scale = jnp.nanquantile(inside, SCALE_QUANTILE)
    return jnp.where(scale > 0, scale, 1.0)
