"""Scenes cut from tiles at any position and rotation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.twin.scenes.bank import Bank, bank_scene, view

N = 48
seen = jax.jit(view, static_argnums=1)


def radius(n):
    t = np.arange(n) - (n - 1) / 2
    return np.hypot(t[:, None], t[None, :])


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


@pytest.fixture(scope="module")
def bank():
    """Smooth pictures of random waves, 64 pixels wide."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] / 64
    waves = [np.cos(2 * np.pi * (a * x + b * y) + c) for a, b, c in rng.uniform(-4, 4, (12, 3))]
    return Bank.create(0.5 + 0.5 * np.stack(waves))


@pytest.fixture(scope="module")
def scenes(bank):
    draw = jax.jit(lambda keys, n: jax.lax.map(lambda k: bank_scene(bank, k, n), keys), static_argnums=1)
    return np.asarray(draw(keys(40), N)), np.asarray(draw(keys(40), 2 * N))


def test_scenes_are_images_on_the_disc(scenes, bank):
    drawn, _ = scenes
    assert drawn.dtype == np.float32 and drawn.min() >= 0 and drawn.max() <= 1
    assert np.all(drawn[:, radius(N) > 0.48 * N] == 0)
    assert drawn.mean(axis=(1, 2)).min() > 0.005
    assert len(np.unique(drawn.round(2).reshape(40, -1), axis=0)) == 40
    np.testing.assert_allclose(bank_scene(bank, keys(40)[3], N), drawn[3], atol=1e-4)


def test_scenes_do_not_depend_on_the_resolution(scenes):
    coarse, fine = scenes
    binned = fine.reshape(40, N, 2, N, 2).mean(axis=(2, 4))
    assert np.abs(coarse - binned).mean() < 0.1 * np.abs(coarse - np.roll(binned, 1, axis=0)).mean()


def disc(n, at=(0.0, 0.0), r=0.2):
    """A tile with a disc of radius ``r n`` at ``at``, x right and y up, in fractions of its side."""
    t = (np.arange(8 * n) + 0.5) / (8 * n) - 0.5
    inside = np.hypot(t[None, :] - at[0], -t[:, None] - at[1]) < r
    return jnp.asarray(255 * inside.reshape(n, 8, n, 8).mean(axis=(1, 3))).astype(jnp.uint8)


@pytest.mark.parametrize("n", [20, 50, 96])
@pytest.mark.parametrize(
    ("angle", "share", "mirrored"), [(0.0, 1.0, False), (0.7, 0.8, False), (2.5, 0.9, True)]
)
def test_a_disc_keeps_its_area_and_rotates_with_the_view(n, angle, share, mirrored):
    at = np.array([0.15, 0.1])
    image = np.asarray(seen(disc(48, at), n, angle, share, mirrored=mirrored))
    assert image.sum() / n**2 == pytest.approx(np.pi * 0.2**2 / share**2, rel=0.01)
    t = (np.arange(n) - (n - 1) / 2) / n
    center = np.array([(image * t[None, :]).sum(), (image * -t[:, None]).sum()]) / image.sum()
    c, s = np.cos(angle), np.sin(angle)
    turned = np.array([[c, s], [-s, c]]) @ at / share
    np.testing.assert_allclose(center, turned * [-1 if mirrored else 1, 1], atol=2e-3)


def test_a_fine_pattern_is_averaged_not_aliased():
    # Stripes of one pixel, seen at a quarter of the resolution.
    stripes = jnp.tile(jnp.array([0, 255], jnp.uint8), (64, 32))
    image = np.asarray(seen(stripes, 16, 0.3, 1.0))[radius(16) < 7]
    np.testing.assert_allclose(image, 0.5, atol=0.1)


def test_the_view_stays_within_the_tile():
    tile = jnp.full((32, 32), 255, jnp.uint8).at[:, :1].set(0)
    for place in ((-1.0, 0.0), (1.0, 1.0)):
        image = np.asarray(seen(tile, 64, 0.4, 0.7, jnp.array(place)))
        inside = radius(64) < 0.4 * 64
        np.testing.assert_allclose(image[inside], 1.0, atol=1e-6)


def test_tiles_are_an_argument_of_the_program(bank):
    program = jax.jit(bank_scene, static_argnums=2).lower(bank, jax.random.key(0), N).as_text()
    assert "tensor<12x64x64xui8>" in program and "dense_resource" not in program


@pytest.mark.parametrize(
    ("tiles", "message"),
    [
        (np.zeros((4, 4)), r"shape \(4, 4\); expected"),
        (np.zeros((1, 4, 5)), r"shape \(1, 4, 5\); expected"),
        (np.full((1, 4, 4), 1.5), r"lie in \[1.5, 1.5\]; expected \[0, 1\]"),
        (np.full((1, 4, 4), np.nan), r"expected \[0, 1\]"),
    ],
)
def test_invalid_tiles_are_refused(tiles, message):
    with pytest.raises(ValueError, match=message):
        Bank.create(tiles)
