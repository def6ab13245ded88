"""Volumes of circuits: rows cut from one stack of layers in a given orientation."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.twin.scenes import circuits3d as scene
from pfitre_jax.twin.scenes import tracks
from pfitre_jax.twin.scenes.shapes import Draw, coordinates

N, ROWS, SPACING = 48, 24, 1 / 96
ANGLE = 0.7


@functools.cache
def volume(seed: int, n: int = N) -> np.ndarray:
    return np.asarray(scene.circuits3d(jax.random.key(seed), ROWS, n, SPACING))


@functools.cache
def stack() -> scene.Stack:
    """A stack whose layers lie in the rows' plane."""
    draw = jax.jit(lambda values: scene.random_stack(Draw(values), ANGLE, 0.5))
    drawn = draw(jax.random.uniform(jax.random.key(3), (scene.RANDOM,)))
    flat = scene.orientation(ANGLE, False)
    return dataclasses.replace(drawn, rotation=flat, soft=jnp.zeros(()), vias=jnp.ones_like(drawn.vias))


@jax.jit
def metal(stack, z, spacing):
    return scene.metal_at(stack, *coordinates(N), z, spacing)


def test_a_row_in_a_layer_shows_its_wires_and_the_next_layer_runs_across():
    s = stack()
    x, y = coordinates(N)
    u, v = (s.rotation[i, 0] * x + s.rotation[i, 1] * y for i in (0, 1))
    for layer in (4, 5):
        frame = (v, u) if bool(s.across[layer]) else (u, v)
        wires = jax.tree.map(lambda a: a[layer], s.wires)  # noqa: B023
        expected = tracks.draw(wires, *frame, 1 / N)
        middle, thickness = (s.top[layer] + s.bottom[layer]) / 2, s.top[layer] - s.bottom[layer]
        row = np.asarray(metal(s, middle, thickness / 2))
        assert row.max() > 0.5
        # Compiled differently, a pixel on a table's border may round to the other side.
        assert np.mean(np.abs(row - expected) > 1e-3) < 5e-3
    assert bool(s.across[4]) != bool(s.across[5])


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_row_that_straddles_a_layer_and_the_gap_above_is_their_weighted_mean(share):
    s = stack()
    edge = s.top[4]
    height = 0.4 * jnp.minimum(edge - s.bottom[4], s.bottom[5] - edge)
    layer, gap = (np.asarray(metal(s, edge + side * height, height)) for side in (-1, 1))
    both = np.asarray(metal(s, edge + (0.5 - share) * height, height))
    assert np.abs(layer - gap).max() > 0.5
    np.testing.assert_allclose(both, share * layer + (1 - share) * gap, atol=1e-5)


def test_vias_stand_where_wires_of_both_layers_cross():
    s = stack()
    lower, upper = ((s.bottom[k] + s.top[k]) / 2 for k in (4, 5))
    gap, height = (s.top[4] + s.bottom[5]) / 2, 0.5 * (s.bottom[5] - s.top[4])
    below, above, via = (np.asarray(metal(s, z, height)) for z in (lower, upper, gap))
    np.testing.assert_allclose(via, below * above, atol=1e-5)
    assert via.max() > 0.5
    # Only some crossings carry one.
    none = dataclasses.replace(s, vias=jnp.zeros_like(s.vias))
    assert not np.asarray(metal(none, gap, height)).any()


@pytest.mark.parametrize("tilt_deg", [1.0, 2.0])
def test_a_tilt_moves_the_edge_of_a_layer_by_its_tangent_times_the_distance(tilt_deg):
    s, tilt, spacing = stack(), np.deg2rad(tilt_deg), 0.002
    # Solid from below the volume up to w = 0.01.
    solid = dataclasses.replace(s.wires, half=jnp.full_like(s.wires.half, 9.0), level=s.wires.level * 0 + 1)
    far = 2.0 + jnp.arange(scene.LAYERS)
    s = dataclasses.replace(
        s,
        wires=solid,
        bottom=far.at[0].set(-5.0),
        top=(far + 0.5).at[0].set(0.01),
        vias=jnp.zeros_like(s.vias),
        rotation=scene.orientation(ANGLE, False, tilt, 0.0),
    )
    z = np.asarray(scene.row_heights(40, spacing))
    cut = np.stack([np.asarray(metal(s, height, spacing)) for height in z])
    edge = z[0] - spacing / 2 + spacing * cut.sum(axis=0)  # (N, N), height of the layer's upper face
    x = np.asarray(coordinates(N)[0])
    expected = 0.01 / np.cos(tilt) - np.tan(tilt) * x
    np.testing.assert_allclose(edge, expected, atol=0.05 * spacing)


@pytest.mark.parametrize("upright", [False, True])
def test_orientations_are_rotations(upright):
    rotation = np.asarray(scene.orientation(0.4, upright, 0.03, 1.1))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(abs(np.linalg.det(rotation)), 1, rtol=1e-5)
    # Rows in the plane have the wafer's normal nearly along the rows' axis, upright ones across it.
    np.testing.assert_allclose(rotation[2, 2], 0 if upright else np.cos(0.03), atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_volumes_are_in_range_and_in_the_disc(seed):
    values = volume(seed)
    assert values.shape == (ROWS, N, N) and values.dtype == np.float32
    assert values.min() >= 0 and values.max() <= 1 and values.mean() > 0.005
    t = np.arange(N) - (N - 1) / 2
    assert not values[:, np.hypot(t[:, None], t[None]) > 0.48 * N].any()
    assert np.abs(values[1:] - values[:-1]).max() > 0.1


def test_rows_share_one_outline_and_neighbours_are_similar():
    equal = []
    for seed in range(8):
        values = volume(seed)
        equal.append(np.array_equal((values > 0).all(axis=0), (values > 0).any(axis=0)))
        steps = np.abs(values[1:] - values[:-1]).mean(axis=(1, 2))
        strangers = np.abs(values[: ROWS // 2] - volume(seed + 1)[ROWS // 2 :]).mean()
        assert np.median(steps) < 0.5 * strangers
    # Half of the volumes have a matrix that fills the outline in every row, and no air above the stack.
    assert sum(equal) >= 2


def test_the_key_determines_the_volume():
    again = np.asarray(scene.circuits3d(jax.random.key(0), ROWS, N, SPACING))
    np.testing.assert_array_equal(volume(0), again)
    assert np.abs(volume(0) - volume(1)).max() > 0.5


@pytest.mark.parametrize("seed", [0, 3])
def test_volumes_do_not_depend_on_the_size(seed):
    fine = volume(seed, 4 * N).reshape(ROWS, N, 4, N, 4).mean(axis=(2, 4))
    # Edges are as wide as a pixel of their own grid.
    assert np.abs(fine - volume(seed)).mean() < 0.1 * volume(seed).mean() + 0.005
    assert np.corrcoef(fine.ravel(), volume(seed).ravel())[0, 1] > 0.97


def test_both_orientations_occur():
    draw = jax.jit(lambda key: scene.random_stack(Draw(jax.random.uniform(key, (scene.RANDOM,))), 0.3, 0.3))
    normals = [abs(float(draw(key).rotation[2, 2])) for key in jax.random.split(jax.random.key(0), 40)]
    flat = np.array(normals) > 0.5
    assert 18 <= flat.sum() <= 38
    tilts = np.rad2deg(np.arccos(np.minimum(np.array(normals)[flat], 1)))
    assert tilts.max() <= scene.TILT_DEG + 0.02 and np.sum(tilts > 0.3) >= 5
