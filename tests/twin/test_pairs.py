"""Training pairs: agreement of truth and data, and start of the loop."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.parameters.tv_weight import tv_weight_from_noise, unclipped_rho
from pfitre_jax.twin import pairs
from pfitre_jax.twin.instrument import Instrument
from pfitre_jax.twin.pairs import PairSettings
from pfitre_jax.twin.scenes.heldout import heldout
from pfitre_jax.twin.scenes.mixture import SceneMixture

VIEWS, NOISE = 24, 0.02
SETTINGS = PairSettings(size=32, slices=2, rho=(0.005, 0.05), cg_iterations=3)
PLAIN = Instrument(
    missing_deg=(60.0, 60.0), core_deg=(60.0, 60.0), noise=(NOISE, NOISE), probability=0.0, center=0.02
)
start = jax.jit(lambda key, fine: pairs.start_batch(key, fine, PLAIN, SETTINGS, VIEWS))
start_coarse = jax.jit(
    lambda key, fine: pairs.start_batch(key, fine, PLAIN, SETTINGS, VIEWS, coarse_prior=TV(0.001))
)


@pytest.fixture(scope="module")
def fine():
    """Held-out scenes, slightly blurred to suit the coarse grid: (2, 64, 64)."""
    scenes = [heldout(seed, 2 * SETTINGS.size)[0] for seed in (5, 9)]
    return jnp.asarray(np.stack([gaussian_filter(scene, 2) for scene in scenes]))


@pytest.fixture(scope="module")
def batch(fine):
    return start(jax.random.key(2), fine)


def test_truth_fits_the_data_to_the_noise(batch):
    residual = np.asarray(batch.each(lambda problem, x: problem.residual_norm(x), batch.truth))
    sinograms = np.asarray(batch.sinograms)
    np.testing.assert_allclose(batch.noise, NOISE, rtol=1e-5)
    bins = sinograms[0].size
    noise = NOISE * sinograms.max(axis=(1, 2)) * bins**0.5 / np.linalg.norm(sinograms, axis=(1, 2))
    # The maximum of noisy data is slightly higher, and the coarse grid adds a small error.
    assert np.all(residual > 0.8 * noise) and np.all(residual < 1.3 * noise)
    # The data of the other slice do not fit.
    swapped = batch.each(lambda problem, x: problem.residual_norm(x), batch.truth[::-1])
    assert np.all(np.asarray(swapped) > 3 * noise)


def test_truth_is_the_scaled_scene(batch, fine):
    means = np.asarray(fine).reshape(2, 32, 2, 32, 2).mean(axis=(2, 4))
    scale = means.max() / float(batch.truth.max())
    np.testing.assert_allclose(batch.truth, means / scale, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("brightness", [1.0, 400.0])
def test_scale_normalises_values_in_any_units(fine, brightness):
    batch = start(jax.random.key(2), brightness * fine)
    assert 0.6 < float(batch.truth.max()) < 1.6
    assert float(batch.truth.min()) >= 0


def test_batch_follows_the_settings(batch):
    assert batch.sinograms.shape == (2, VIEWS, 32) and batch.truth.shape == (2, 32, 32)
    assert 0.005 <= float(batch.rho) <= 0.05 and int(batch.k) == 0
    assert 0 <= float(batch.problem.wedge.center_rad) <= np.pi
    np.testing.assert_allclose(np.rad2deg(batch.problem.wedge.width_rad), 60, rtol=1e-5)


def test_the_same_key_gives_the_same_batch(batch, fine):
    again, other = start(jax.random.key(2), fine), start(jax.random.key(3), fine)
    for a, b in zip(jax.tree.leaves(batch), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert float(jnp.abs(other.sinograms - batch.sinograms).max()) > 0.01
    assert float(other.rho) != float(batch.rho)


def test_rho_follows_the_noise(fine):
    """Within the jitter of the law, which is quadratic in the noise, and within the range."""
    settings = dataclasses.replace(SETTINGS, rho=(2e-4, 0.05), rho_jitter=2.0)
    varied = dataclasses.replace(PLAIN, noise=(3e-4, 0.05))

    def draw(key):
        batch = pairs.start_batch(key, fine, varied, settings, VIEWS)
        sigma = batch.noise * jnp.median(jnp.max(batch.sinograms, axis=(1, 2)))
        return batch.noise, batch.rho, unclipped_rho(tv_weight_from_noise(batch.problem, sigma, smallest=0.0))

    keys = jax.random.split(jax.random.key(1), 20)
    noise, rho, law = (np.asarray(v) for v in jax.jit(lambda keys: jax.lax.map(draw, keys))(keys))
    assert rho.min() >= 2e-4 * 0.999 and rho.max() <= 0.05 * 1.001
    ratio = rho / np.clip(law, 2e-4, 0.05)
    assert ratio.max() <= 2.001 and ratio.min() >= 0.499 and ratio.max() / ratio.min() > 3
    # The law is quadratic in the noise; the scales of the batches differ.
    slope, _ = np.polyfit(np.log(noise), np.log(law), 1)
    assert slope == pytest.approx(2, abs=0.1)
    assert law[np.argmin(noise)] < 2e-4


@pytest.mark.parametrize("jitter", [0.5, -2.0, float("inf")])
def test_an_impossible_rho_jitter_is_refused(jitter):
    with pytest.raises(ValueError, match=r"rho_jitter is .*; expected a factor of at least 1, or 0"):
        PairSettings(rho_jitter=jitter)


def test_first_state_is_a_reconstruction(batch):
    iterate, state = batch.iterate, batch.state
    residual = batch.each(lambda problem, x: problem.residual(x), iterate.x)
    np.testing.assert_allclose(iterate.residual, residual, atol=1e-4)
    norms = batch.each(lambda problem, x: problem.residual_norm(x), iterate.x)
    assert np.all(np.asarray(norms) < 0.3)
    assert float(iterate.x.min()) >= 0
    error = jnp.linalg.norm(iterate.x - batch.truth, axis=(1, 2))
    assert np.all(np.asarray(error) < 0.7 * np.linalg.norm(batch.truth, axis=(1, 2)))
    # The data gradient is that of the iterate.
    x, problem = iterate.x[1], batch.problem.with_sinogram(batch.sinograms[1])
    A = problem.A
    expected = problem.support * A.T(A(x) - batch.sinograms[1]) / problem.norm_squared
    np.testing.assert_allclose(state.gradient[1], expected, atol=1e-4 * float(jnp.abs(expected).max()))


def test_a_better_proposal_gives_a_better_iterate(batch):
    error = lambda iterate: np.linalg.norm(iterate.x - batch.truth, axis=(1, 2))  # noqa: E731

    @jax.jit
    def step(batch, z):
        solver = HQS(None, batch.rho, SETTINGS.cg_iterations)
        return batch.each(solver.repeat_data_step, batch.iterate, dataclasses.replace(batch.state, z=z))[0]

    better = step(batch, batch.truth)
    assert np.all(error(better) < 0.5 * error(batch.iterate))
    # The data step regularises towards the proposal, not towards the previous iterate.
    halfway = step(batch, (batch.truth + batch.iterate.x) / 2)
    assert np.all(error(better) < error(halfway)) and np.all(error(halfway) < error(batch.iterate))


@pytest.mark.parametrize(("distinct", "count"), [(3, 3), (0, 32)])
def test_number_of_distinct_scenes_is_as_requested(distinct, count):
    """Scenes do not depend on the key; 32 draws miss one of 3 scenes with a probability of 1e-5."""
    settings = PairSettings(size=16, slices=8, distinct=distinct)
    draw = jax.jit(
        lambda key: pairs.draw_training_scenes(key, SceneMixture(circuits=0, patterns=0, blobs=1), settings)
    )
    scenes = np.concatenate([draw(key) for key in jax.random.split(jax.random.key(5), 4)])
    assert scenes.shape == (32, 32, 32)
    assert len(np.unique(scenes.reshape(32, -1), axis=0)) == count


def test_a_coarse_start_is_nearer_to_the_truth(batch, fine):
    """On the same data; total variation removes most of the artifacts of the wedge at half the resolution."""
    coarse = start_coarse(jax.random.key(2), fine)
    np.testing.assert_array_equal(coarse.sinograms, batch.sinograms)
    np.testing.assert_array_equal(coarse.truth, batch.truth)

    def error(batch):
        return np.linalg.norm(batch.iterate.x - batch.truth, axis=(1, 2))

    assert np.all(error(coarse) < 0.9 * error(batch))
