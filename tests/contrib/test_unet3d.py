"""The 3D network: equality with the 2D network before training, and its reach along the rows."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.contrib import unet3d
from pfitre_jax.models import unet
from pfitre_jax.models.unet_config import UNetConfig

PLANE = UNetConfig(channels=(3, 4, 6), blocks=1, dilations=(1, 2), growth=3, embedding=4)
VOLUME = dataclasses.replace(PLANE, along_rows=True)
REACH = 5  # two layers of the encoder, one after the block, two of the decoder
CONDITION = jnp.array([0.3, -0.2])


def random(params, seed=0, size=0.3):
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(size * generator.standard_normal(a.shape), a.dtype), params)


@pytest.fixture(scope="module")
def volume():
    return jnp.asarray(np.random.default_rng(1).random((13, 10, 12, 2)), jnp.float32)


def test_inflated_network_processes_rows_independently(volume):
    plane = random(unet.init(PLANE, jax.random.key(0)))
    output = unet3d.predict_update(VOLUME, unet3d.inflate(VOLUME, plane), volume, CONDITION)
    each = jnp.stack([unet.predict_update(PLANE, plane, image, CONDITION) for image in volume])
    assert np.abs(each).max() > 0.1
    np.testing.assert_allclose(output, each, atol=1e-5)


def test_initial_network_is_the_identity(volume):
    output = unet3d.predict_update(VOLUME, unet3d.init(VOLUME, jax.random.key(0)), volume, CONDITION)
    np.testing.assert_array_equal(output, 0)


def test_a_row_affects_rows_within_the_documented_reach(volume):
    params = random(unet3d.init(VOLUME, jax.random.key(0)), size=0.5)
    correct = jax.jit(lambda v: unet3d.predict_update(VOLUME, params, v, CONDITION))
    moved = np.abs(correct(volume.at[6].add(1.0)) - correct(volume)).max((1, 2))
    assert unet3d.reach(VOLUME) == REACH and unet.NETWORK.reach(PLANE) == 0
    within = np.abs(np.arange(13) - 6) <= REACH
    assert moved[within].min() > 1e-4 and moved[~within].max() < 1e-6


def test_identical_rows_have_identical_outputs(volume):
    params = random(unet3d.init(VOLUME, jax.random.key(0)))
    identical = jnp.broadcast_to(volume[:1], volume.shape)
    output = unet3d.predict_update(VOLUME, params, identical, CONDITION)
    np.testing.assert_allclose(output, jnp.broadcast_to(output[:1], output.shape), atol=1e-5)


@pytest.mark.slow
def test_gradients_are_finite_differences():
    with jax.enable_x64(True):
        params = random(unet3d.init(VOLUME, jax.random.key(0)))
        params = jax.tree.map(lambda a: jnp.asarray(np.asarray(a, float)), params)
        volume = jnp.asarray(np.random.default_rng(2).random((3, 8, 8, 2)))
        loss = jax.jit(
            lambda at: jnp.sum(jnp.sin(unet3d.predict_update(VOLUME, at[0], at[1], CONDITION.astype(float))))
        )
        at, direction = (params, volume), random((params, volume), seed=3)
        direction = jax.tree.map(lambda a: jnp.asarray(np.asarray(a, float)), direction)
        moved = lambda step: jax.tree.map(lambda a, d: a + step * d, at, direction)  # noqa: E731
        slopes = jax.tree.map(jnp.vdot, jax.grad(loss)(at), direction)
        expected = (loss(moved(1e-5)) - loss(moved(-1e-5))) / 2e-5
        slope = float(sum(jax.tree.leaves(slopes)))
    assert abs(slope) > 1e-3 and slope == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("shape, condition_size", [((5, 8, 8), 2), ((5, 8, 8, 3), 2), ((5, 8, 8, 2), 3)])
def test_invalid_shapes_are_refused(shape, condition_size):
    params = unet3d.init(VOLUME, jax.random.key(0))
    with pytest.raises(ValueError, match="expected"):
        unet3d.predict_update(VOLUME, params, jnp.zeros(shape), jnp.zeros(condition_size))
