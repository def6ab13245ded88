"""Weight of total variation, and prior strength of the learned loop, from the noise in the sinograms."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.parameters.noise import estimate_noise
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.solve import as_float

#: TV weight over the standard deviation of the noise in a pixel of the data term's gradient. 0.1 to 0.4 dB
#: below the best weight of each scan on simulated circuits (``python -m experiments.loop_settings``).
WEIGHT_PER_NOISE = 0.7
#: Smallest automatic weight. On clean data model errors (alignment, discretisation) exceed the shot noise: on
#: rows 60-80 of i13 with 42 views 3e-4 is best, where the noise alone gives 6e-5.
SMALLEST_WEIGHT = 2e-4
#: ``rho`` of a learned prior over the square of the TV weight.
RHO_PER_VARIANCE = 7000.0
#: Range of ``rho``. At 3% noise the largest gains 0.6 dB on 0.005 (``python -m experiments.loop_settings``).
#: At 0.3% and less 0.0025 gains 0.1 to 0.5 dB over 0.005 on all kinds of scenes except smooth discs, which
#: lose 0.3 dB (docs/measurements/log.md); 0.003 is the smallest that all shipped priors were trained for.
RHO_RANGE = (0.003, 0.02)


def tv_weight_from_noise(
    problem: SliceProblem,
    noise: float | Float[Array, ""],
    masks: Float[Array, "*slices views columns"] | None = None,
    smallest: float = SMALLEST_WEIGHT,
) -> Float[Array, ""]:
    """TV weight of a scan, ``0.7 sigma sqrt(sum_v 2/(3 a_v)) / ||A||^2``, at least ``smallest``.

    That is 0.7 of the standard deviation that the noise gives a pixel of the data term's gradient
    ``A^T (A x - y) / ||A||^2``. The root is the norm of a column of ``A``, ``a_v = max(|cos|, |sin|)`` of the
    view angle, see :mod:`pfitre_jax.operators.normal`.

    Args:
        problem: The geometry.
        noise: (), ``sigma`` of a bin, from :func:`pfitre_jax.solvers.estimate_noise`; sinograms divided by
            the scale of the scan.
        masks: (..., views, columns), 1 for a valid bin; views without one are left out. None: that of
            ``problem``.
        smallest: Smallest weight.

    Returns:
        (), relative to ``||A||^2 = 1``.
    """
    masks = problem.mask if masks is None else masks
    theta = problem.A.geometry.theta_rad
    footprint = jnp.maximum(jnp.abs(jnp.cos(theta)), jnp.abs(jnp.sin(theta)))
    views = masks.ndim - 2
    counted = jnp.any(masks > 0, axis=tuple(axis for axis in range(masks.ndim) if axis != views))
    column_norm = jnp.sqrt(jnp.sum(jnp.where(counted, 2 / (3 * footprint), 0)))
    in_gradient = noise * column_norm / problem.norm_squared
    return jnp.maximum(WEIGHT_PER_NOISE * in_gradient, smallest)


def rho_from_tv_weight(tv_weight: Any) -> Any:
    """``rho`` of the loop with a learned prior, ``7000 tv_weight^2`` between 0.003 and 0.02: () -> ().

    Args:
        tv_weight: (), of :func:`tv_weight_from_noise`, relative to ``||A||^2 = 1``.
    """
    clip = jnp.clip if isinstance(tv_weight, jax.Array) else np.clip
    return clip(unclipped_rho(tv_weight), *RHO_RANGE)


def unclipped_rho(tv_weight: Any) -> Any:
    """``7000 tv_weight^2``: the weight is proportional to the noise, and the prior strength to its variance.

    Args:
        tv_weight: (), ``0.7 sigma sqrt(sum_v 2/(3 a_v)) / ||A||^2``, see :func:`tv_weight_from_noise`.
    """
    return RHO_PER_VARIANCE * tv_weight**2


def resolve_tv_weight(
    weight: Any,
    A: Projector,
    sinogram: Float[Array, "views columns"],
    mask: Float[Array, "views columns"] | None = None,
    support: Float[Array, "ny nx"] | None = None,
) -> Any:
    """``weight``, or for "auto" :func:`tv_weight_from_noise` of one slice.

    Raises:
        ValueError: For a text other than "auto".
    """
    if not _is_auto("weight", weight):
        return weight
    return _slice_tv_weight(A, as_float(sinogram), mask, support)


def resolve_rho(
    rho: Any,
    A: Projector,
    sinogram: Float[Array, "views columns"],
    mask: Float[Array, "views columns"] | None = None,
    support: Float[Array, "ny nx"] | None = None,
) -> Any:
    """``rho``, or for "auto" :func:`rho_from_tv_weight` of one slice.

    Raises:
        ValueError: For a text other than "auto".
    """
    if not _is_auto("rho", rho):
        return rho
    return rho_from_tv_weight(_slice_tv_weight(A, as_float(sinogram), mask, support))


def _is_auto(name: str, value: Any) -> bool:
    if isinstance(value, str) and value != "auto":
        raise ValueError(f"{name} is {value!r}; expected a number or 'auto'")
    return isinstance(value, str)


@jax.jit
def _slice_tv_weight(A, sinogram, mask, support):
    problem = SliceProblem.create(A, sinogram, mask, support)
    return tv_weight_from_noise(problem, estimate_noise(problem, problem.sinogram[None]))
