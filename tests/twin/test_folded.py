"""Folded layouts: images in range, and folds that repeat, mirror and surround as they say."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.twin.scenes.folded import FOLDS, RANDOM, fold, folded
from pfitre_jax.twin.scenes.shapes import Draw

N = 48
AXIS = np.linspace(-0.48, 0.48, 97)
U, V = (jnp.asarray(t) for t in np.meshgrid(AXIS, AXIS))


@functools.cache
def images(n: int) -> np.ndarray:
    keys = jax.random.split(jax.random.key(0), 40)
    return np.asarray(jax.jit(lambda keys: jax.lax.map(lambda key: folded(key, n), keys))(keys))


def of_fold(name: str, seed: int):
    """Coordinates of a fold: its first number chooses it."""
    shares = np.cumsum(list(FOLDS.values()))
    k = list(FOLDS).index(name)
    numbers = np.random.default_rng(seed).random(RANDOM)
    numbers[0] = shares[k] - FOLDS[name] / 2
    return [np.asarray(t) for t in jax.jit(lambda d: fold(Draw(d), U, V))(jnp.asarray(numbers))]


def test_scenes_are_in_range_in_their_disc_and_no_two_alike():
    drawn = images(N)
    t = np.arange(N) - (N - 1) / 2
    assert drawn.dtype == np.float32 and np.isfinite(drawn).all() and drawn.min() >= 0 and drawn.max() <= 1
    assert np.all(drawn[:, np.hypot(t[:, None], t[None, :]) > 0.48 * N] == 0)
    assert drawn.mean(axis=(1, 2)).min() > 0.003
    assert len(np.unique(drawn.round(2).reshape(len(drawn), -1), axis=0)) == len(drawn)


def test_a_key_gives_the_same_picture_at_every_resolution():
    binned = images(2 * N).reshape(-1, N, 2, N, 2).mean(axis=(2, 4))
    error = np.abs(images(N) - binned).mean()
    assert error < 0.2 * np.abs(images(N) - np.roll(binned, 1, axis=0)).mean()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", FOLDS)
def test_folds_keep_lengths_or_shear(name, seed):
    """But across some lines; a shear keeps areas and is no steeper than one along one across."""
    u, v = of_fold(name, seed)
    step = AXIS[1] - AXIS[0]
    slopes = np.moveaxis(np.stack([np.gradient(u, step), np.gradient(v, step)]), (0, 1), (-2, -1))
    stretch = np.linalg.svd(slopes, compute_uv=False)
    alike = np.all(np.abs(stretch - 1) < 0.02, axis=-1)
    if name == "slanted":
        sheared = (np.abs(stretch.prod(axis=-1) - 1) < 0.02) & (stretch[..., 0] < 1.63)
        assert (alike | sheared).mean() > 0.95
    else:
        assert alike.mean() > (0.7 if name in ("repeated", "mirrored") else 0.8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["repeated", "mirrored"])
def test_a_cell_comes_again_after_the_same_length(name, seed):
    u, _ = of_fold(name, seed)
    rises = np.diff(u[0]) > 0
    # A saw rises but where it jumps, a mirrored cell rises and falls in turns.
    ends = np.flatnonzero(~rises if name == "repeated" else rises[1:] != rises[:-1])
    assert len(ends) >= 2 and np.ptp(np.diff(ends)) <= 1
    assert np.ptp(u[0]) == pytest.approx(np.diff(ends).mean() * (AXIS[1] - AXIS[0]), rel=0.15)


def test_frames_surround_their_middle():
    u, _ = of_fold("nested", 2)
    assert u.min() >= 0
    inside = u < np.quantile(u, 0.3)
    rows, columns = np.nonzero(inside)
    # A level set is a filled rectangle, cut off by the field at most.
    assert inside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].mean() > 0.95


def test_a_bus_turns_its_corner():
    """Wires along ``v`` on one side of the diagonal, along ``u`` on the other, and none ends there."""
    u, _ = of_fold("bent", 4)
    down, right = np.gradient(u)
    step = AXIS[1] - AXIS[0]
    straight = (np.abs(right) < 1e-6) | (np.abs(down) < 1e-6)
    assert (np.abs(right) > step / 2).mean() > 0.05 and (np.abs(down) > step / 2).mean() > 0.05
    assert straight.mean() > 0.7 and np.abs(np.diff(u, axis=0)).max() < 1.01 * step
