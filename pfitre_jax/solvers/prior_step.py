"""The prior's step of the methods that ask it about images which no data step has made."""

from __future__ import annotations

import jax.numpy as jnp

from pfitre_jax.solvers.problem import Problem


def prior_step(problem: Problem, prior, v, misfit, rho):
    """``prior(v)``, 0 outside the support, told the data gradient at ``v``: (ny, nx) -> (ny, nx).

    misfit: (views, columns), ``M(y - A v)``; rho: (), what the prior is told
    """
    rho = jnp.asarray(rho, v.dtype)
    # A prior that does not look at the gradient costs no backprojection: XLA drops it.
    gradient = problem.back(misfit) / rho
    return prior.denoise(v, correction=gradient, wedge=problem.wedge, rho=rho) * problem.support
