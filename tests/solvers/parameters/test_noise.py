"""The noise estimates."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.parameters.noise import estimate_noise, noise_from_differences, noise_from_residual
from pfitre_jax.solvers.slice_problem import SliceProblem

THETA = np.deg2rad(np.linspace(-42, 42, 43))


def smooth_sinograms(columns=64):
    t = np.linspace(-1, 1, columns)
    return np.stack([40 * np.sqrt(np.maximum(r**2 - t**2, 0)) for r in (0.8, 0.6)])[:, None].repeat(
        24, axis=1
    )


@pytest.mark.parametrize("sigma", [0.2, 2.0])
def test_noise_is_estimated_under_a_smooth_object(sigma):
    noise = np.random.default_rng(0).standard_normal((2, 24, 64))
    y = jnp.asarray(smooth_sinograms() + sigma * noise, jnp.float32)
    sigma_estimate = noise_from_differences(y, jnp.ones_like(y))
    assert abs(sigma_estimate / sigma - 1) < 0.25


def test_invalid_bins_and_outliers_do_not_count():
    rng = np.random.default_rng(1)
    y = smooth_sinograms() + 0.5 * rng.standard_normal((2, 24, 64))
    mask = np.ones_like(y)
    mask[:, :, :30] = 0
    y[:, :, :30] = 1e3 * rng.standard_normal((2, 24, 30))
    y[:, ::6, 40] += 100.0
    assert abs(noise_from_differences(jnp.asarray(y), jnp.asarray(mask)) / 0.5 - 1) < 0.2
    assert noise_from_differences(jnp.asarray(y), jnp.zeros_like(jnp.asarray(mask))) == 0


@pytest.fixture(scope="module")
def dense():
    """A problem, and the noiseless sinogram of bars three pixels wide that fill every view."""
    A = Projector(ParallelGeometry.create(THETA, 64))
    y, x = np.mgrid[:64, :64]
    bars = ((x // 3 + y // 12) % 2) * ((x - 31.5) ** 2 + (y - 31.5) ** 2 < 28**2)
    sinogram = A(jnp.asarray(bars, jnp.float32))
    return SliceProblem.create(A, sinogram), np.asarray(sinogram)


def noisy(clean, share, rows, seed=4):
    """Sinograms with Gaussian noise of ``share`` of the maximum, and its sigma."""
    sigma = share * clean.max()
    noise = np.random.default_rng(seed).standard_normal((rows, *clean.shape))
    return (clean + sigma * noise).astype(np.float32), sigma


estimate = jax.jit(estimate_noise)


@pytest.mark.parametrize("share", [0.01, 0.03])
def test_structure_that_fills_the_view_is_not_counted_as_noise(dense, share):
    problem, clean = dense
    y, sigma = noisy(clean, share, 6)
    assert abs(estimate(problem, y, np.ones_like(y)) / sigma - 1) < 0.25
    # Second differences of the data alone take the bars for noise.
    if share == 0.01:
        assert noise_from_differences(y, np.ones_like(y)) / sigma > 1.5


def test_bins_and_rows_without_information_are_excluded(dense):
    """The same rows with a tenth of the columns invalid, among blind rows and rows of zeros."""
    problem, clean = dense
    sinograms, sigma = noisy(clean, 0.01, 2)
    y, masks = np.zeros((7, *clean.shape), np.float32), np.ones((7, *clean.shape), np.float32)
    y[[1, 4]] = sinograms
    masks[:, :, 20:26] = 0
    y[:, :, 20:26] = np.nan
    masks[5], y[5] = 0, 1e3
    assert abs(estimate(problem, y, masks) / sigma - 1) < 0.25


def test_the_mask_of_the_problem_is_the_default(dense):
    problem, clean = dense
    y, sigma = noisy(clean, 0.01, 3)
    y[:, :, 20:26] = 1e3
    mask = np.ones_like(clean)
    mask[:, 20:26] = 0
    masked = problem.with_sinogram(problem.sinogram, jnp.asarray(mask))
    assert abs(jax.jit(lambda p, y: estimate_noise(p, y))(masked, y) / sigma - 1) < 0.25


def test_a_wrong_geometry_is_not_counted_as_noise(dense):
    """Shifted views have a large residual, but second differences of the data are unaffected."""
    problem, _ = dense
    smooth = smooth_sinograms()[0, :1].repeat(len(THETA), axis=0)
    shifted = np.stack([np.roll(row, 6 * (-1) ** k) for k, row in enumerate(smooth)])[None]
    sigma = 0.2
    y = jnp.asarray(shifted + sigma * np.random.default_rng(5).standard_normal(shifted.shape), jnp.float32)
    assert jax.jit(noise_from_residual)(problem, y, jnp.ones_like(y)) > 1.5 * sigma
    assert abs(estimate(problem, y, jnp.ones_like(y)) / sigma - 1) < 0.35


def test_noise_of_an_empty_scan_is_0(dense):
    problem, _ = dense
    nothing = jnp.zeros((2, *problem.sinogram.shape))
    assert estimate(problem, nothing, nothing + 1) == 0
    assert estimate(problem, nothing + 1, nothing) == 0
