"""Initial estimate by total variation, from which the loops with a learned prior start."""

from __future__ import annotations

from jaxtyping import Array, Float

from pfitre_jax.interfaces import Prior, Problem
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.admm import ADMM
from pfitre_jax.solvers.loop import run

#: Ten iterations of it improve the initial image of the loop by 3 dB (docs/measurements/log.md).
SOLVER = ADMM(TV(4e-4, iterations=10), rho=0.005, cg_iterations=3, start_iterations=8)


def initial_estimate(
    problem: Problem,
    x0: Float[Array, "*rows ny nx"],
    prior: Prior | None,
    iterations: int | None = None,
) -> Float[Array, "*rows ny nx"]:
    """Image after some iterations of ADMM with total variation.

    Args:
        problem: The data term.
        x0: (ny, nx), initial image; returned if the number of iterations is 0.
        prior: Prior of the loop that starts from the estimate, or None.
        iterations: Number of iterations. None: as many as ``prior`` was trained with, 0 without one.
    """
    if iterations is None:
        iterations = prior.info.initial_iterations if prior is not None else 0
    if not iterations:
        return x0
    # The differentiable form of the loop does not cost more time in the forward direction.
    return run(SOLVER, problem, x0, iterations=iterations, differentiate="checkpoint").value
