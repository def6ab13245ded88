"""Proposal of a prior, and the error that it expects, for an image that does not come from a data step."""

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


def expected_error(
    problem: Problem, prior: Prior, x: Float[Array, "*rows ny nx"], rho: Any
) -> Float[Array, "*rows ny nx"]:
    """The absolute error that a prior expects in each pixel of an image: (ny, nx).

    Args:
        problem: The data term.
        prior: A prior with an expected error, see :meth:`Prior.expected_error`.
        x: (ny, nx), the image, such as the result of the loop.
        rho: (), prior strength of the loop.
    """
    rho = jnp.asarray(rho, x.dtype)
    correction = data_correction(problem, problem.residual(x), rho)
    return prior.expected_error(x, correction=correction, wedge=problem.wedge, rho=rho)
