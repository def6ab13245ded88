from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.geometry import Wedge
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.operators.rotation import rotate
from pfitre_jax.priors import files, network
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.priors.wedge_frame import rotation_to_wedge

SMALL = UNetConfig(channels=(4, 6, 8), blocks=1, dilations=(1, 2), growth=4, embedding=8)
UNTURNED = dataclasses.replace(SMALL, turned=False, condition=4)
#: Centres on either side of the axes, with and without a quarter turn.
CENTERS = [0.3, 1.1, 1.9, 2.8]
#: Centre, width and rho: each differs from the first in one.
WEDGES = [(0.3, 1.5, 0.01), (0.5, 1.5, 0.01), (0.3, 2.0, 0.01), (0.3, 1.5, 0.03)]


def random_prior(config: UNetConfig = SMALL, card: dict | None = None) -> NetworkPrior:
    prior, generator = NetworkPrior.create(config, jax.random.key(0), card), np.random.default_rng(0)
    return jax.tree.map(lambda a: a + 0.2 * generator.standard_normal(a.shape, np.float32), prior)


def picture(*shape, seed=2):
    return jax.random.uniform(jax.random.key(seed), shape)


@jax.jit
def denoise(prior, v, center, width=1.5, rho=0.01, correction=None):
    correction = v[::-1] if correction is None else correction
    return prior.denoise(v, correction=correction, wedge=Wedge(center, width), rho=rho)


# --- the frame of the wedge


@pytest.mark.parametrize("center", np.linspace(-4, 7, 23))
def test_the_remaining_rotation_is_within_45_degrees(center):
    turns, angle = rotation_to_wedge(Wedge(center, 1.0))
    assert int(turns) in (0, 1) and abs(float(angle)) <= np.pi / 4 + 1e-5
    back = float(angle) + int(turns) * np.pi / 2
    np.testing.assert_allclose(np.exp(2j * back), np.exp(2j * center), atol=1e-5)


def test_rotation_to_wedge_is_the_same_on_traced_and_batched_values():
    eager = [rotation_to_wedge(Wedge(c, 1.0)) for c in CENTERS]
    traced = jax.jit(jax.vmap(lambda c: rotation_to_wedge(Wedge(c, 1.0))))(jnp.array(CENTERS))
    for k, expected in enumerate(eager):
        np.testing.assert_allclose([v[k] for v in traced], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("center", CENTERS)
def test_the_network_sees_every_wedge_in_the_same_orientation(center):
    """Rotating a smooth object together with the wedge rotates the result."""
    n, prior = 32, random_prior()
    x = np.arange(n) - (n - 1) / 2

    def scene(phi):
        c, s = 6 * np.cos(phi), 6 * np.sin(phi)
        long = ((x[None] - c) * np.cos(phi) + (-x[:, None] - s) * np.sin(phi)) ** 2 / 60
        across = (-(x[None] - c) * np.sin(phi) + (-x[:, None] - s) * np.cos(phi)) ** 2 / 20
        return jnp.asarray(np.exp(-long - across), jnp.float32)

    def added(phi):
        v = scene(phi)
        return denoise(prior, v, phi, correction=0.5 * v) - v

    def turned(image, phi):
        angle = rotation_to_wedge(Wedge(phi, 1.0))[1]
        image = rotate(image, angle)
        # The centre of the wedge is defined modulo half a turn, but the object is not.
        quarters = round((phi - float(angle)) / (np.pi / 2))
        return jnp.rot90(image, quarters)

    inside = np.hypot(x[None], x[:, None]) < 11
    expected = turned(added(0.0), center)
    assert float(jnp.abs(expected).max()) > 1e-2
    error = jnp.linalg.norm(inside * (added(center) - expected)) / jnp.linalg.norm(inside * expected)
    # The network makes edges finer than what the grid carries exactly.
    assert float(error) < 0.05


# --- the prior


@pytest.mark.parametrize(
    ("turn", "angle"),
    [
        (jnp.rot90, lambda phi: phi + np.pi / 2),
        (jnp.transpose, lambda phi: np.pi / 2 - phi),
        (jnp.flipud, lambda phi: np.pi - phi),
    ],
)
@pytest.mark.parametrize("shape", [(12, 12), (9, 13)])
def test_denoising_commutes_with_exact_symmetries_of_the_grid(turn, angle, shape):
    prior, v, phi = random_prior(), picture(*shape), 0.3
    output = denoise(prior, turn(v), angle(phi), correction=turn(v[::-1]))
    expected = turn(denoise(prior, v, phi))
    # The same network input up to the rounding of angles and Fourier shifts.
    np.testing.assert_allclose(output, expected, atol=2e-5)
    assert float(jnp.abs(expected - turn(v)).max()) > 1e-2


@pytest.mark.parametrize("shape", [(12, 12), (11, 18)])
@pytest.mark.parametrize("center", CENTERS)
def test_identity_before_training(shape, center):
    v = picture(*shape)
    np.testing.assert_array_equal(denoise(NetworkPrior.create(SMALL, jax.random.key(0)), v, center), v)


def test_wedge_gradient_and_rho_matter():
    prior, v = random_prior(), picture(12, 12)
    reference = denoise(prior, v, 0.3)
    for changed in (
        denoise(prior, v, 0.6),
        denoise(prior, v, 0.3, width=1.0),
        denoise(prior, v, 0.3, rho=0.1),
        denoise(prior, v, 0.3, correction=v),
    ):
        assert float(jnp.abs(changed - reference).max()) > 1e-3


def test_one_channel_network_ignores_the_correction():
    prior, v = random_prior(dataclasses.replace(SMALL, in_channels=1)), picture(12, 12)
    np.testing.assert_array_equal(denoise(prior, v, 0.3), denoise(prior, v, 0.3, correction=v))


def test_wedge_reaches_the_network_by_conditioning_or_rotation_only():
    v = picture(12, 12)
    blind = random_prior(dataclasses.replace(UNTURNED, conditioned=False))
    conditioned = random_prior(UNTURNED)
    turned = random_prior(dataclasses.replace(SMALL, conditioned=False))
    outputs = [
        [np.asarray(denoise(p, v, c, width, rho)) for c, width, rho in WEDGES] for p in (blind, conditioned)
    ]
    for other in outputs[0][1:]:
        np.testing.assert_array_equal(other, outputs[0][0])
    for other in outputs[1][1:]:
        assert np.abs(other - outputs[1][0]).max() > 1e-3
    # Rotation without conditioning depends on the centre of the wedge but not on its width.
    by_wedge = [np.asarray(denoise(turned, v, *wedge)) for wedge in ((0.3, 1.5), (0.3, 0.7), (1.1, 1.5))]
    np.testing.assert_array_equal(by_wedge[0], by_wedge[1])
    assert np.abs(by_wedge[0] - by_wedge[2]).max() > 1e-3


def test_switches_are_saved_and_default_to_on(tmp_path):
    config = dataclasses.replace(UNTURNED, conditioned=False, in_channels=1)
    files.save(tmp_path / "off.npz", NetworkPrior.create(config, jax.random.key(0)))
    assert files.load(tmp_path / "off.npz").config == config
    files.save(tmp_path / "on.npz", NetworkPrior.create(SMALL, jax.random.key(0)))
    with np.load(tmp_path / "on.npz") as content:
        arrays = dict(content)
    card = json.loads(arrays["card"].item())
    for name in ("turned", "conditioned"):
        del card["network"][name]
    np.savez(tmp_path / "old.npz", **arrays | {"card": np.array(json.dumps(card))})
    assert files.load(tmp_path / "old.npz").config == SMALL


def test_condition_is_of_order_one_over_its_range():
    np.testing.assert_allclose(network.condition(np.deg2rad(30), 1e-3), [-1, -1], atol=1e-6)
    np.testing.assert_allclose(network.condition(np.deg2rad(120), 1e-1), [1, 1], atol=1e-6)
    np.testing.assert_allclose(network.condition(0.0, 1e-2, np.pi / 4)[2:], [1, 0], atol=1e-6)


@pytest.mark.slow
def test_jit_is_eager_and_vmap_is_a_loop_over_wedges():
    prior, images, centers = random_prior(), picture(4, 10, 15), jnp.array(CENTERS)
    loop = jnp.stack([denoise(prior, v, c) for v, c in zip(images, CENTERS, strict=True)])
    v, wedge = images[2], Wedge(CENTERS[2], 1.5)
    eager = prior.denoise(v, correction=v[::-1], wedge=wedge, rho=0.01)
    np.testing.assert_allclose(eager, loop[2], atol=1e-5)
    np.testing.assert_allclose(jax.vmap(denoise, (None, 0, 0))(prior, images, centers), loop, atol=1e-5)


def test_denoising_traces_once_for_other_weights_wedges_and_rho():
    traces = []

    @jax.jit
    def call(prior, v, center, rho):
        traces.append(1)
        return denoise(prior, v, center, rho=rho)

    prior, v = random_prior(card={"name": "a", "range": [1, 2]}), picture(8, 8)
    other = dataclasses.replace(prior, params=jax.tree.map(lambda a: 2 * a, prior.params))
    call(prior, v, 0.3, 0.01)
    call(other, v, 2.0, 0.1)
    assert len(traces) == 1


@pytest.mark.slow
def test_gradient_to_image_and_parameters_against_finite_differences():
    with jax.enable_x64(True):
        prior, v = jax.tree.map(lambda a: a.astype(float), random_prior()), picture(8, 9).astype(float)
        loss = lambda prior, v: jnp.sum(denoise(prior, v, 1.9) ** 2)  # noqa: E731
        way = jax.tree.map(lambda a: jnp.cos(jnp.arange(a.size, dtype=float)).reshape(a.shape), (prior, v))
        step = 1e-6
        along = lambda h: loss(*jax.tree.map(lambda a, b: a + h * b, (prior, v), way))  # noqa: E731
        gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))(prior, v)
        exact = sum(
            jnp.sum(a * b) for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(way), strict=True)
        )
        np.testing.assert_allclose(exact, (along(step) - along(-step)) / (2 * step), rtol=1e-6)
        assert denoise(prior, v, 1.9).dtype == jnp.float64
    assert denoise(random_prior(), picture(8, 9), 1.9).dtype == jnp.float32


@pytest.mark.parametrize("fields", [{"in_channels": 3}, {"condition": 3}])
def test_a_network_with_other_inputs_is_refused(fields):
    with pytest.raises(ValueError, match="expected 1"):
        NetworkPrior.create(dataclasses.replace(SMALL, **fields), jax.random.key(0))


@pytest.mark.parametrize("config", [SMALL, UNTURNED])
def test_symmetrisation_is_the_mean_over_mirror_images(config):
    prior, v = random_prior(config), picture(20, 20)
    one = jax.jit(lambda k: prior.at(k).denoise(v, correction=v[::-1], wedge=Wedge(0.3, 1.5), rho=0.01))
    turns = np.stack([one(k) for k in range(4)])
    np.testing.assert_allclose(turns.mean(axis=0), denoise(prior, v, 0.3), atol=1e-5)
    assert np.abs(turns[0] - turns[1]).max() > 1e-3
    np.testing.assert_array_equal(one(4), turns[0])


@pytest.mark.parametrize("size", [16, 18])
def test_mirror_images_have_mirrored_proposals(size):
    """Also for 18, which is not a multiple of the strides; without ``symmetric`` the proposals differ."""
    config = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8)
    key = jax.random.key(3)
    prior = NetworkPrior.create(config, key)
    leave = jax.tree.map(lambda a: 0.3 * jax.random.normal(key, a.shape), prior.params["leave"])
    prior = dataclasses.replace(prior, params=prior.params | {"leave": leave})
    v, gradient = jax.random.uniform(key, (2, size, size))
    wedge = Wedge(jnp.asarray(0.0), jnp.asarray(1.6))
    mirrors = [lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a[::-1, ::-1]]

    def differences(prior):
        propose = jax.jit(lambda v, g: prior.denoise(v, correction=g, wedge=wedge, rho=0.01))
        images = [mirror(propose(mirror(v), mirror(gradient))) for mirror in mirrors]
        return [float(jnp.abs(image - propose(v, gradient)).max()) for image in images]

    assert max(differences(prior)) < 1e-5
    assert min(differences(dataclasses.replace(prior, symmetric=False))) > 1e-3


class TestExpectedError:
    CONFIG = dataclasses.replace(SMALL, expected_error=True)

    @staticmethod
    @jax.jit
    def predict(prior, v, center=0.3):
        return prior.expected_error(v, correction=v[::-1], wedge=Wedge(center, 1.5), rho=0.01)

    @pytest.mark.parametrize("shape", [(12, 12), (3, 9, 13)])
    @pytest.mark.parametrize("center", [0.0, 0.3, 1.5])
    def test_is_constant_before_training(self, shape, center):
        """Also near the edges, up to the rotation."""
        error = self.predict(NetworkPrior.create(self.CONFIG, jax.random.key(0)), picture(*shape), center)
        assert error.shape == shape and float(error.min()) > 0
        middle = error[..., shape[-2] // 2, shape[-1] // 2]
        np.testing.assert_allclose(middle, 0.05, rtol=1e-6 if center == 0 else 0.05)

    @pytest.mark.parametrize("shape", [(12, 12), (9, 13)])
    def test_commutes_with_mirror_images_and_quarter_turns(self, shape):
        """And with ``symmetric`` it is the mean of the mirror images of the iterations."""
        prior, v = random_prior(self.CONFIG), picture(*shape)
        expected = self.predict(prior, v)
        propose = lambda v, c, phi: jax.jit(prior.expected_error)(  # noqa: E731
            v, correction=c, wedge=Wedge(phi, 1.5), rho=0.01
        )
        for turn, phi in ((jnp.rot90, 0.3 + np.pi / 2), (jnp.flipud, np.pi - 0.3)):
            turned = propose(turn(v), turn(v[::-1]), phi)
            np.testing.assert_allclose(turned, turn(expected), rtol=1e-3, atol=1e-5)

    def test_of_an_unrolled_prior_is_that_of_its_last_iteration(self):
        prior, v = random_prior(self.CONFIG), picture(12, 12)
        stacked = jax.tree.map(lambda a: jnp.stack([2 * a, a]), prior)
        error = self.predict(UnrolledPrior(stacked, jnp.array([0.01, 0.02])), v)
        np.testing.assert_allclose(error, self.predict(prior, v), rtol=1e-5)

    def test_is_trained_without_changing_the_proposal(self):
        prior, v = random_prior(self.CONFIG), picture(12, 12)
        # A Laplace likelihood.
        loss = lambda prior: jnp.mean(0.1 / (e := self.predict(prior, v)) + jnp.log(e))  # noqa: E731
        gradient = dict(jax.jit(jax.grad(loss))(prior).params)
        assert any(np.any(g) for g in jax.tree.leaves(gradient.pop("error_head")))
        assert not any(np.any(g) for g in jax.tree.leaves(gradient))

    def test_a_prior_without_it_says_so(self):
        prior = random_prior(card={"name": "mine"})
        assert not prior.has_expected_error and random_prior(self.CONFIG).has_expected_error
        with pytest.raises(ValueError, match="the prior mine predicts no expected error"):
            self.predict(prior, picture(12, 12))


def test_a_symmetric_prior_alternates_and_its_mirror_images_do_not():
    prior = random_prior()
    alone = dataclasses.replace(prior, symmetric=False)
    assert prior.info.alternates and not prior.at(1).info.alternates
    assert not alone.info.alternates and alone.at(1) is alone


@pytest.mark.parametrize("key", ["initial_iterations", "first_iterations"])
def test_initial_iterations_are_read_from_new_and_old_cards(key):
    assert random_prior(card={"trained_on": {key: 7}}).info.initial_iterations == 7
    assert random_prior().info.initial_iterations == 0


def test_an_unrolled_prior_has_a_network_and_a_rho_for_each_iteration():
    networks = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), random_prior())
    prior = UnrolledPrior(networks, jnp.array([0.01, 0.02]))
    assert prior.info.iterations == 2 and not prior.info.alternates
    np.testing.assert_array_equal(prior.info.rho, prior.rho)
    for iteration, index in ((0, 0), (1, 1), (5, 1)):
        expected = jax.tree.leaves(jax.tree.map(lambda a, k=index: a[k], networks))
        leaves = jax.tree.leaves(jax.jit(lambda prior, k: prior.at(k))(prior, iteration))
        for leaf, other in zip(leaves, expected, strict=True):
            np.testing.assert_array_equal(leaf, other)
    shared = UnrolledPrior(jax.tree.map(lambda a: a[:1], networks), jnp.array([0.01]))
    assert shared.info.iterations is None
