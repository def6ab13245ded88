from __future__ import annotations

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pfitre_jax
from pfitre_jax.twin.scenes import mixture, patterns, tracks
from pfitre_jax.twin.scenes.bank import Bank
from pfitre_jax.twin.scenes.circuits import KINDS, circuit_of_kind, circuits, kind_of
from pfitre_jax.twin.scenes.heldout import KINDS as HELDOUT_KINDS
from pfitre_jax.twin.scenes.heldout import heldout
from pfitre_jax.twin.scenes.mixture import SceneMixture
from pfitre_jax.twin.scenes.shapes import Draw, coordinates, inside, stripe

PATTERNS = (
    patterns.ellipses,
    patterns.bars,
    patterns.siemens_star,
    patterns.line_pairs,
    patterns.voronoi,
    patterns.random_field,
    patterns.particles,
)
N = 64
COUNT = 160
#: The first scenes of ``COUNT``, which are also drawn twice as fine.
FINE = 64
draw_layer = jax.jit(tracks.draw)


@functools.cache
def many_circuits(n: int, count: int = COUNT) -> np.ndarray:
    """The same ``count`` scenes at any ``n``, by ``vmap`` over 16 at a time."""
    draw = jax.jit(lambda keys: jax.lax.map(lambda key: circuits(key, n), keys, batch_size=16))
    return np.asarray(draw(keys(COUNT)[:count]))


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def radius(n):
    t = np.arange(n) - (n - 1) / 2
    return np.hypot(t[:, None], t[None, :])


def check_images(images, n):
    assert images.dtype == np.float32 and images.shape[-2:] == (n, n)
    assert np.all(np.isfinite(images)) and images.min() >= 0 and images.max() <= 1
    assert np.all(images[:, radius(n) > 0.48 * n] == 0)
    # No scene is nearly empty, and none is flat.
    assert images.mean(axis=(1, 2)).min() > 0.005 and images.std(axis=(1, 2)).min() > 0.01
    assert len(np.unique(images.round(2).reshape(len(images), -1), axis=0)) == len(images)


def gradient_angles(images):
    """Edge strength and direction of the gradient, ``(..., n, n)``."""
    gy, gx = np.gradient(images, axis=(-2, -1))
    return np.hypot(gx, gy), np.arctan2(gy, gx)


def coherence(images, order):
    """``sum w exp(i order phi) / sum w`` over the edges of each image."""
    weight, phi = gradient_angles(images)
    return (weight * np.exp(1j * order * phi)).sum(axis=(-2, -1)) / weight.sum(axis=(-2, -1))


def test_circuits_are_images_in_range():
    check_images(many_circuits(N), N)


def test_circuits_depend_on_the_key_only():
    for k in range(4):
        called = np.asarray(circuits(keys(COUNT)[k], N))
        # Compiled differently, a pixel on a table's border may round to the other side: a handful at most.
        assert np.mean(np.abs(called - many_circuits(N)[k]) > 1e-3) < 1e-3
        np.testing.assert_array_equal(called, np.asarray(circuits(keys(COUNT)[k], N)))


def test_circuits_do_not_depend_on_the_resolution():
    coarse, fine = many_circuits(N)[:FINE], many_circuits(2 * N, FINE)
    binned = fine.reshape(FINE, N, 2, N, 2).mean(axis=(2, 4))
    error = np.abs(coarse - binned).mean(axis=(1, 2))
    other = np.abs(coarse - np.roll(binned, 1, axis=0)).mean(axis=(1, 2))
    assert error.mean() < 0.008 and error.max() < 0.05
    assert error.mean() < 0.1 * other.mean()


def test_circuits_fill_and_brightness_vary_within_bounds():
    images = many_circuits(N)
    share = (images > 0.5 * images.max(axis=(1, 2), keepdims=True)).mean(axis=(1, 2))
    low, middle, high = np.quantile(share, [0.05, 0.5, 0.95])
    assert 0.003 < low < 0.1 < middle < 0.3 < high < 0.72


def test_circuits_have_edges_in_two_orthogonal_directions():
    images = many_circuits(2 * N, FINE)
    four, two = coherence(images, 4), coherence(images, 2)
    # Edges along a frame's two axes add up at order 4; a frame with one direction only has order 2 as well.
    assert np.median(np.abs(four)) > 0.35
    assert np.mean(np.abs(two) < 0.6) > 0.7
    # Both directions within a scene: edge strength along the frame's weaker axis.
    weight, phi = gradient_angles(images)
    frame = np.angle(four)[:, None, None] / 4
    near = lambda offset: np.cos(2 * (phi - frame - offset)) > np.cos(np.deg2rad(30))  # noqa: E731
    one, other = ((weight * near(offset)).sum(axis=(1, 2)) for offset in (0, np.pi / 2))
    assert np.mean(np.minimum(one, other) > 0.2 * np.maximum(one, other)) > 0.6


def test_circuits_have_uniform_orientations():
    four = coherence(many_circuits(N), 4)
    frames = np.angle(four)[np.abs(four) > 0.3]
    assert len(frames) > COUNT / 2
    # Uniform angles: the mean phasor has length about 1/sqrt(count).
    assert np.abs(np.exp(1j * frames).mean()) < 4 / np.sqrt(len(frames))
    assert np.histogram(frames, 6, (-np.pi, np.pi))[0].min() > 0.4 * len(frames) / 6


def test_every_kind_of_circuit_is_drawn_as_often_as_stated():
    count = 2000
    drawn = np.bincount(np.asarray(jax.lax.map(kind_of, keys(count, 3))), minlength=len(KINDS))
    expected = np.array(list(KINDS.values())) / sum(KINDS.values())
    assert np.all(np.abs(drawn / count - expected) < 4.5 * np.sqrt(expected / count))


def test_circuit_of_kind_equals_the_scene_of_circuits():
    key = keys(COUNT)[2]
    same = np.asarray(circuit_of_kind(key, kind_of(key), N))
    assert np.mean(np.abs(same - many_circuits(N)[2]) > 1e-3) < 1e-3
    other = np.asarray(circuit_of_kind(key, (kind_of(key) + 3) % len(KINDS), N))
    assert np.abs(other - same).mean() > 1e-3


def plain_layer(pitch, fill, half_cells=None):
    full = jnp.ones((tracks.TRACKS,))
    cells = jnp.ones((tracks.TRACKS, tracks.CELLS))
    centre = tracks.START + (jnp.arange(tracks.TRACKS) + 0.5) * pitch
    half = 0.5 * fill * pitch * (cells if half_cells is None else half_cells)
    none = jnp.zeros_like(cells)
    jog = jnp.array([0.0, 1.0, 0.0])
    return tracks.TrackLayer(
        centre + pitch / 2, centre, full * 0.1, full * 0.0, none, half, cells, none, jnp.zeros(()), jog
    )


@pytest.mark.parametrize(("pitch", "fill"), [(0.03, 0.3), (0.05, 0.6), (0.11, 0.25)])
def test_tracks_cover_the_share_of_their_fill(pitch, fill):
    n, angle = 128, 0.4
    x, y = coordinates(n)
    image = draw_layer(plain_layer(pitch, fill), x * np.cos(angle) + y * np.sin(angle), y, 1 / n)
    # A smooth window, so that a period cut at the border does not count.
    window = np.exp(-0.5 * (radius(n) / (0.12 * n)) ** 2)
    assert float((image * window).sum() / window.sum()) == pytest.approx(fill, abs=0.01)


def test_a_segment_has_the_area_and_place_of_its_cell():
    pitch, fill, n, angle = 0.06, 0.5, 200, 0.3
    track = int((0.0 - tracks.START) / pitch)
    on = np.zeros((tracks.TRACKS, tracks.CELLS))
    on[track, 1] = 1
    x, y = coordinates(n)
    u, v = -x * np.sin(angle) + y * np.cos(angle), x * np.cos(angle) + y * np.sin(angle)
    image = np.asarray(draw_layer(plain_layer(pitch, fill, on), u, v, 1 / n))
    assert image.sum() / n**2 == pytest.approx(0.1 * pitch * fill, rel=0.01)
    # Cell 1 of a track of cells 0.1 long lies between 0.1 and 0.2.
    assert float((image * v).sum() / image.sum()) == pytest.approx(0.15, abs=1e-3)
    middle = tracks.START + (track + 0.5) * pitch
    assert float((image * u).sum() / image.sum()) == pytest.approx(middle, abs=1e-3)


def test_wires_of_a_maze_meet_in_square_corners():
    first, second = tracks.maze(Draw(jax.random.uniform(jax.random.key(0), (20000,))), 0.08, fill=0.4, on=1.0)
    x, y = coordinates(256)
    image = np.asarray(jnp.maximum(draw_layer(first, y, x, 1 / 256), draw_layer(second, x, y, 1 / 256)))
    # With no edge dropped the maze is a spanning tree: every node inside the field is covered.
    u, v = (np.asarray(c) for c in (first.center, second.center))
    nodes = [(a, b) for a in u for b in v if max(abs(a), abs(b)) < 0.45]
    half = float(first.half.max())
    for a, b in nodes:
        square = (np.abs(y - a) < 0.8 * half) & (np.abs(x - b) < 0.8 * half)
        assert image[square].min() > 0.4


@pytest.mark.parametrize("half", [0.001, 0.01, 0.06])
def test_stripe_has_the_integral_of_its_width(half):
    t = (np.arange(4000) - 1999.5) / 4000
    for width in (0.01, 0.05):
        assert np.asarray(stripe(np.abs(t), half, width)).sum() / 4000 == pytest.approx(2 * half, rel=0.01)


def test_inside_is_a_ramp_of_its_width():
    np.testing.assert_allclose(
        inside(np.array([-1.0, -0.05, 0.0, 0.05, 1.0]), 0.1), [0, 0, 0.5, 1, 1], atol=1e-6
    )


def test_draw_refuses_more_numbers_than_it_has():
    with pytest.raises(ValueError, match="draws 4 random numbers and has 3"):
        Draw(jnp.zeros(3)).array(4)


@pytest.mark.parametrize("scene", PATTERNS, ids=lambda scene: scene.__name__.strip("_"))
def test_patterns_are_images_in_range_and_do_not_depend_on_the_resolution(scene):
    draw = jax.jit(lambda keys, n: jax.lax.map(lambda key: scene(key, n), keys), static_argnums=1)
    coarse, fine = np.asarray(draw(keys(16, 1), 48)), np.asarray(draw(keys(16, 1), 96))
    check_images(coarse, 48)
    binned = fine.reshape(16, 48, 2, 48, 2).mean(axis=(2, 4))
    error = np.abs(coarse - binned).mean()
    assert error < 0.012 and error < 0.2 * np.abs(coarse - np.roll(binned, 1, axis=0)).mean()


def test_siemens_star_has_edges_in_every_direction():
    images = np.asarray(jax.vmap(lambda key: patterns.siemens_star(key, N))(keys(16)))
    assert np.median(np.abs(coherence(images, 2))) < 0.15


def test_mixture_draws_families_as_often_as_weighted(monkeypatch):
    level = {"circuits": 0.1, "patterns": 0.2, "blobs": 0.3}
    constant = lambda value: lambda key, n: jnp.full((n, n), value)  # noqa: E731
    monkeypatch.setattr(mixture, "SCENES", {name: constant(value) for name, value in level.items()})
    monkeypatch.setattr(mixture, "FAMILIES", {name: (name, name) for name in level})
    drawn = np.asarray(
        mixture.sample_scenes(SceneMixture(circuits=3, patterns=1, blobs=0), jax.random.key(0), 2000, 1)
    )
    share = [np.mean(np.isclose(drawn, value)) for value in level.values()]
    np.testing.assert_allclose(share, [0.75, 0.25, 0.0], atol=0.04)


def test_mixture_passes_each_scene_a_separate_key(monkeypatch):
    monkeypatch.setattr(mixture, "FAMILIES", {"circuits": ("siemens_star",)})
    images = np.asarray(mixture.sample_scenes(SceneMixture(1, 0, 0), jax.random.key(5), 4, 32))
    check_images(images, 32)
    expected = patterns.siemens_star(jax.random.split(jax.random.split(jax.random.key(5), 4)[2])[1], 32)
    np.testing.assert_allclose(images[2], expected, atol=1e-4)


def test_mixture_draws_from_the_bank_of_each_family():
    # A white tile for each family, as wide as it is bright.
    banks = {name: Bank.create(np.full((1, 16, 16), 1.0)) for name in mixture.BANKED}
    weights = SceneMixture(0, 0, 0, layouts=1, images=2)
    assert weights.banked == ("layouts", "images")
    draw = jax.jit(lambda banks: mixture.sample_scenes(weights, jax.random.key(1), 6, 32, banks))
    white = np.asarray(draw(banks))
    assert white.max() <= 1 and white.mean(axis=(1, 2)).min() > 0.005
    # Another bank needs no other program, and shows: half of the tiles as bright.
    grey = np.asarray(draw(banks | {"images": Bank.create(np.full((1, 16, 16), 0.5))}))
    assert draw._cache_size() == 1
    changed = [bool(np.abs(a - b).max() > 0.01) for a, b in zip(white, grey, strict=True)]
    kinds = [jax.random.uniform(jax.random.split(key)[0]) for key in keys(6, 1)]
    assert changed == [bool(3 * kind >= 1) for kind in kinds]


def test_mixture_refuses_a_family_without_its_bank():
    with pytest.raises(ValueError, match="draws images, volumes without banks"):
        mixture.sample_scene(SceneMixture(images=0.1, volumes=0.1), jax.random.key(0), 16, {"layouts": None})


@pytest.mark.parametrize("weights", [(0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1)])
def test_mixture_refuses_invalid_weights(weights):
    with pytest.raises(ValueError, match="weights of the scenes"):
        SceneMixture(*weights)


def test_heldout_cycles_through_its_kinds():
    count = 2 * len(HELDOUT_KINDS)
    drawn = [heldout(seed, 48) for seed in range(count)]
    assert [scene.kind for scene in drawn] == list(HELDOUT_KINDS) * 2
    check_images(np.stack([scene.image for scene in drawn]), 48)
    np.testing.assert_array_equal(heldout(3, 48)[0], drawn[3][0])
    for seed in range(0, count, 5):
        binned = heldout(seed, 96)[0].reshape(48, 2, 48, 2).mean(axis=(1, 3))
        assert np.abs(binned - drawn[seed][0]).mean() < 0.02


def test_heldout_has_uniform_orientations_and_returns_them():
    drawn = [heldout(seed, 48) for seed in range(4 * len(HELDOUT_KINDS))]
    # Rows go down and y points up: the view angle is minus the direction in the image.
    images, wires = np.stack([scene.image for scene in drawn]), np.array([s.wires_rad for s in drawn])
    four = coherence(images, 4)
    assert np.median(np.abs(four)) > 0.3
    assert np.abs(np.exp(1j * np.angle(four)).mean()) < 4 / np.sqrt(len(four))
    along = four * np.exp(4j * wires)
    assert np.median(along.real) > 0.2 and np.abs(np.angle(along.sum())) < 0.1
    # The long edges of these run along the wires, so that their normals are a quarter turn from them.
    long = [k for k, scene in enumerate(drawn) if scene.kind in ("channel", "comb", "fan-out")]
    assert np.all((coherence(images, 2) * np.exp(2j * wires))[long].real < -0.2)


@pytest.mark.parametrize(("seed", "n"), [(-1, 64), (0, 4)])
def test_heldout_refuses_invalid_arguments(seed, n):
    with pytest.raises(ValueError, match="expected a seed"):
        heldout(seed, n)


def test_training_does_not_import_the_heldout_generator():
    package = pathlib.Path(pfitre_jax.__file__).parent
    for folder in ("twin", "training"):
        for file in (package / folder).rglob("*.py"):
            # The shipped sample is of these scenes, so that no prior has seen it.
            if file.name not in ("heldout.py", "heldout3d.py", "sample.py"):
                assert (
                    "scenes.heldout" not in file.read_text() and "import heldout" not in file.read_text()
                ), file
