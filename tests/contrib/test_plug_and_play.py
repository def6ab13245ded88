"""Plug-and-play proximal gradient against FISTA-TV, and against a dense solve for its fixed point."""

from __future__ import annotations

import numpy as np
import pytest
from small_scan import N, Smooth, normal_equations, problem, scan, smoothing, solve_nonnegative

from pfitre_jax import contrib, solvers
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.fista import objective
from pfitre_jax.solvers.loop import Status

WEIGHT = 1e-3


@pytest.mark.parametrize(
    ("settings", "weight"), [({}, WEIGHT), ({"step_length": 0.5}, WEIGHT), ({"rho": 2.0}, WEIGHT / 2)]
)
def test_tv_prior_agrees_with_fista_tv(settings, weight):
    """Independent of the step length; an explicit rho divides the weight by ``rho step_length``."""
    settings = {"step_length": 1.0} | settings
    ours = contrib.pnp_fista(*scan(), prior=TV(WEIGHT), **settings)
    theirs = solvers.fista_tv(*scan(), weight=weight)
    value = lambda x: float(objective(problem(), x, weight))  # noqa: E731
    assert abs(value(ours.value) / value(theirs.value) - 1) < 1e-3
    other = solvers.fista_tv(*scan(), weight=3 * weight).value
    assert value(other) / value(theirs.value) - 1 > 1e-2, "the objective is as low elsewhere"


@pytest.mark.parametrize("call", [contrib.pnp_ista, contrib.pnp_fista])
def test_contractive_denoiser_converges_to_the_fixed_point(call):
    """``x = max(D(x - step A^T(A x - y)/norm(A)^2), 0)``, its linear part solved densely."""
    step, factor = 0.8, 0.9
    done = call(*scan(), prior=Smooth(factor), rho=0.1, step_length=step, iterations=400, tolerance=1e-6)
    assert done.status == Status.CONVERGED
    D, (H, b), one = factor * smoothing(), normal_equations(), np.eye(N * N)
    expected = solve_nonnegative(one - D @ (one - step * H), step * D @ b, done.value)
    np.testing.assert_allclose(np.ravel(done.value), expected, atol=1e-4)
