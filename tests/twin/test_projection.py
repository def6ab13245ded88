"""Projection on the fine grid against closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analytic import disc_image, disc_sinogram
from two_discs import COLUMNS, DISCS, THETA

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.twin import projection as projecting


@pytest.mark.parametrize("center", [15.5, 13.2])
def test_fine_projection_is_the_strip_integral(fine, center):
    shifts = 0.8 * np.sin(3 * THETA)
    geometry = ParallelGeometry.create(THETA, COLUMNS, center, shifts)
    projected = np.asarray(jax.jit(projecting.project_finely)(geometry, fine))
    expected = np.concatenate(
        [
            disc_sinogram(DISCS, theta[None], COLUMNS, center + shift, fine=64)
            for theta, shift in zip(THETA, shifts, strict=True)
        ]
    )
    # A shift the wrong way, or an axis half a bin off, makes more than 0.1 of it.
    assert np.linalg.norm(projected - expected) <= 0.01 * np.linalg.norm(expected)
    area = sum(np.pi * radius**2 * value for *_, radius, value in DISCS)
    np.testing.assert_allclose(projected.sum(axis=1), area, rtol=0.01)


def test_bin_down_is_the_mean_of_blocks():
    image = np.random.default_rng(0).random((12, 18)).astype(np.float32)
    small = projecting.bin_down(jnp.asarray(image), 3)
    expected = [[image[i : i + 3, j : j + 3].mean() for j in range(0, 18, 3)] for i in range(0, 12, 3)]
    np.testing.assert_allclose(small, expected, rtol=1e-6)


def test_bin_down_preserves_positions(fine):
    np.testing.assert_allclose(projecting.bin_down(fine), disc_image(DISCS, COLUMNS, fine=32), atol=1e-6)


def test_absorption_weakens_a_point_by_its_depth():
    """A point has the largest weight in the view where it is nearest to the detector."""
    n, radius, strength = 48, 14.0, 1.2
    theta = np.deg2rad(np.arange(0.0, 360.0, 15.0))
    spot = [(2 * radius, 0.0, 5.0, 1.0)]
    image = jnp.asarray(disc_image(spot, 2 * n, fine=4), jnp.float32)
    geometry = ParallelGeometry.create(theta, n)
    absorbed = np.asarray(jax.jit(projecting.project_absorbed)(geometry, image[None], strength))[0].sum(
        axis=1
    )
    clean = np.asarray(jax.jit(projecting.project_finely)(geometry, image)).sum(axis=1)
    # The view direction is (-sin, cos): a point at (r, 0) is -r sin(theta) in front of the middle.
    expected = np.exp(-strength * (1 + radius * np.sin(theta) / (n / 2)) / 2)
    np.testing.assert_allclose(absorbed / clean, expected, rtol=0.01)


@pytest.mark.parametrize("slices", [1, 20])
def test_absorbed_projection_agrees_with_weighted_images(slices):
    """The reference projects, for each view, the image attenuated pixel by pixel."""
    n, strength = 24, 1.5
    images = jnp.asarray(np.random.default_rng(0).random((slices, 2 * n, 2 * n)), jnp.float32)
    x = (np.arange(2 * n) - n + 0.5) / n
    x, y = x[None, :], -x[:, None]
    images = images * (x**2 + y**2 < 0.9)[None]
    theta = np.deg2rad([-100.0, 0.0, 20.0, 45.0, 80.0, 90.0, 170.0])
    geometry = ParallelGeometry.create(theta, n, 11.0, 0.3 * np.arange(7))
    absorbed = np.asarray(jax.jit(projecting.project_absorbed)(geometry, images, strength))
    for view, angle in enumerate(theta):
        depth = x * np.sin(angle) - y * np.cos(angle)
        weighted = images[-1] * np.exp(-strength * (1 + depth) / 2)
        expected = projecting.project_finely(geometry, weighted)[view]
        assert np.linalg.norm(absorbed[-1, view] - expected) < 0.003 * np.linalg.norm(expected)


def test_without_absorption_nothing_is_absorbed(fine):
    geometry = ParallelGeometry.create(THETA, COLUMNS, 14.5, 0.4 * np.cos(THETA))
    absorbed = jax.jit(projecting.project_absorbed)(geometry, fine[None], 0.0)[0]
    np.testing.assert_allclose(absorbed, jax.jit(projecting.project_finely)(geometry, fine), atol=1e-4)
