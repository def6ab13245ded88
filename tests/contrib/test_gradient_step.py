"""The objective never rises, and a convex one ends at its minimum."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_scan import N, Smooth, normal_equations, problem, scan, smoothing, solve_nonnegative

from pfitre_jax import contrib
from pfitre_jax.contrib.gradient_step import DECREASE, GradientStep
from pfitre_jax.interfaces import Prior

WEIGHT = 0.05


@jax.tree_util.register_static
class Wild(Prior):
    """Smooth and as expansive as one likes: its slope is up to 13."""

    def denoise(self, v, *, correction, wedge, rho):
        return v + jnp.sin(12 * v)


@functools.partial(jax.jit, static_argnames="steps")
def history(method, problem, steps: int):
    """Every iterate and state of the loop from 0, stacked, the first ones included."""

    def advance(point, _):
        return method.step(problem, *point), point

    return jax.lax.scan(advance, method.init(problem, jnp.zeros((N, N))), length=steps)[1]


def wild():
    return contrib.GradientStepPnP(GradientStep(Wild()), 0.01, WEIGHT)


def objective(method, x, correction):
    """``1/2 |A x - y|^2/norm(A)^2 + WEIGHT/2 |x - N(x)|^2``."""
    proposal = method.prior.prior.denoise(x, **method.prior_inputs(problem(), correction))
    data = jnp.sum(problem().residual(x) ** 2) / (2 * problem().norm_squared)
    return data + WEIGHT * jnp.sum((x - proposal) ** 2) / 2


def test_the_objective_never_rises():
    iterates, states = history(wild(), problem(), 30)
    F = np.asarray(states.objective, float)
    assert np.all(np.diff(F) <= 1e-6 * F[0]) and F[-1] < 0.9 * F[0]
    # The decrease meets the required bound at the accepted step length.
    moved = np.sum(np.diff(np.asarray(iterates.x), axis=0) ** 2, axis=(1, 2))
    assert np.all(-np.diff(F) >= DECREASE * moved / np.asarray(states.length)[1:] - 1e-6 * F[0])
    np.testing.assert_array_less(np.asarray(states.length)[1:], 1.01 * np.asarray(states.length)[:-1])
    assert states.length[-1] < states.length[0], "nothing was halved: nothing was checked"
    np.testing.assert_allclose(F[-1], objective(wild(), iterates.x[-1], states.correction[-1]), rtol=1e-4)


@pytest.mark.slow
def test_objective_rises_without_halving():
    """A step of the first length raises the objective; without halving the iterate is kept."""
    stubborn = contrib.GradientStepPnP(GradientStep(Wild()), 0.01, 0.05, halvings=0)
    iterate, state = jax.tree.map(lambda leaf: leaf[5], history(wild(), problem(), 30))
    full = dataclasses.replace(state, length=jnp.asarray(100.0))

    @jax.jit
    def both(p, iterate, state):
        return stubborn.move(p, iterate.x, state, state.length), stubborn.step(p, iterate, state)[0]

    x, stayed = both(problem(), iterate, full)
    assert objective(wild(), x, state.correction) > 1.1 * state.objective
    np.testing.assert_array_equal(stayed.x, iterate.x)


@pytest.mark.slow
def test_an_expansive_linear_denoiser_converges_to_the_minimum():
    """The dense solution of ``H x - b + weight (1 - N)^T (1 - N) x = 0`` where ``x > 0``."""
    factor, weight = -1.5, 0.05
    done = contrib.gradient_step(*scan(), prior=Smooth(factor), rho=0.1, weight=weight, iterations=100)
    (H, b), left = normal_equations(), np.eye(N * N) - factor * smoothing()
    expected = solve_nonnegative(H + weight * left.T @ left, b, done.value)
    np.testing.assert_allclose(np.ravel(done.value), expected, atol=3e-3 * expected.max())
