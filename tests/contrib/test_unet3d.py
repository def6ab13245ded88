"""The network of volumes: that of images until it is trained along the rows, and how far that carries."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.contrib import unet3d
from pfitre_jax.models import unet
from pfitre_jax.models.unet import UNetConfig

PLANE = UNetConfig(channels=(3, 4, 6), blocks=1, dilations=(1, 2), growth=3, embedding=4)
VOLUME = dataclasses.replace(PLANE, along_rows=True)
REACH = 5  # two layers of the encoder, one after the block, two of the decoder
TOLD = jnp.array([0.3, -0.2])


def random(params, seed=0, size=0.3):
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(size * generator.standard_normal(a.shape), a.dtype), params)


@pytest.fixture(scope="module")
def volume():
    return jnp.asarray(np.random.default_rng(1).random((13, 10, 12, 2)), jnp.float32)


def test_without_layers_along_the_rows_every_row_is_an_image_of_its_own(volume):
    plane = random(unet.init(PLANE, jax.random.key(0)))
    found = unet3d.predict_update(VOLUME, unet3d.inflate(VOLUME, plane), volume, TOLD)
    each = jnp.stack([unet.predict_update(PLANE, plane, image, TOLD) for image in volume])
    assert np.abs(each).max() > 0.1
    np.testing.assert_allclose(found, each, atol=1e-5)


def test_it_starts_as_the_identity(volume):
    found = unet3d.predict_update(VOLUME, unet3d.init(VOLUME, jax.random.key(0)), volume, TOLD)
    np.testing.assert_array_equal(found, 0)


def test_a_row_is_carried_as_far_as_it_says(volume):
    params = random(unet3d.init(VOLUME, jax.random.key(0)), size=0.5)
    correct = jax.jit(lambda v: unet3d.predict_update(VOLUME, params, v, TOLD))
    moved = np.abs(correct(volume.at[6].add(1.0)) - correct(volume)).max((1, 2))
    assert unet3d.reach(VOLUME) == REACH and unet.NETWORK.reach(PLANE) == 0
    within = np.abs(np.arange(13) - 6) <= REACH
    assert moved[within].min() > 1e-4 and moved[~within].max() < 1e-6


def test_rows_that_are_alike_stay_alike_to_the_ends(volume):
    params = random(unet3d.init(VOLUME, jax.random.key(0)))
    alike = jnp.broadcast_to(volume[:1], volume.shape)
    found = unet3d.predict_update(VOLUME, params, alike, TOLD)
    np.testing.assert_allclose(found, jnp.broadcast_to(found[:1], found.shape), atol=1e-5)


@pytest.mark.slow
def test_gradients_are_finite_differences():
    with jax.enable_x64(True):
        params = random(unet3d.init(VOLUME, jax.random.key(0)))
        params = jax.tree.map(lambda a: jnp.asarray(np.asarray(a, float)), params)
        volume = jnp.asarray(np.random.default_rng(2).random((3, 8, 8, 2)))
        loss = jax.jit(
            lambda at: jnp.sum(jnp.sin(unet3d.predict_update(VOLUME, at[0], at[1], TOLD.astype(float))))
        )
        at, direction = (params, volume), random((params, volume), seed=3)
        direction = jax.tree.map(lambda a: jnp.asarray(np.asarray(a, float)), direction)
        moved = lambda step: jax.tree.map(lambda a, d: a + step * d, at, direction)  # noqa: E731
        slopes = jax.tree.map(jnp.vdot, jax.grad(loss)(at), direction)
        expected = (loss(moved(1e-5)) - loss(moved(-1e-5))) / 2e-5
        slope = float(sum(jax.tree.leaves(slopes)))
    assert abs(slope) > 1e-3 and slope == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("shape, told", [((5, 8, 8), 2), ((5, 8, 8, 3), 2), ((5, 8, 8, 2), 3)])
def test_what_does_not_fit_is_refused(shape, told):
    params = unet3d.init(VOLUME, jax.random.key(0))
    with pytest.raises(ValueError, match="expected"):
        unet3d.predict_update(VOLUME, params, jnp.zeros(shape), jnp.zeros(told))
