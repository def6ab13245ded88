"""Held-out volumes: seeded, in range, the same at every size, layers that tilt."""

from __future__ import annotations

import numpy as np
import pytest

from pfitre_jax.twin.scenes.heldout3d import LAYERS, heldout3d

ROWS, N = 12, 48


@pytest.fixture(scope="module")
def drawn():
    return [heldout3d(seed, ROWS, N) for seed in range(4)]


def test_volumes_are_in_range_within_their_cylinder(drawn):
    y, x = np.mgrid[:N, :N] - (N - 1) / 2
    for scene in drawn:
        assert scene.kind in LAYERS
        assert scene.image.shape == (ROWS, N, N) and scene.image.dtype == np.float32
        assert scene.image.min() == 0 and 0.3 < scene.image.max() <= 1
        assert not scene.image[:, np.hypot(x, y) > 0.48 * N + 1].any()


def test_a_seed_gives_the_same_volume_at_every_size(drawn):
    np.testing.assert_array_equal(heldout3d(2, ROWS, N).image, drawn[2].image)
    fine = heldout3d(2, ROWS, 2 * N, 1 / N).image
    binned = fine.reshape(ROWS, N, 2, N, 2).mean(axis=(2, 4))
    assert np.abs(binned - drawn[2].image).mean() < 0.02


def test_a_row_is_the_mean_over_its_height(drawn):
    thin = heldout3d(1, 3 * ROWS, N, 1 / (3 * N))
    # Volumes of equal height have the same layers.
    np.testing.assert_allclose(thin.image.reshape(ROWS, 3, N, N).mean(axis=1), drawn[1].image, atol=1e-5)


def test_rows_contain_several_tilted_layers(drawn):
    """Rows differ where a layer begins, and the tilt moves that position across the field."""
    for scene in drawn:
        change = np.abs(np.diff(scene.image, axis=0))
        weight = change.sum(axis=(1, 2))
        assert change.max() > 0.3 and np.mean(weight > 0) > 0.6
        change, weight = change[weight > 0], weight[weight > 0]
        i, j = np.indices((N, N)) - (N - 1) / 2
        place = np.stack([(change * a).sum(axis=(1, 2)) / weight for a in (i, j)], axis=1)
        assert np.ptp(place, axis=0).max() > N / 10


@pytest.mark.parametrize(("seed", "rows", "n"), [(-1, 4, 64), (0, 0, 64), (0, 4, 4)])
def test_invalid_arguments_are_refused(seed, rows, n):
    with pytest.raises(ValueError, match="expected a seed of at least 0"):
        heldout3d(seed, rows, n)
