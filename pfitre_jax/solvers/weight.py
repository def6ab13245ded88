"""The automatic weight of total variation and rho of a learned prior, from the noise in the sinograms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.operators.projector import Projector

#: Weight of TV over the noise in a pixel of the data term's gradient, calibrated on simulated circuits.
WEIGHT_PER_NOISE = 0.6
#: No data are so clean that less is of use: model errors (alignment, discretisation) are above shot noise
#: then. On real data (i13, rows 60-80, 42 views) 3e-4 is best where the noise alone asks for 5e-5.
SMALLEST_WEIGHT = 2e-4
#: Rho of a learned prior over the square of that weight, and between what: at 3% noise the largest is worth
#: 0.6 dB over the lowest, at 1% and less the lowest is as good (``python -m experiments.loop_settings``).
RHO_PER_VARIANCE, RHO_RANGE = 7000.0, (0.005, 0.02)
#: ``median |n|`` of a standard normal n.
MAD = 0.6745


def noise_level(
    sinograms: Float[Array, "slices views columns"], masks: Float[Array, "slices views columns"]
) -> Float[Array, ""]:
    """Standard deviation of the noise in a bin, by the median size of second differences along the columns.

    ``sigma = median |y[k-1] - 2 y[k] + y[k+1]| / (0.6745 sqrt 6)`` over the triples of valid bins of all
    slices (Donoho & Johnstone's estimator, Biometrika 81, 1994, on another high-pass). Sharp structure
    counts as noise where it fills the view: too high by 1.4 at 1% noise and by 2 to 3 at 0.3% on circuits.
    0 where no triple is valid.
    """
    second = sinograms[..., :-2] - 2 * sinograms[..., 1:-1] + sinograms[..., 2:]
    valid = (masks[..., :-2] > 0) & (masks[..., 1:-1] > 0) & (masks[..., 2:] > 0)
    size = jnp.nanmedian(jnp.where(valid, jnp.abs(second), jnp.nan))
    return jnp.nan_to_num(size) / (MAD * 6**0.5)


def automatic_weight(
    A: Projector,
    norm_squared: Float[Array, ""],
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"] | None = None,
    view_weights: Float[Array, " views"] | None = None,
) -> Float[Array, ""]:
    """The weight of TV for a scan, ``0.6 sigma sqrt(sum_v 2/(3 a_v)) / norm(A)^2``.

    That is 0.6 of the standard deviation which the noise gives a pixel of the data term's gradient
    ``A^T(Ax-y)/norm(A)^2``: ``sigma`` is :func:`noise_level`, the root the norm of a column of ``A``
    (:mod:`pfitre_jax.operators.normal`). No reconstruction is made; a few rows of the scan are enough.

    norm_squared: (), ``norm(A)^2``
    sinograms: line integrals of images with values of about [0, 1]: divided by the scan's scale
    masks: 1 for a valid bin, default all
    view_weights: 0 for a view that counts for nothing, in ``norm_squared`` neither; default all count
    """
    masks = jnp.ones_like(sinograms) if masks is None else masks
    theta = A.geometry.theta_rad
    footprint = jnp.maximum(jnp.abs(jnp.cos(theta)), jnp.abs(jnp.sin(theta)))
    counted = jnp.ones_like(footprint) if view_weights is None else view_weights
    column_norm = jnp.sqrt(jnp.sum(counted * 2 / (3 * footprint)))
    noise = noise_level(sinograms, masks) * column_norm / norm_squared
    return jnp.maximum(WEIGHT_PER_NOISE * noise, SMALLEST_WEIGHT).astype(sinograms.dtype)


def learned_rho(weight: float | Float[Array, ""]) -> float | Float[Array, ""]:
    """The rho of the loop with a learned prior for a scan of this :func:`automatic_weight`, relative to
    ``norm(A)^2 = 1``: ``7000 weight^2``, between 0.005 and 0.02.

    The weight is proportional to the noise, and the pull towards the prior belongs to its variance.
    """
    clip = jnp.clip if isinstance(weight, jax.Array) else np.clip
    return clip(RHO_PER_VARIANCE * weight**2, *RHO_RANGE)


def resolve_weight(weight, A: Projector, sinogram, mask=None):
    """``weight``, or for "auto" the :func:`automatic_weight` of one slice ``(views, columns)``."""
    if not isinstance(weight, str):
        return weight
    if weight != "auto":
        raise ValueError(f"weight is {weight!r}; expected a number or 'auto'")
    sinogram = jnp.asarray(sinogram)
    mask = jnp.ones_like(sinogram) if mask is None else jnp.asarray(mask, sinogram.dtype)
    return _one_slice(A, sinogram, mask)


@jax.jit
def _one_slice(A, sinogram, mask):
    return automatic_weight(A, A.norm_squared(), sinogram[None], mask[None])
