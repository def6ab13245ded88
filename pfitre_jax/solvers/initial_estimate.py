"""The first reconstruction, which the loops with a learned prior start from."""

from __future__ import annotations

from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.admm import ADMM
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.problem import Problem

#: ADMM with total variation. Ten iterations of it are worth 3 dB to the start of the loop (docs/measurements/log.md).
FIRST = ADMM(TV(4e-4, iterations=10), rho=0.005, cg_iterations=3, start_iterations=8)


def first_reconstruction(problem: Problem, x0, prior, iterations: int | None = None):
    """What a loop starts from: iterations of :data:`FIRST` from ``x0 (ny, nx)``, or ``x0`` for none.

    iterations: ``None`` for as many as the prior was trained with (``prior.first_iterations``; 0 without)
    """
    if iterations is None:
        iterations = getattr(prior, "first_iterations", 0)
    if not iterations:
        return x0
    # In a form that has gradients; forward it costs the same.
    return run(FIRST, problem, x0, iterations=iterations, differentiate="checkpoint").value
