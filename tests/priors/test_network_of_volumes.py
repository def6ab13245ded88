"""Prior with layers along the rows: mirror images, weights file, and unsupported uses."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.geometry import Wedge
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors import files
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.training.config import TrainingConfig

PLANE = UNetConfig(channels=(3, 4, 6), blocks=1, dilations=(1,), growth=3, embedding=4)
VOLUME = dataclasses.replace(PLANE, along_rows=True)
WEDGE = Wedge(0.0, 1.5)


@pytest.fixture(scope="module")
def prior() -> NetworkPrior:
    made, generator = NetworkPrior.create(VOLUME, jax.random.key(0)), np.random.default_rng(0)
    return jax.tree.map(lambda a: a + 0.2 * generator.standard_normal(a.shape, np.float32), made)


@pytest.fixture(scope="module")
def volume():
    return jnp.asarray(np.random.default_rng(1).random((5, 16, 16)), jnp.float32)


@jax.jit
def denoised(prior, v):
    return prior.denoise(v, correction=0.5 * v, wedge=WEDGE, rho=0.01)


def proposal(prior, v):
    return np.asarray(denoised(prior, v))


def test_symmetrisation_is_the_mean_over_mirror_images(prior, volume):
    each = [proposal(prior.at(k), volume) for k in range(4)]
    assert np.abs(each[0] - each[1]).max() > 1e-2
    np.testing.assert_allclose(proposal(prior, volume), np.mean(each, axis=0), atol=1e-5)
    # Mirrored along the rows, which does not change the wedge.
    mirrored = proposal(prior, volume[:, ::-1])[:, ::-1]
    np.testing.assert_allclose(mirrored, proposal(prior, volume), atol=1e-5)


def test_saved_prior_is_loaded_unchanged(prior, volume, tmp_path):
    files.save(tmp_path / "volume.npz", prior)
    read = files.load(tmp_path / "volume.npz")
    assert read.config == VOLUME and read.info.reach == prior.info.reach == 5
    np.testing.assert_array_equal(proposal(read, volume), proposal(prior, volume))


def test_an_unrolled_prior_is_extended_for_every_iteration():
    one = NetworkPrior.create(PLANE, jax.random.key(0))
    stacked = UnrolledPrior(jax.tree.map(lambda a: jnp.stack([a, a]), one), jnp.ones(2)).prior
    assert all(leaf.shape[0] == 2 for leaf in jax.tree.leaves(stacked.extend(VOLUME).params))


def test_independent_slices_are_refused():
    with pytest.raises(ValueError, match="along_rows is True: it uses neighbouring rows"):
        TrainingConfig(network=VOLUME).check()
