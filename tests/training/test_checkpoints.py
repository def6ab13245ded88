from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pfitre_jax.training.checkpoints import Checkpoints


def start(size=300_000):
    params = {"a": jnp.arange(size, dtype=jnp.float32), "b": {"c": jnp.ones((3, 2))}}
    return {"params": params, "optimiser": optax.adam(0.1).init(params), "step": jnp.array(0)}


@functools.partial(jax.jit, donate_argnums=0)
def step(state):
    """Changes every number in place, in the memory of its input."""
    return jax.tree.map(lambda a: 2 * a + 1, state)


def check_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_saved_state_is_not_changed_by_further_training(tmp_path):
    state = start()
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest() is None
        for _ in range(3):
            state = step(state)
        expected = jax.tree.map(lambda a: np.array(a, copy=True), state)
        checkpoints.save(3, state)
        # The file is written in the background while these steps reuse the memory of the state.
        for _ in range(5):
            state = step(state)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest() == 3
        check_equal(checkpoints.restore(start()), expected)


def test_only_the_last_checkpoints_are_kept(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for number in (2, 4, 6):
            checkpoints.save(number, start(4))
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest() == 6
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["4", "6"]


@pytest.mark.parametrize("change", ["size", "name"])
def test_another_network_is_refused(tmp_path, change):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, start(4))
    other = start(5 if change == "size" else 4)
    if change == "name":
        other["params"]["d"] = other["params"].pop("a")
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(ValueError, match="does not fit this config"):
        checkpoints.restore(other)
