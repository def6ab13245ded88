"""One training step: reported loss, update of the weights, and next state of the loop."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.ndimage import gaussian_filter

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.interfaces import Iterate
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.solvers.hqs import HQSState
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.training.config import Optimisation, Stage
from pfitre_jax.training.losses import LossWeights, compare
from pfitre_jax.training.optimiser import Optimiser, make_optimiser
from pfitre_jax.training.parameters import TrainableParameters
from pfitre_jax.training.train_step import TrainState, advance, propose, start_state, train_step
from pfitre_jax.twin.pairs import Batch
from pfitre_jax.twin.scenes.heldout import heldout

STEPS, SIZE, RHO = 60, 24, 0.02
#: The rate is the same from its warm-up on.
SETTINGS = Optimisation(clip=0.02, ema=0.9)
STAGE = Stage(steps=8, rate=0.01, final_rate=0.01, warm_up=2)
LOSSES = LossWeights(gradient=0.3)
OPTIMISER = make_optimiser(SETTINGS, (STAGE,))
PRIOR = NetworkPrior.create(
    UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8), jax.random.key(0)
)
# As in a training run: without the mirror images that alternate in the loop.
PRIOR = dataclasses.replace(PRIOR, symmetric=False)
step = jax.jit(lambda state, batch: train_step(PRIOR, state, batch, SETTINGS, LOSSES, OPTIMISER, 2))
propose = jax.jit(propose)


@pytest.fixture(scope="module")
def batch():
    """Two scenes, their exact data over 90 degrees, and blurred images as the current iterates."""
    A = Projector(ParallelGeometry.create(np.deg2rad(np.arange(0.0, 90.0, 6.0)), SIZE))
    truth = np.stack([heldout(seed, SIZE)[0] for seed in (1, 3)])
    blurred = np.stack([gaussian_filter(scene, 1.5) for scene in truth])
    sinograms = jax.jit(jax.vmap(A))(truth)
    problem = SliceProblem.create(A, sinograms[0])

    @jax.jit
    def point(sinogram, x):
        residual, zero = problem.with_sinogram(sinogram).residual(x), jnp.zeros_like(x)
        return Iterate(x, residual), HQSState(zero, zero, problem.back(residual), jnp.array(0))

    points = jax.vmap(point)(sinograms, blurred * np.asarray(problem.support))
    return Batch(
        problem, sinograms, jnp.asarray(truth), jnp.array(0.0), *points, jnp.array(RHO), jnp.array(0)
    )


@pytest.fixture(scope="module")
def trained(batch):
    """The states after 0, 1, ... STEPS steps on one batch, and the reported metrics."""
    states, reports = [start_state(PRIOR, OPTIMISER)], []
    for _ in range(STEPS):
        state, _, metrics = step(states[-1], batch)
        states.append(state)
        reports.append({name: float(value) for name, value in metrics.items()})
    return states, reports


def norm(tree):
    return np.sqrt(sum(np.sum(np.square(leaf, dtype=float)) for leaf in jax.tree.leaves(tree)))


def change(old, new):
    return norm(jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), old, new))


def check_average(old, new, decay):
    expected = jax.tree.map(
        lambda a, b: decay * np.asarray(a) + (1 - decay) * np.asarray(b), old.average, new.params
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), new.average, expected)


def test_reported_loss_is_that_of_the_proposal(batch, trained):
    states, reports = trained
    metrics = reports[-1]
    prior = dataclasses.replace(PRIOR, params=states[-2].params.network)
    difference = np.asarray(propose(prior, batch)) - np.asarray(batch.truth)
    np.testing.assert_allclose(metrics["l1"], np.abs(difference).mean(), rtol=1e-4)
    steps = sum(np.abs(np.diff(difference, axis=axis)).sum() for axis in (1, 2)) / (2 * difference.size)
    np.testing.assert_allclose(metrics["loss"], np.abs(difference).mean() + 0.3 * steps, rtol=1e-4)
    before = np.abs(np.asarray(batch.iterate.x) - np.asarray(batch.truth)).mean()
    np.testing.assert_allclose(metrics["l1_before"], before, rtol=1e-4)


def test_an_untrained_network_proposes_its_input(trained):
    np.testing.assert_allclose(trained[1][0]["l1"], trained[1][0]["l1_before"], rtol=1e-5)


def test_loss_decreases_on_one_batch(trained):
    losses = [report["loss"] for report in trained[1]]
    assert np.all(np.isfinite(losses))
    assert np.mean(losses[-5:]) < 0.8 * losses[0]


def test_steps_are_counted_and_the_rate_starts_at_zero(trained):
    states, _ = trained
    assert [int(state.step) for state in states] == list(range(STEPS + 1))
    jax.tree.map(np.testing.assert_array_equal, states[0].params, states[1].params)
    assert change(states[1].params, states[2].params) > 0


@pytest.mark.parametrize("number", [0, 1, 5, 59])
def test_average_follows_the_weights_quickly_at_first(trained, number):
    decay = (1 + number) / (10 + number)
    assert decay < SETTINGS.ema
    check_average(trained[0][number], trained[0][number + 1], decay)


def test_average_uses_the_configured_decay_later(batch, trained):
    old = dataclasses.replace(trained[0][-1], step=trained[0][-1].step + 5000)
    new, _, _ = step(old, batch)
    assert change(old.params, new.params) > 0
    check_average(old, new, SETTINGS.ema)


def test_gradients_are_clipped_to_the_global_norm(trained):
    states, reports = trained
    assert reports[0]["gradient_norm"] > SETTINGS.clip
    # Adam's first moment after one step is a tenth of the clipped gradient.
    moments = [leaf.mu for leaf in jax.tree.leaves(states[1].optimiser, is_leaf=_is_adam) if _is_adam(leaf)]
    np.testing.assert_allclose(norm(moments), 0.1 * SETTINGS.clip, rtol=1e-4)


@pytest.mark.parametrize(("size", "kept"), [(0.01, 0.01), (50.0, 0.02)])
def test_clipping_keeps_directions_and_small_gradients(size, kept):
    gradients = {"a": size * np.array([0.6, 0.0], np.float32), "b": size * np.array([[0.8]], np.float32)}
    params = jax.tree.map(np.zeros_like, gradients)
    _, state = jax.jit(lambda g, p: OPTIMISER.update(g, OPTIMISER.init(p), p, 1))(gradients, params)
    (adam,) = [leaf for leaf in jax.tree.leaves(state, is_leaf=_is_adam) if _is_adam(leaf)]
    np.testing.assert_allclose(adam.mu["a"], 0.1 * kept * np.array([0.6, 0.0]), rtol=1e-5)
    np.testing.assert_allclose(adam.mu["b"], 0.1 * kept * np.array([[0.8]]), rtol=1e-5)


def test_muon_steps_are_orthogonal_for_kernels_and_nadams_for_the_rest():
    """For a gradient ``U S V^T`` the step is about ``U V^T``, with the rms of an Adam step (0.2)."""
    generator = np.random.default_rng(0)
    u, v = (np.linalg.qr(generator.normal(size=(rows, 6)))[0] for rows in (18, 6))
    kernel = u * np.geomspace(1, 0.1, 6) @ v.T
    gradients = {
        "kernel": kernel.reshape(3, 3, 2, 6),
        "bias": generator.normal(size=6),
        "leave": generator.normal(size=(3, 3, 6, 1)),
    }
    gradients = jax.tree.map(jnp.float32, gradients)
    params = jax.tree.map(jnp.zeros_like, gradients)
    stage = Stage(4, rate=0.1, final_rate=0.1, warm_up=1)
    muon = make_optimiser(Optimisation(method="muon", weight_decay=0.1, clip=1e3), (stage,))
    update = jax.jit(lambda g, p: muon.update(g, muon.init(p), p, 1)[0].network)
    moved = update(TrainableParameters(gradients), TrainableParameters(params))
    spread = -u.T @ np.asarray(moved["kernel"], float).reshape(18, 6) @ v / (0.1 * 0.2 * 18**0.5)
    # Newton and Schulz's iteration stops where the singular values lie within 1 +- 0.5.
    assert np.all(np.abs(np.diag(spread) - 1) < 0.5)
    np.testing.assert_allclose(spread - np.diag(np.diag(spread)), 0, atol=1e-3)
    # The first step of Adam with Nesterov's momentum: (1 + b/(1 + b)) times the sign, b = 0.9.
    for name in ("bias", "leave"):
        np.testing.assert_allclose(moved[name], -0.1 * (1 + 0.9 / 1.9) * np.sign(gradients[name]), rtol=1e-4)


def test_muon_fits_a_linear_map():
    """A kernel and a bias are fitted to values on random vectors."""
    x, kernel, bias = (np.random.default_rng(0).normal(size=size) for size in ((50, 8), (8, 6), 6))
    optimiser = make_optimiser(
        Optimisation(method="muon", clip=1e3), (Stage(60, rate=1.0, final_rate=0.0, warm_up=2),)
    )
    loss = lambda p: jnp.mean((x @ (p.network["kernel"] - kernel) + (p.network["bias"] - bias)[None]) ** 2)  # noqa: E731

    @jax.jit
    def one(params, moments, step):
        return optimiser.update(jax.grad(loss)(params), moments, params, step)

    params = TrainableParameters({"kernel": jnp.zeros((8, 6)), "bias": jnp.zeros(6)})
    first, moments = loss(params), optimiser.init(params)
    for number in range(60):
        params, moments = one(params, moments, number)
    assert loss(params) < 0.01 * first


def test_every_stage_has_a_separate_warm_up_and_decay():
    """For constant gradients the size of an Adam step is the learning rate."""
    stages = (Stage(4, rate=0.1, final_rate=0.01, warm_up=1), Stage(6, rate=0.5, final_rate=0.02, warm_up=2))
    optimiser = make_optimiser(Optimisation(weight_decay=0.0), stages)
    update = jax.jit(optimiser.update)
    ones = jnp.ones(3)
    state, rates = optimiser.init(ones), []
    for number in range(12):
        moved, state = update(ones, state, ones, number)
        rates.append(1 - float(moved[0]))
    np.testing.assert_allclose(
        [rates[i] for i in (0, 1, 4, 6, 10, 11)], [0, 0.1, 0, 0.5, 0.02, 0.02], atol=1e-4
    )
    assert rates[1] > rates[2] > rates[3] and rates[6] > rates[7] > rates[8] > rates[9]


def _is_adam(node):
    return hasattr(node, "mu") and hasattr(node, "nu")


def test_loop_continues_from_the_proposal_within_the_support(batch, trained):
    state, support = trained[0][-1], np.asarray(batch.problem.support)
    proposed = np.asarray(propose(dataclasses.replace(PRIOR, params=state.params.network), batch))
    assert np.any(proposed) and not np.any(proposed[:, support == 0])
    _, after, _ = step(state, batch)
    assert int(after.k) == int(batch.k) + 1
    np.testing.assert_allclose(after.state.z, proposed, atol=2e-4)
    # The data step changes the proposal towards the data.
    x = np.asarray(after.iterate.x)
    assert np.abs(x - proposed).max() > 1e-3 and x.min() >= 0 and not np.any(x[:, support == 0])
    A, data_residual = (
        jax.vmap(batch.problem.A),
        lambda image: np.asarray(A(image)) - np.asarray(batch.sinograms),
    )
    assert np.all(
        np.linalg.norm(data_residual(x), axis=(1, 2)) < np.linalg.norm(data_residual(proposed), axis=(1, 2))
    )
    # Data and truth are not changed.
    np.testing.assert_array_equal(after.sinograms, batch.sinograms)
    np.testing.assert_array_equal(after.truth, batch.truth)


@pytest.mark.slow
def test_unrolled_loss_combines_every_iterate_and_the_result(batch, trained):
    state, iterations = jax.tree.map(jnp.array, trained[0][-2]), 3
    prior = dataclasses.replace(PRIOR, params=state.params.network)
    one_more, losses, at = jax.jit(lambda p, b: advance(p, b, 2)), [], batch
    for _ in range(iterations):
        result, proposals, at = one_more(prior, at)
        losses.append(float(compare(LOSSES, proposals[:, 0], batch.truth)))
    closed = float(compare(LOSSES, result, batch.truth))
    _, after, metrics = jax.jit(
        lambda s, b: train_step(PRIOR, s, b, SETTINGS, LOSSES, OPTIMISER, 2, unrolled=iterations)
    )(state, batch)
    # Weights 1, 1/2 and 1/4, from the last proposal to the first.
    np.testing.assert_allclose(metrics["loss"], (np.dot([1, 2, 4], losses) / 7 + closed) / 2, rtol=1e-4)
    assert int(after.k) == int(batch.k) + iterations
    np.testing.assert_allclose(after.iterate.x, at.iterate.x, atol=1e-4)
    assert np.abs(np.asarray(after.iterate.x) - np.asarray(batch.iterate.x)).max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["idempotence", "consistency"])
def test_idempotence_and_consistency_agree_with_their_definition(name, batch, trained):
    """Each term adds its documented value to the loss."""
    state = trained[0][-2]
    weights = dataclasses.replace(LOSSES, **{name: 0.5})
    copied = jax.tree.map(jnp.array, state)
    one = jax.jit(lambda s, b: train_step(PRIOR, s, b, SETTINGS, weights, OPTIMISER, 2))
    _, _, metrics = one(copied, batch)
    prior = dataclasses.replace(PRIOR, params=state.params.network)
    z = propose(prior, batch)
    pairs = zip(batch.sinograms, z, strict=True)
    residuals = [np.asarray(batch.problem.with_sinogram(y).residual(i)) for y, i in pairs]
    if name == "consistency":
        sizes = [np.linalg.norm(np.asarray(y)) for y in batch.sinograms]
        term = np.mean([np.linalg.norm(m) / s for m, s in zip(residuals, sizes, strict=True)])
    else:
        iterate = dataclasses.replace(batch.iterate, x=z, residual=jnp.stack(residuals))
        again = dataclasses.replace(batch, iterate=iterate)
        term = np.abs(np.asarray(propose(prior, again)) - np.asarray(z)).mean()
    assert term > 1e-3
    np.testing.assert_allclose(metrics["loss"] - trained[1][-1]["loss"], 0.5 * term, rtol=2e-3)


def test_a_non_finite_batch_does_not_change_the_weights(batch, trained):
    state = trained[0][5]
    non_finite = dataclasses.replace(batch, truth=batch.truth.at[0, 3, 3].set(jnp.nan))
    new, _, metrics = step(state, non_finite)
    assert not np.isfinite(metrics["loss"]) and int(new.step) == int(state.step) + 1
    for kept in ("params", "average", "optimiser"):
        jax.tree.map(np.testing.assert_array_equal, getattr(new, kept), getattr(state, kept))


@pytest.mark.slow
def test_a_network_in_bfloat16_trains_with_weights_and_physics_in_float32(batch):
    low = NetworkPrior.create(dataclasses.replace(PRIOR.config, compute_dtype="bfloat16"), jax.random.key(0))
    one = jax.jit(lambda s, b: train_step(low, s, b, SETTINGS, LOSSES, OPTIMISER, 2))
    state, losses = start_state(low, OPTIMISER), []
    for _ in range(12):
        state, after, metrics = one(state, batch)
        losses.append(float(metrics["loss"]))
    assert np.all(np.isfinite(losses)) and losses[-1] < losses[0]
    for leaf in jax.tree.leaves((state.params, state.average, after.state, state.optimiser)):
        assert leaf.dtype == np.float32 or np.issubdtype(leaf.dtype, np.integer)
    # The low precision is used: the proposals differ slightly.
    exact = dataclasses.replace(low, config=PRIOR.config, params=state.params.network)
    proposed = propose(dataclasses.replace(low, params=state.params.network), batch)
    assert 0 < np.abs(np.asarray(proposed) - np.asarray(propose(exact, batch))).max() < 0.05


def test_the_expected_error_learns_without_changing_the_image(batch):
    """Only the layers of the expected error receive a gradient of its loss."""
    config = dataclasses.replace(PRIOR.config, expected_error=True)
    prior = PRIOR.extend(config)

    def gradient(weight):
        losses = LossWeights(gradient=0.3, expected_error=weight)

        def loss(params, batch):
            # A step of size 1 on the gradient itself.
            settings = dataclasses.replace(SETTINGS, clip=1e9)
            plain = optax.sgd(1.0)
            optimiser = Optimiser(plain, lambda step: 1.0)
            start = TrainState(jnp.array(0), TrainableParameters(params), TrainableParameters(params), ())
            state = dataclasses.replace(start, optimiser=plain.init(start.params))
            after, _, _ = train_step(prior, state, batch, settings, losses, optimiser, 2)
            return jax.tree.map(lambda new, old: new - old, after.params.network, params)

        return jax.jit(loss)(prior.params, batch)

    without, with_loss = gradient(0.0), gradient(0.5)
    assert not np.any([np.any(a) for a in jax.tree.leaves(without.pop("error_head"))])
    assert norm(with_loss.pop("error_head")) > 1e-3
    assert change(without, with_loss) < 1e-6 * norm(without)
