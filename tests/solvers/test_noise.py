"""The noise estimates."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.noise import noise_level, noise_of_misfit, scan_noise
from pfitre_jax.solvers.problem import Problem

THETA = np.deg2rad(np.linspace(-42, 42, 43))


def smooth_sinograms(columns=64):
    t = np.linspace(-1, 1, columns)
    return np.stack([40 * np.sqrt(np.maximum(r**2 - t**2, 0)) for r in (0.8, 0.6)])[:, None].repeat(
        24, axis=1
    )


@pytest.mark.parametrize("sigma", [0.2, 2.0])
def test_noise_is_found_under_a_smooth_object(sigma):
    noise = np.random.default_rng(0).standard_normal((2, 24, 64))
    y = jnp.asarray(smooth_sinograms() + sigma * noise, jnp.float32)
    found = noise_level(y, jnp.ones_like(y))
    assert abs(found / sigma - 1) < 0.25


def test_invalid_bins_and_outliers_do_not_count():
    rng = np.random.default_rng(1)
    y = smooth_sinograms() + 0.5 * rng.standard_normal((2, 24, 64))
    mask = np.ones_like(y)
    mask[:, :, :30] = 0
    y[:, :, :30] = 1e3 * rng.standard_normal((2, 24, 30))
    y[:, ::6, 40] += 100.0
    assert abs(noise_level(jnp.asarray(y), jnp.asarray(mask)) / 0.5 - 1) < 0.2
    assert noise_level(jnp.asarray(y), jnp.zeros_like(jnp.asarray(mask))) == 0


@pytest.fixture(scope="module")
def dense():
    """A problem, and the noiseless sinogram of bars three pixels wide that fill every view."""
    A = Projector(ParallelGeometry.create(THETA, 64))
    y, x = np.mgrid[:64, :64]
    bars = ((x // 3 + y // 12) % 2) * ((x - 31.5) ** 2 + (y - 31.5) ** 2 < 28**2)
    sinogram = A(jnp.asarray(bars, jnp.float32))
    return Problem.create(A, sinogram), np.asarray(sinogram)


@pytest.mark.parametrize("share", [0.01, 0.03])
def test_of_the_misfit_also_where_structure_fills_the_view(dense, share):
    problem, clean = dense
    sigma = share * clean.max()
    noisy = clean + sigma * np.random.default_rng(4).standard_normal((3, *clean.shape))
    noisy, masks = jnp.asarray(noisy, jnp.float32), jnp.ones((3, *clean.shape))
    assert abs(jax.jit(noise_of_misfit)(problem, noisy, masks) / sigma - 1) < 0.25
    # Second differences of the data alone take the bars for noise.
    if share == 0.01:
        assert noise_level(noisy, masks) / sigma > 1.5


def test_a_wrong_geometry_is_no_noise(dense):
    """Views that were shifted cannot be explained; second differences of what was measured do not mind."""
    problem, _ = dense
    smooth = smooth_sinograms()[0, :1].repeat(len(THETA), axis=0)
    shifted = np.stack([np.roll(row, 6 * (-1) ** k) for k, row in enumerate(smooth)])[None]
    sigma = 0.2
    y = jnp.asarray(shifted + sigma * np.random.default_rng(5).standard_normal(shifted.shape), jnp.float32)
    assert jax.jit(noise_of_misfit)(problem, y, jnp.ones_like(y)) > 1.5 * sigma
    assert abs(jax.jit(scan_noise)(problem, y) / sigma - 1) < 0.35


def test_nothing_measured_is_no_noise(dense):
    problem, _ = dense
    nothing = jnp.zeros((2, *problem.sinogram.shape))
    found = jax.jit(scan_noise)
    assert found(problem, nothing, nothing + 1) == 0
    assert found(problem, nothing + 1, nothing) == 0
