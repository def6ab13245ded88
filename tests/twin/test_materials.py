"""Geometry of the materials: discs that touch without overlap, and walls of the given width."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.twin.scenes import materials
from pfitre_jax.twin.scenes.materials import CELLS, SPACING, lattice, touching_radii, walls
from pfitre_jax.twin.scenes.mixture import FAMILIES, SCENES

touching = jax.jit(touching_radii)
seen_walls = jax.jit(walls)
#: Cells whose neighbours are all on the lattice.
INNER = slice(1, CELLS - 1)


def jittered(seed, disorder=1.0):
    rng = np.random.default_rng(seed)
    return lattice(jnp.asarray(disorder * rng.uniform(-1, 1, (2, CELLS, CELLS)), jnp.float32)), rng


def grid(reach=8.0, samples=400):
    t = (np.arange(samples) + 0.5) / samples * 2 * reach - reach
    return jnp.meshgrid(jnp.asarray(t), jnp.asarray(t))


def test_discs_on_a_regular_lattice_are_the_densest_packing():
    radius = np.asarray(touching(lattice(jnp.zeros((2, CELLS, CELLS))), jnp.ones((CELLS, CELLS))))
    np.testing.assert_allclose(radius[INNER, INNER], 0.5, atol=1e-5)


@pytest.mark.parametrize("spread", [0.0, 0.8])
def test_discs_touch_and_do_not_overlap(spread):
    points, rng = jittered(1)
    size = jnp.exp(spread * (jnp.asarray(rng.random((CELLS, CELLS)), jnp.float32) - 0.5))
    radius = np.asarray(touching(points, size))[INNER, INNER].ravel()
    p = np.asarray(points)[:, INNER, INNER].reshape(2, -1)
    gap = np.hypot(*(p[:, :, None] - p[:, None, :])) - radius[:, None] - radius[None, :]
    np.fill_diagonal(gap, 9.0)
    assert gap.min() > -0.02
    # Where both of a pair were decided by it, they touch.
    assert np.mean(gap.min(axis=1) < 1e-4) > 0.4


def test_walls_have_the_share_of_their_width():
    points = lattice(jnp.zeros((2, CELLS, CELLS)))
    wall, corner, *_ = seen_walls(points, jnp.zeros((CELLS, CELLS)), *grid())
    # Up to rounding.
    assert float(wall.min()) > -1e-6 and float(corner.min()) > -1e-6
    for thick in (0.1, 0.3):
        # Hexagons shrink from width 1 to 1 - t.
        assert float((wall < thick / 2).mean()) == pytest.approx(1 - (1 - thick) ** 2, abs=0.01)


def test_walls_are_halfway_between_the_two_nearest_cells():
    points, _ = jittered(2)
    a, b = grid(6.0, 60)
    number = jnp.arange(CELLS**2, dtype=jnp.float32).reshape(CELLS, CELLS)
    wall, _, one, two = (np.asarray(v) for v in seen_walls(points, number, a, b))
    p = np.asarray(points).reshape(2, -1)
    distance = np.hypot(np.asarray(a)[..., None] - p[0], np.asarray(b)[..., None] - p[1])
    order = np.argsort(distance, axis=-1)
    assert np.mean(order[..., 0] == one) > 0.999
    # The second nearest may hide behind the nine around where cells are shifted far.
    same = (order[..., 0] == one) & (order[..., 1] == two)
    assert same.mean() > 0.98
    i, j = np.nonzero(same)
    p1, p2 = p[:, one[i, j].astype(int)], p[:, two[i, j].astype(int)]
    x = np.stack([np.asarray(a)[i, j], np.asarray(b)[i, j]])
    expected = np.sum(((p1 + p2) / 2 - x) * (p2 - p1), axis=0) / np.hypot(*(p2 - p1)) * -1
    np.testing.assert_allclose(wall[i, j], np.abs(expected), atol=1e-4)


def test_the_smallest_cells_cover_the_support():
    # The frame may be shifted by a spacing, and jitter by 0.3 of one.
    assert (CELLS // 2 - 2) * SPACING[0] * 0.5 * 3**0.5 > 0.48


@pytest.mark.parametrize("name", FAMILIES["materials"])
def test_materials_are_filled_as_materials_are(name):
    draw = jax.jit(lambda keys, n: jax.lax.map(lambda key: SCENES[name](key, n), keys), static_argnums=1)
    images, fine = (np.asarray(draw(jax.random.split(jax.random.key(5), 40), n)) for n in (96, 192))
    binned = fine.reshape(40, 96, 2, 96, 2).mean(axis=(2, 4))
    gap, other = (np.abs(images - b).mean() for b in (binned, np.roll(binned, 1, axis=0)))
    assert gap < 0.2 * other, "a key gives the same picture at every size"
    t = np.arange(96) - 47.5
    image_wide = images[(images > 0)[:, np.hypot(t[:, None], t[None, :]) < 30].mean(axis=1) > 0.2]
    inner = image_wide[:, np.hypot(t[:, None], t[None, :]) < 30]
    solid = (inner > 0.35 * inner.max(axis=1, keepdims=True)).mean(axis=1)
    low, high = {"packing": (0.15, 0.9), "foam": (0.05, 0.75), "fibres": (0.1, 0.95)}[name]
    assert low < np.median(solid) < high
    assert np.std(solid) > 0.04


def test_materials_have_their_names():
    assert {materials.packing, materials.foam, materials.fibres} == {SCENES[n] for n in FAMILIES["materials"]}
