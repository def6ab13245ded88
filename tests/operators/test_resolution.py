"""Half resolution: the coarse projections of a coarse image, and interpolation back."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from analytic import disc_image, disc_sinogram

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.operators.resolution import (
    binned_geometry,
    double_resolution,
    half_shape,
    half_sinogram,
    half_support,
)

THETA = np.linspace(0, np.pi, 24, endpoint=False)
#: x, y, radius, value; broad enough that half the bins resolve it.
DISCS = [(4.0, -3.0, 14.0, 0.7)]


@pytest.mark.parametrize("columns, center", [(64, 31.5), (63, 30.2), (64, 35.0)])
def test_halved_projections_are_those_of_the_image_in_twice_the_pixel_size(columns, center):
    sinogram = jnp.asarray(disc_sinogram(DISCS, THETA, columns=columns, center=center), jnp.float32)
    coarse, mask, weights = half_sinogram(sinogram, jnp.ones_like(sinogram))
    np.testing.assert_array_equal(weights, 1)
    geometry = binned_geometry(ParallelGeometry.create(THETA, columns, center), 2)
    assert coarse.shape == mask.shape == (len(THETA), columns // 2) and geometry.columns == columns // 2
    x, y, radius, value = DISCS[0]
    image = disc_image([(x / 2, y / 2, radius / 2, value)], half_shape((columns, columns))[0])
    predicted = Projector(geometry, image.shape)(jnp.asarray(image, jnp.float32))
    assert np.linalg.norm(predicted - coarse) < 0.03 * np.linalg.norm(coarse)


def test_the_valid_bin_of_a_pair_counts_half():
    mask = jnp.ones((2, 6)).at[0, 3].set(0).at[1, :2].set(0)
    sinogram = jnp.where(mask > 0, 4.0, 99.0)
    values, valid, weights = half_sinogram(sinogram, mask)
    np.testing.assert_array_equal(valid, [[1, 1, 1], [0, 1, 1]])
    np.testing.assert_array_equal(weights, [[1, 0.5, 1], [0, 1, 1]])
    np.testing.assert_array_equal(valid * values, 2 * valid)


def test_a_pair_is_the_weighted_mean_of_its_bins():
    values, valid, weights = half_sinogram(
        jnp.array([[2.0, 6.0, 3.0, 5.0]]), jnp.ones((1, 4)), jnp.array([[0.75, 0.25, 0.0, 0.0]])
    )
    np.testing.assert_allclose(values, [[1.5, 2.0]])
    np.testing.assert_allclose(weights, [[0.5, 0.0]])
    np.testing.assert_array_equal(valid, 1)


@pytest.mark.parametrize("size", [8, 9, 10, 11])
def test_interpolation_keeps_a_linear_image_about_the_rotation_axis(size):
    half = half_shape((size, size))[0]
    coarse = 2 * (np.arange(half) - (half - 1) / 2)
    fine = np.arange(size) - (size - 1) / 2
    doubled = np.asarray(double_resolution(jnp.asarray(np.add.outer(3 * coarse, coarse)), (size, size)))
    inside = np.abs(fine) <= coarse.max()
    expected = np.add.outer(3 * fine, fine)
    np.testing.assert_allclose(doubled[np.ix_(inside, inside)], expected[np.ix_(inside, inside)], atol=1e-5)


@pytest.mark.parametrize("size", [16, 17])
def test_the_coarse_support_covers_the_support(size):
    support = jnp.zeros((size, size)).at[3:8, 5:12].set(1)
    coarse = half_support(support)
    assert coarse.shape == half_shape((size, size)) and 0 < coarse.sum() < coarse.size
    doubled = double_resolution(coarse, (size, size))
    np.testing.assert_allclose(np.asarray(doubled)[np.asarray(support) > 0], 1, atol=1e-6)
