"""One network on two planes of a volume."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.contrib.planes import Planes
from pfitre_jax.geometry import Wedge
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.unrolled import UnrolledPrior

SMALL = UNetConfig(channels=(3, 4, 6), blocks=1, dilations=(1,), growth=3, embedding=4)
N = 16
#: Missing about the x axis: nothing has to be turned.
WEDGE = Wedge(0.0, 1.5)


def random_prior(config: UNetConfig = SMALL) -> NetworkPrior:
    prior, generator = NetworkPrior.create(config, jax.random.key(0)), np.random.default_rng(0)
    return jax.tree.map(lambda a: a + 0.2 * generator.standard_normal(a.shape, np.float32), prior)


@pytest.fixture(scope="module")
def volume():
    return jnp.asarray(np.random.default_rng(1).random((N, N, N)), jnp.float32)


def proposal(prior, v, wedge=WEDGE):
    return np.asarray(prior.denoise(v, correction=0.5 * v, wedge=wedge, rho=0.01))


def test_weight_0_is_the_network_of_each_row(volume):
    wedge = Wedge(1.9, 1.5)
    expected = proposal(random_prior(), volume, wedge)
    assert np.abs(expected - volume).max() > 0.1
    np.testing.assert_allclose(proposal(Planes(random_prior(), 0.0), volume, wedge), expected, atol=1e-5)


def test_exchanging_rows_and_y_exchanges_the_planes(volume):
    """Exchanging rows and y exchanges the planes (rows, x) and (y, x).

    Only the middle is compared: a volume is extended along its rows, but images are zero outside.
    """
    prior = random_prior()
    volume = jnp.pad(volume, [(16, 16), (16, 16), (0, 0)])
    exchanged = jnp.swapaxes(volume, 0, 1)
    output = proposal(Planes(prior, 0.3), volume)[16:-16, 16:-16]
    other = np.swapaxes(proposal(Planes(prior, 0.7), exchanged), 0, 1)[16:-16, 16:-16]
    np.testing.assert_allclose(other, output, atol=1e-5, rtol=0)
    assert np.abs(output - proposal(Planes(prior, 0.7), volume)[16:-16, 16:-16]).max() > 1e-2


def test_identical_rows_have_identical_outputs(volume):
    """The volume is extended along the rows by the reach of this network."""
    identical = jnp.broadcast_to(volume[:1], volume.shape)
    output = proposal(Planes(random_prior(), 1.0), identical)
    assert np.abs(output - identical).max() > 0.1
    np.testing.assert_allclose(output, np.broadcast_to(output[:1], output.shape), atol=1e-3)


def test_rotating_the_wedge_rotates_the_output(volume):
    """A quarter turn needs no interpolation."""
    turned = jnp.rot90(volume, -1, axes=(1, 2))
    quarter = Wedge(np.pi / 2, WEDGE.width_rad)
    output = jnp.rot90(proposal(Planes(random_prior()), volume, quarter), -1, axes=(1, 2))
    np.testing.assert_allclose(output, proposal(Planes(random_prior()), turned), atol=1e-5)


def test_other_priors_and_weights_are_refused(volume):
    neighbours = random_prior(dataclasses.replace(SMALL, in_channels=4))
    with pytest.raises(ValueError, match="sees 1 neighbouring rows; expected"):
        proposal(Planes(neighbours), volume)
    with pytest.raises(ValueError, match=r"is UnrolledPrior .* expected a NetworkPrior"):
        proposal(Planes(UnrolledPrior(random_prior(), jnp.ones(1))), volume)
    with pytest.raises(ValueError, match="expected 0 to 1"):
        Planes(random_prior(), 1.5)


def test_card_names_the_second_plane():
    prior = random_prior()
    named = dataclasses.replace(prior, card={"name": "mine", "disagreement": {"limit": 0.1}})
    assert Planes(named).info.card == {"name": "mine, two planes, 0.25"}
