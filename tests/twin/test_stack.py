"""Stacks of scenes: each row is the mean over its height of layers that keep their order."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.twin.scenes import mixture
from pfitre_jax.twin.scenes.mixture import SceneMixture
from pfitre_jax.twin.scenes.stack import stack

N = 32


def flat(key):
    """A scene of one value, between 1/2 and 1."""
    return jnp.full((N, N), 0.5 + 0.5 * jax.random.uniform(key))


@functools.partial(jax.jit, static_argnums=1)
def flat_stack(key, rows):
    return stack(flat, key, rows, N, 0.4 / rows)


@pytest.mark.parametrize("seed", range(3))
def test_a_row_is_the_mean_over_its_height(seed):
    coarse, fine = flat_stack(jax.random.key(seed), 8), flat_stack(jax.random.key(seed), 24)
    assert coarse.shape == (8, N, N) and 0 <= coarse.min() and coarse.max() <= 1
    np.testing.assert_allclose(fine.reshape(8, 3, N, N).mean(axis=1), coarse, atol=2e-2)
    assert np.ptp(np.asarray(coarse)) > 0.1, "one layer only: nothing was checked"


def test_rows_within_a_layer_show_its_scene():
    """Most thin rows lie within one layer, so that most values are those of the scenes."""
    volume = np.asarray(jax.jit(lambda key: stack(flat, key, 200, N, 0.002))(jax.random.key(5)))
    k_scenes, _ = jax.random.split(jax.random.key(5))
    values = np.asarray(jax.vmap(flat)(jax.random.split(k_scenes, 5)))[:, 0, 0]
    nearest = np.abs(volume[..., None] - values).min(axis=-1)
    assert np.mean(nearest < 1e-4) > 0.3
    # Along the heights the layers come in their order.
    order = [
        int(np.argmin(np.abs(v - values)))
        for v in volume[:, N // 2, N // 2]
        if np.abs(v - values).min() < 1e-4
    ]
    assert order == sorted(order) and len(set(order)) > 1


def test_both_kinds_of_volumes_are_drawn_equally_often(monkeypatch):
    monkeypatch.setattr(mixture, "circuits3d", lambda key, rows, n, spacing: jnp.zeros((rows, n, n)))
    monkeypatch.setattr(mixture, "stack", lambda scene, key, rows, n, spacing: jnp.ones((rows, n, n)))
    keys = jax.random.split(jax.random.key(0), 400)
    drawn = jax.vmap(lambda k: mixture.sample_volume(SceneMixture(), k, 1, 2, 0.5))(keys)
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.1)
