"""Scale of a scan: the number that brings its image values to about [0, 1]."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Damping of the least-squares images from which the scale is estimated.
SCALE_RHO = 0.02
#: The same for samples of a few pixels.
SMALL_RHO = 5e-4
#: Conjugate gradient iterations of these images.
SCALE_ITERATIONS = 12
#: Quantile of the pixel values inside the support that is the scale.
SCALE_QUANTILE = 0.995


def estimate_scale(
    problem: SliceProblem,
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"] | None = None,
    region: Float[Array, "ny nx"] | None = None,
    iterations: int = SCALE_ITERATIONS,
) -> Float[Array, ""]:
    """Quantile :data:`SCALE_QUANTILE` ``q`` of damped, non-negative least-squares images of all slices.

    A quantile is robust against hot pixels. Where a sample fills less than 0.5% of the field, ``q`` is the
    noise of the air: the pixels above it then hold more than half of the mass, which the line integrals give
    without the noise, ``sum_x x = mean_views sum_t y``. The scale is then the mean of these pixels weighted
    by ``(x - q)^2``, in images with less damping, which would flatten a sample of a few pixels. For sinograms
    without signal or of negative values it is 1.

    Args:
        problem: Geometry and support; its sinogram is ignored.
        sinograms: (slices, views, columns), line integrals.
        masks: (slices, views, columns), 1 for a valid bin. None: that of ``problem``.
        region: (ny, nx), 1 for the pixels that count. None: the support of ``problem``.
        iterations: Conjugate gradient iterations; 4 are within 5% of 12, 6 within 1%.

    Returns:
        (), in the units of the image.
    """
    masks = jnp.broadcast_to(problem.mask, sinograms.shape) if masks is None else masks
    region = problem.support if region is None else region
    # Squares of line integrals of 1e-20 or 1e20 are no float32 numbers. A power of two changes no digit.
    largest = jnp.max(jnp.where(masks > 0, jnp.abs(sinograms), 0))
    unit = jnp.where(largest > 0, jnp.exp2(jnp.floor(jnp.log2(largest))), 1).astype(sinograms.dtype)
    sinograms = sinograms / unit

    def solve(x, rho):
        def one(sinogram, mask, x):
            row = problem.with_sinogram(sinogram, mask)
            return data_step(row, jnp.zeros_like(x), rho, x, iterations=iterations)

        return jax.vmap(one)(sinograms, masks, x)

    def quantile_and_excess(images):
        quantile = jnp.nanquantile(jnp.where(region[None] > 0, images, jnp.nan), SCALE_QUANTILE)
        return quantile, region[None] * jnp.maximum(images - quantile, 0)

    def small_level(images):
        images = solve(images, SMALL_RHO)
        bright = quantile_and_excess(images)[1]
        total = jnp.sum(bright**2)
        return jnp.sum(bright**2 * images) / jnp.where(total > 0, total, 1)

    images = solve(jnp.zeros((len(sinograms), *region.shape), sinograms.dtype), SCALE_RHO)
    quantile, bright = quantile_and_excess(images)
    # The mean over the valid bins stands for those that are not valid.
    measured = jnp.maximum(jnp.sum(masks, axis=(1, 2)), 1)
    mass = jnp.sum(jnp.sum(masks * sinograms, axis=(1, 2)) / measured) * sinograms.shape[2]
    is_small = jnp.sum(jnp.where(bright > 0, images, 0)) > mass / 2
    scale = jax.lax.cond(is_small, small_level, lambda _: quantile, images)
    return jnp.where(scale > 0, unit * scale, 1.0)
