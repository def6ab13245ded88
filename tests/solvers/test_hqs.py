"""Half-quadratic splitting with priors that differ between iterations."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_scan import N, Smooth, normal_equations, problem

from pfitre_jax.interfaces import Prior, PriorInfo
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import run

RHO = 0.02


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fixed(Prior):
    """A prior that proposes one image in even iterations and another one in odd iterations."""

    images: Any
    info = PriorInfo(alternates=True)

    def at(self, iteration):
        return Fixed(jnp.roll(self.images, -(iteration % 2), 0))

    def denoise(self, v, *, correction, wedge, rho):
        return self.images[0]


@pytest.mark.parametrize("iterations", [1, 2, 3, 8])
@pytest.mark.parametrize("stationary", [False, True])
def test_the_result_is_regularised_towards_the_mean_of_the_last_two_proposals(iterations, stationary):
    """``(H + 10 rho) x = b + 10 rho m`` where ``x > 0``, solved densely.

    ``m`` is the last proposal after one iteration, since there was none before, and in a stationary loop.
    """
    images = jnp.asarray(np.random.default_rng(3).uniform(0.5, 1.5, (2, N, N)), jnp.float32)
    solver = HQS(Fixed(images), RHO, cg_iterations=30, stationary=stationary)
    ones = problem().support
    disc = problem().with_sinogram(jax.jit(problem().A)(ones))
    done = _run(solver, disc, iterations=iterations).value
    mean, one = (np.ravel(problem().support * m).astype(float) for m in (images.mean(0), images[0]))
    H, _ = normal_equations()
    b = H @ np.ravel(ones)
    pull = solver.final_rho_factor * RHO
    inside = np.ravel(problem().support) > 0
    towards = lambda m: np.linalg.solve(  # noqa: E731
        H[np.ix_(inside, inside)] + pull * np.eye(inside.sum()), (b + pull * m)[inside]
    )
    expected = towards(one if iterations == 1 or stationary else mean)
    assert expected.min() > 0, "pixels would be held at 0, which the dense solution does not do"
    np.testing.assert_allclose(np.ravel(done)[inside], expected, atol=1e-3)
    assert np.abs(towards(one) - towards(mean)).max() > 0.05


def test_unrolled_priors_use_the_prior_and_rho_of_the_iteration():
    """Two iterations of the unrolled loop are one each of two plain loops; the last is repeated."""
    factors, rhos = jnp.array([0.9, 0.7]), jnp.array([0.02, 0.06])
    solver = HQS.create(UnrolledPrior(Smooth(factors), rhos), 1.0, cg_iterations=4)
    point = jax.jit(solver.init)(problem(), jnp.zeros((N, N)))
    plain = point
    for k, index in enumerate((0, 1, 1)):
        one = HQS(Smooth(factors[index]), rhos[index], 4)
        point = jax.jit(solver.step)(problem(), *point)
        plain = jax.jit(one.step)(problem(), *plain)
        np.testing.assert_allclose(point[0].x, plain[0].x, atol=1e-5)
        assert int(point[1].iteration) == k + 1
    finished = [jax.jit(s.finish)(problem(), *p) for s, p in ((solver, point), (one, plain))]
    np.testing.assert_allclose(*finished, atol=1e-5)
    other = jax.jit(HQS(Smooth(0.9), 0.02, 4).step)(problem(), *plain)
    assert np.abs(np.asarray(other[0].x - plain[0].x)).max() > 1e-3


def test_a_repeated_data_step_uses_the_current_rho():
    solver, other = HQS(Smooth(0.9), 0.02, 6), HQS(Smooth(0.9), 0.5, 6)
    iterate, state = jax.jit(lambda p: solver.step(p, *solver.init(p, jnp.zeros((N, N)))))(problem())
    repeated, new = jax.jit(other.repeat_data_step)(problem(), iterate, state)
    expected = jax.jit(lambda p: data_step(p, state.z, 0.5, iterate.x, iterations=6))(problem())
    np.testing.assert_allclose(repeated.x, expected, atol=1e-5)
    np.testing.assert_allclose(new.gradient, problem().gradient(repeated.x), atol=1e-5)
    distance = lambda x: float(jnp.linalg.norm(x - state.z))  # noqa: E731
    assert distance(repeated.x) < 0.5 * distance(iterate.x)
    np.testing.assert_array_equal(new.z, state.z)
    assert new.iteration == state.iteration


@functools.partial(jax.jit, static_argnames="iterations")
def _run(solver, problem, *, iterations):
    return run(solver, problem, jnp.zeros((N, N)), iterations=iterations)
