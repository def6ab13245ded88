"""The learned primal-dual method: a valid start, the published form, and that it learns."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pfitre_jax import contrib
from pfitre_jax.contrib import primal_dual_network as network
from pfitre_jax.contrib.primal_dual import LearnedPrimalDual
from pfitre_jax.contrib.primal_dual_network import PrimalDualConfig
from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.parameters.scale import SCALE_RHO
from pfitre_jax.solvers.slice_problem import SliceProblem

N = 16
THETA = np.deg2rad(np.linspace(-50, 50, 10))
SMALL = PrimalDualConfig(primal=3, dual=2, channels=8)


@functools.cache
def scan():
    """A problem and the image it was made of."""
    A = Projector(ParallelGeometry.create(THETA, N))
    image = jnp.zeros((N, N)).at[4:9, 4:12].set(1.0).at[9:12, 6:9].set(0.6)
    make = jax.jit(lambda A, x: SliceProblem.create(A, A(x), wedge=Wedge.from_angles(THETA)))
    return make(A, image), image


@functools.partial(jax.jit, static_argnames=("iterations",))
def solve(method, problem, iterations):
    zero = jnp.zeros((N, N))
    return run(method, problem, zero, iterations=iterations, differentiate="checkpoint").value


def created(iterations=3, **options):
    return LearnedPrimalDual.create(jax.random.key(0), iterations, SMALL, **options)


def trained(method, seed=1):
    """The method with non-zero parameters."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda a: a + 0.1 * generator.standard_normal(a.shape, np.float32), method)


@pytest.mark.slow
def test_untrained_method_returns_the_initial_image():
    problem, _ = scan()
    zero = jnp.zeros((N, N))
    start = jax.jit(lambda p: data_step(p, zero, SCALE_RHO, zero, iterations=8))(problem)
    # Two compiled programs round differently in single precision.
    np.testing.assert_allclose(solve(created(), problem, 3), start, atol=1e-4)
    np.testing.assert_array_equal(solve(created(start_iterations=0), problem, 3), 0)


def test_steps_agree_with_the_published_form():
    """Two steps written out, with an independently computed operator norm and parameters for each step."""
    problem, _ = scan()
    method = trained(created(start_iterations=0))
    norm = float(problem.norm_squared) ** 0.5

    @jax.jit
    def two_steps(A, y, support, params):
        primal, dual = jnp.zeros((N, N, 3)), jnp.zeros((*y.shape, 2))
        for k in range(2):
            step_params = jax.tree.map(lambda a: a[k], params)  # noqa: B023
            dual = network.update_dual(SMALL, step_params, dual, A(primal[..., 1]) / norm, y / norm)
            back = support * A.T(dual[..., 0]) / norm
            primal = network.update_primal(SMALL, step_params, primal, back) * support[..., None]
        return primal[..., 0]

    expected = two_steps(problem.A, problem.sinogram, problem.support, method.params)
    np.testing.assert_allclose(solve(method, problem, 2), expected, atol=1e-4 * np.abs(expected).max())


def test_iterations_after_the_last_step_change_nothing():
    problem, _ = scan()
    method = trained(created())
    np.testing.assert_array_equal(solve(method, problem, 5), solve(method, problem, 3))
    assert np.abs(solve(method, problem, 3) - solve(method, problem, 2)).max() > 1e-3
    with pytest.raises(ValueError, match="iterations is 5; expected at most 3"):
        contrib.learned_primal_dual(problem.A, problem.sinogram, method=method, iterations=5)


@pytest.mark.slow
def test_every_parameter_has_a_gradient_and_training_lowers_the_loss():
    problem, truth = scan()

    def loss(method):
        return jnp.mean((solve(method, problem, 3) - truth) ** 2)

    slope = jax.jit(jax.grad(loss))(trained(created()))
    for leaf in jax.tree.leaves(slope.params):
        assert np.abs(np.asarray(leaf).reshape(3, -1)).max(axis=1).min() > 0

    optimiser = optax.adam(3e-3)

    @jax.jit
    def train(method):
        def step(carry, _):
            method, state = carry
            value, slope = jax.value_and_grad(loss)(method)
            updates, state = optimiser.update(slope, state)
            return (optax.apply_updates(method, updates), state), value

        return jax.lax.scan(step, (method, optimiser.init(method)), length=30)[1]

    values = train(created())
    assert values[-1] < 0.5 * values[0]


def test_the_untrained_layout_is_the_published_one():
    """Two pairs of three 3x3 convolutions: 7-32-32-5 and 6-32-32-5 channels, two slopes each; ten steps."""
    params = jax.eval_shape(lambda: LearnedPrimalDual.create(jax.random.key(0)).params)
    sizes = sum(
        (inputs + 1 / 9) * outputs for inputs, outputs in [(7, 32), (6, 32), *2 * [(32, 32), (32, 5)]]
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == round(10 * (9 * sizes + 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: created(0), "iterations is 0; expected a whole number of at least 1"),
        (lambda: PrimalDualConfig(primal=1), "primal is 1; expected a whole number of at least 2"),
        (lambda: PrimalDualConfig(channels=0), "channels is 0; expected a whole number of at least 1"),
    ],
)
def test_invalid_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
