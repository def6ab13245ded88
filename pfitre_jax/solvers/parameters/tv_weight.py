"""The automatic weight of total variation and rho of a learned prior, from the noise in the sinograms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.solvers.problem import Problem

#: Weight of TV over the noise in a pixel of the data term's gradient: 0.1 to 0.4 dB below each scan's own
#: best weight on simulated circuits (``python -m experiments.loop_settings``).
WEIGHT_PER_NOISE = 0.7
#: No data are so clean that less is of use: model errors (alignment, discretisation) are above shot noise
#: then. On real data (i13, rows 60-80, 42 views) 3e-4 is best where the noise alone asks for 6e-5.
SMALLEST_WEIGHT = 2e-4
#: Rho of a learned prior over the square of that weight, and between what: at 3% noise the largest is worth
#: 0.6 dB over the lowest, at 1% and less the lowest is as good (``python -m experiments.loop_settings``).
RHO_PER_VARIANCE, RHO_RANGE = 7000.0, (0.005, 0.02)


def automatic_weight(
    problem: Problem, noise, masks: Float[Array, "*slices views columns"] | None = None
) -> Float[Array, ""]:
    """The weight of TV for a scan, ``0.7 sigma sqrt(sum_v 2/(3 a_v)) / norm(A)^2``.

    That is 0.7 of the standard deviation which the noise gives a pixel of the data term's gradient
    ``A^T(Ax-y)/norm(A)^2``: the root is the norm of a column of ``A`` (:mod:`pfitre_jax.operators.normal`).

    problem: supplies the geometry
    noise: (), ``sigma`` of a bin, such as :func:`pfitre_jax.solvers.parameters.noise.scan_noise` of sinograms of images
        with values of about [0, 1]
    masks: 1 for a valid bin, default the problem's; a view without any counts for nothing
    """
    masks = problem.mask if masks is None else masks
    theta = problem.A.geometry.theta_rad
    footprint = jnp.maximum(jnp.abs(jnp.cos(theta)), jnp.abs(jnp.sin(theta)))
    views = masks.ndim - 2
    counted = jnp.any(masks > 0, axis=tuple(axis for axis in range(masks.ndim) if axis != views))
    column_norm = jnp.sqrt(jnp.sum(jnp.where(counted, 2 / (3 * footprint), 0)))
    in_gradient = noise * column_norm / problem.norm_squared
    return jnp.maximum(WEIGHT_PER_NOISE * in_gradient, SMALLEST_WEIGHT)


def learned_rho(weight: float | Float[Array, ""]) -> float | Float[Array, ""]:
    """The rho of the loop with a learned prior for a scan of this :func:`automatic_weight`, relative to
    ``norm(A)^2 = 1``: ``7000 weight^2``, between 0.005 and 0.02.

    The weight is proportional to the noise, and the pull towards the prior belongs to its variance.
    """
    clip = jnp.clip if isinstance(weight, jax.Array) else np.clip
    return clip(RHO_PER_VARIANCE * weight**2, *RHO_RANGE)
