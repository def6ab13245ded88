"""Data correction and initial estimate that the solvers pass to a denoising prior."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_scan import N, inside, problem, scan

from pfitre_jax import contrib
from pfitre_jax.interfaces import Prior, PriorInfo
from pfitre_jax.solvers.initial_estimate import SOLVER, initial_estimate
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import disc_support

RHO, WEIGHT, STEP, RELAXATION = 0.05, 0.3, 0.9, 0.4


@jax.tree_util.register_static
class Descent(Prior):
    """A prior that applies the data correction as one gradient step: ``v - A^T M(A v - y)/norm(A)^2``."""

    info = PriorInfo(initial_iterations=2)

    def denoise(self, v, *, correction, wedge, rho):
        return v + rho * correction


def downhill(x):
    """``A^T (y - A x)/norm(A)^2`` by the dense matrix."""
    y = scan()[1].ravel().astype(float)
    return inside().T @ (y - inside() @ x) / float(problem().norm_squared)


def denoised(v):
    return v + downhill(v)


def half_step(x):
    return x + STEP * downhill(x)


CASES = {
    "pnp": (
        contrib.ProximalGradient(Descent(), RHO, STEP, initial_iterations=0),
        lambda x: denoised(half_step(x)),
    ),
    "red": (
        contrib.RED(Descent(), RHO, WEIGHT, STEP, initial_iterations=0),
        lambda x: x + STEP * (downhill(x) + WEIGHT * (denoised(x) - x)),
    ),
    "red-pro": (
        contrib.REDPRO(Descent(), RHO, STEP, 0.5, RELAXATION, initial_iterations=0),
        lambda x: (1 - RELAXATION) * half_step(x) + RELAXATION * denoised(half_step(x)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_steps_agree_with_their_formula_and_pass_the_data_correction_to_the_prior(case):
    method, expected = CASES[case]
    start = np.random.default_rng(1).random((N, N)) * np.asarray(disc_support(scan()[0]))
    x = jax.jit(lambda p, x: run(method, p, x, iterations=1).value)(
        problem(), jnp.asarray(start, jnp.float32)
    )
    np.testing.assert_allclose(np.ravel(x), np.maximum(expected(start.ravel()), 0), atol=1e-4)


def test_null_space_loop_passes_the_data_correction_to_the_prior():
    method = contrib.NullSpace(Descent(), RHO, initial_iterations=0)

    @jax.jit
    def proposal(p):
        point = method.init(p, jnp.zeros((N, N)))
        return point[0].x, method.proposal(*method.step(p, *point))

    x, z = (np.ravel(image).astype(float) for image in proposal(problem()))
    np.testing.assert_allclose(z, denoised(x), atol=1e-4)


def test_initial_estimate_uses_the_iterations_of_the_prior():
    blank = jnp.zeros((N, N))
    start = jax.jit(lambda p: initial_estimate(p, blank, Descent()))(problem())
    expected = jax.jit(lambda p: run(SOLVER, p, blank, iterations=Descent.info.initial_iterations).value)(
        problem()
    )
    np.testing.assert_allclose(start, expected, atol=1e-5)
    assert np.abs(start).max() > 0.1
    np.testing.assert_array_equal(initial_estimate(problem(), blank, Descent(), 0), blank)
