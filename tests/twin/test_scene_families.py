"""Textures, machined parts and scenes of two contrasts: their values, shapes and geometry."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.twin.scenes.closed_curves import CURVE_NUMBERS, curve_depth
from pfitre_jax.twin.scenes.contrasts import WEAK
from pfitre_jax.twin.scenes.drilled_disc import RADIUS, SHAPES, separate
from pfitre_jax.twin.scenes.fields import distance_to_level, gaussian_field, ring_spectrum
from pfitre_jax.twin.scenes.mixture import FAMILIES, SCENES, SceneMixture, sample_scenes
from pfitre_jax.twin.scenes.shapes import coordinates
from pfitre_jax.twin.scenes.wood import latewood

NEW = tuple(name for family in ("textures", "parts", "contrasts") for name in FAMILIES[family])
N, COUNT = 64, 24
KEYS = jax.random.split(jax.random.key(8), COUNT)
#: Bounds of the mean share of the support that is not 0.
FILLED = {
    "wood": (0.4, 0.95),
    "bone": (0.3, 0.95),
    "membranes": (0.25, 0.95),
    "electrode": (0.4, 0.98),
    "drilled_disc": (0.35, 0.9),
    "heat_sink": (0.15, 0.6),
    "closed_curves": (0.2, 0.8),
    "weak_and_strong": (0.2, 0.9),
    "two_contrasts": (0.4, 0.9),
}


@functools.cache
def drawn(name: str) -> np.ndarray:
    """The same scenes of one kind, under ``vmap``: (COUNT, N, N)."""
    scene = SCENES[name]
    return np.asarray(jax.jit(jax.vmap(lambda key: scene(key, N)))(KEYS))


def radius():
    return np.hypot(*(np.asarray(c) for c in coordinates(N)))


def test_every_new_scene_is_tested():
    assert set(FILLED) == set(NEW)


@pytest.mark.parametrize("name", NEW)
def test_scenes_are_images_in_range_and_differ(name):
    images = drawn(name)
    assert images.shape == (COUNT, N, N) and images.dtype == np.float32
    assert np.all(np.isfinite(images)) and images.min() >= 0 and images.max() <= 1
    assert np.all(images[:, radius() > 0.48] == 0)
    assert images.mean(axis=(1, 2)).min() > 0.003 and images.std(axis=(1, 2)).min() > 0.005
    assert len(np.unique(images.round(2).reshape(COUNT, -1), axis=0)) == COUNT
    low, high = FILLED[name]
    filled = (images[:, radius() < 0.48] > 0.02 * images.max(axis=(1, 2))[:, None]).mean()
    assert low < filled < high


def test_a_key_gives_the_same_scene_alone():
    for k in (0, 7):
        alone = np.asarray(SCENES["drilled_disc"](KEYS[k], N))
        np.testing.assert_allclose(alone, drawn("drilled_disc")[k], atol=1e-3)


@pytest.mark.parametrize("name", ["drilled_disc", "closed_curves", "heat_sink", "two_contrasts"])
def test_parts_are_piecewise_constant(name):
    """Most pixels equal their neighbours exactly."""
    images = drawn(name)
    flat = (np.diff(images, axis=1)[:, :, :-1] == 0) & (np.diff(images, axis=2)[:, :-1] == 0)
    assert np.median(flat.mean(axis=(1, 2))) > 0.75


def test_a_drilled_disc_is_uniform_and_has_the_size_of_its_range():
    for image in drawn("drilled_disc"):
        level = image.max()
        assert np.mean((image > 0.01 * level) & (image < 0.99 * level)) < 0.2
        j, i = np.nonzero(image > 0.5 * level)
        diameter = max(np.ptp(i), np.ptp(j)) + 1
        assert 2 * RADIUS[0] * N - 2 <= diameter <= 2 * RADIUS[1] * N + 2


def test_weak_objects_are_weak_beside_strong_features():
    images = drawn("weak_and_strong")
    strong = images > 0.6
    assert strong.any(axis=(1, 2)).mean() > 0.8
    assert strong.mean() < 0.05
    # What lies far from strong pixels is at most the largest weak value.
    near = np.asarray(jax.lax.reduce_window(images, -jnp.inf, jax.lax.max, (1, 3, 3), (1, 1, 1), "SAME"))
    weak = np.where(near < 0.6, images, 0)
    assert np.mean(weak > WEAK[1] + 0.01) < 0.02
    assert np.mean(weak.max(axis=(1, 2)) >= WEAK[0] - 0.01) > 0.9


def test_new_families_change_no_existing_mixture():
    """Their weight is 0, so that a mixture without them selects the same scenes as before they existed."""
    assert SceneMixture().textures == SceneMixture().parts == SceneMixture().contrasts == 0
    assert list(FAMILIES)[:4] == ["circuits", "patterns", "blobs", "materials"]
    key = jax.random.key(2)
    images = sample_scenes(SceneMixture(circuits=0, patterns=0, blobs=1), key, 4, 24)
    for one, image in zip(jax.random.split(key, 4), images, strict=True):
        k_kind, k_scene = jax.random.split(one)
        name = FAMILIES["blobs"][int(jax.random.uniform(k_kind) >= 0.5)]
        np.testing.assert_allclose(image, SCENES[name](k_scene, 24), atol=1e-3)


# --- geometry


def test_a_smooth_curve_is_a_circle_unless_it_is_rough():
    x, y = coordinates(96)
    p = jnp.asarray(np.random.default_rng(0).random(CURVE_NUMBERS), jnp.float32)
    np.testing.assert_allclose(curve_depth(x, y, 0.3, 0.0, p), 0.3 - np.hypot(x, y), atol=1e-5)
    # The depth is a distance near the curve: its gradient is 1.
    depth = np.asarray(curve_depth(x, y, 0.3, 0.4, p))
    gy, gx = np.gradient(depth, 1 / 96)
    near = np.abs(depth) < 0.015
    assert np.median(np.hypot(gx, gy)[near]) == pytest.approx(1, abs=0.07)


def test_holes_of_every_shape_fit_their_circle():
    x, y = coordinates(128)
    for shape in SHAPES:
        for seed in range(6):
            p = jnp.asarray(np.random.default_rng(seed).random(CURVE_NUMBERS), jnp.float32)
            inside = np.asarray(shape(x, y, 0.25, p)) > 0
            assert 0.005 < inside.mean() < 0.21, shape
            assert np.hypot(x, y)[inside].max() < 0.25 * (1.35 if shape is SHAPES[-1] else 1.02), shape


def test_kept_circles_do_not_touch():
    rng = np.random.default_rng(3)
    centers, radii = rng.uniform(-0.4, 0.4, (24, 2)), np.sort(rng.uniform(0.02, 0.2, 24))[::-1]
    kept = np.asarray(separate(jnp.asarray(centers), jnp.asarray(radii.copy()), 0.03))
    assert kept[0] and 3 < kept.sum() < 24
    gap = np.hypot(*(centers[:, None] - centers[None]).transpose(2, 0, 1)) - radii - radii[:, None]
    np.fill_diagonal(gap, 9)
    assert gap[np.ix_(kept, kept)].min() >= 0.03
    # Each circle that was left out touches a larger one that was kept.
    assert all((gap[k, :k][kept[:k]] < 0.03).any() for k in np.nonzero(~kept)[0])


def test_a_random_field_has_its_wavelength_and_deviation():
    noise = jax.random.normal(jax.random.key(0), (96, 96))
    field = np.asarray(gaussian_field(noise, 192, ring_spectrum(12.0)))
    assert field.std() == pytest.approx(1, abs=0.05) and abs(field.mean()) < 0.01
    power = np.abs(np.fft.fft2(field)) ** 2
    k = np.fft.fftfreq(192) * 192
    q = np.hypot(k[:, None], k)
    assert (power * q).sum() / power.sum() == pytest.approx(12, abs=1.5)
    # Structures are elongated along the stated direction: waves run across it.
    long = np.asarray(gaussian_field(noise, 192, ring_spectrum(12.0, 0.0, 3.0)))
    gy, gx = np.gradient(long)
    assert np.mean(gy**2) > 3 * np.mean(gx**2)


def test_distance_to_a_level_of_a_slope():
    x, _ = coordinates(64)
    np.testing.assert_allclose(distance_to_level(7 * x, 0.7, 100.0), x - 0.1, atol=1e-4)


def test_latewood_is_the_derivative_of_its_integral():
    phase = np.linspace(0, 1, 2001)
    late, summed = (np.asarray(v) for v in latewood(jnp.asarray(phase), 0.6))
    assert late[0] == 0 and late[-1] == pytest.approx(1) and np.all(np.diff(late) >= 0)
    np.testing.assert_allclose(np.gradient(summed, phase)[1:-1], late[1:-1], atol=2e-3)
