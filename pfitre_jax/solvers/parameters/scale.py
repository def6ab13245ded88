"""The one number per scan that brings its image values to about [0, 1]."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.problem import Problem

#: The first reconstruction that scale and loop start from: damping and conjugate gradients.
SCALE_RHO = 0.02
SCALE_ITERATIONS = 12
#: Of the pixel values inside the support, this share lies below the scale.
SCALE_QUANTILE = 0.995


def reference_scale(
    problem: Problem,
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"] | None = None,
    region: Float[Array, "ny nx"] | None = None,
    iterations: int = SCALE_ITERATIONS,
) -> Float[Array, ""]:
    """The quantile ``SCALE_QUANTILE`` of a damped, non-negative reconstruction of all slices together.

    A quantile, not the maximum: one hot pixel must not rescale the image. The maximum where the object is so
    small that the quantile is 0; 1 for sinograms without signal.

    problem: supplies everything but sinogram and mask
    masks: 1 where a bin is valid, default the problem's
    region: 1 for the pixels that count, default the problem's support
    iterations: of conjugate gradients; 4 are within 5% of 12, 6 within 1%
    """
    masks = jnp.broadcast_to(problem.mask, sinograms.shape) if masks is None else masks
    region = problem.support if region is None else region
    zero = jnp.zeros(problem.A.shape, sinograms.dtype)

    def quick(sinogram, mask):
        one = problem.with_sinogram(sinogram, mask)
        return data_step(one, zero, SCALE_RHO, zero, iterations=iterations)

    images = jnp.where(region[None] > 0, jax.vmap(quick)(sinograms, masks), jnp.nan)
    scale, largest = jnp.nanquantile(images, SCALE_QUANTILE), jnp.nanmax(images)
    return jnp.where(scale > 0, scale, jnp.where(largest > 0, largest, 1.0))
