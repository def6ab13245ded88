"""Proposal of a prior for an image that does not come from a data step."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Prior, Problem, data_correction


def prior_step(
    problem: Problem,
    prior: Prior,
    v: Float[Array, "*rows ny nx"],
    residual: Float[Array, "*rows views columns"],
    rho: Any,
) -> Float[Array, "*rows ny nx"]:
    """``prior(v)`` with the data correction at ``v``, 0 outside the support: (ny, nx).

    Args:
        problem: The data term.
        prior: The prior.
        v: (ny, nx), the current image.
        residual: (views, columns), ``M(A v - y)``.
        rho: (), prior strength.
    """
    rho = jnp.asarray(rho, v.dtype)
    # A prior that ignores the correction costs no backprojection: XLA drops it.
    correction = data_correction(problem, residual, rho)
    return prior.denoise(v, correction=correction, wedge=problem.wedge, rho=rho) * problem.support
