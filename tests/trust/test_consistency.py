"""Measured and supplied components of an image for a known geometry."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.trust.consistency import measured_component, noise_damping

N = 48
#: 90 degrees measured, 0 to 90: the frequencies of direction 90 to 180 degrees are missing.
THETA = np.deg2rad(np.arange(0.0, 90.0, 2.0))


def problem(theta=THETA, mask=None) -> SliceProblem:
    A = Projector(ParallelGeometry.create(theta, N))
    return SliceProblem.create(A, jnp.zeros(A.sinogram_shape), mask)


@jax.jit
def measured(p, x, strength):
    return measured_component(p, x, strength)


def wave(direction_deg, cycles=6):
    """A plane wave in a smooth window; its frequency points in this direction."""
    i, j = np.indices((N, N))
    x, y = j - (N - 1) / 2, (N - 1) / 2 - i
    angle = np.deg2rad(direction_deg)
    window = np.exp(-(x**2 + y**2) / (2 * (N / 7) ** 2))
    return jnp.asarray(
        window * np.cos(2 * np.pi * cycles / N * (x * np.cos(angle) + y * np.sin(angle))), jnp.float32
    )


def norm(x):
    return float(np.linalg.norm(np.asarray(x, float)))


@pytest.mark.parametrize("direction", [25, 45, 65])
def test_a_wave_whose_frequency_was_measured_is_kept(direction):
    x = wave(direction)
    # A tenth: the window spreads the frequency.
    assert norm(measured(problem(), x, 1e-3) - x) < 0.1 * norm(x)


@pytest.mark.parametrize("direction", [115, 135, 155])
def test_a_wave_in_the_missing_wedge_is_supplied(direction):
    x = wave(direction)
    assert norm(measured(problem(), x, 1e-3)) < 0.1 * norm(x)
    full = problem(np.deg2rad(np.arange(0.0, 180.0, 2.0)))
    assert norm(measured(full, x, 1e-3) - x) < 0.1 * norm(x)


def test_the_measured_component_solves_its_equation():
    p = problem(THETA[::5])
    x = jnp.asarray(np.random.default_rng(0).random((N, N)), jnp.float32) * p.support
    m = measured(p, x, 0.02)
    left, right = jax.jit(lambda m, x: (p.normal(m) + 0.02 * m, p.normal(x)))(m, x)
    assert norm(left - right) < 1e-3 * norm(right)


@pytest.mark.parametrize("half_deg", [42.0, 75.0])
def test_the_supplied_component_agrees_with_the_exact_inverse(half_deg):
    """The reference uses the eigenvectors of ``H``; the measured component may be smaller, not larger."""
    n = 28
    A = Projector(ParallelGeometry.create(np.deg2rad(np.linspace(-half_deg, half_deg, 20)), n))
    p = SliceProblem.create(A, jnp.zeros(A.sinogram_shape))
    inside = np.flatnonzero(np.asarray(p.support).ravel())
    columns = np.eye(n * n, dtype=np.float32)[inside].reshape(-1, n, n)
    H = np.asarray(jax.jit(jax.vmap(p.normal))(columns), float).reshape(-1, n * n)[:, inside]
    values, vectors = np.linalg.eigh((H + H.T) / 2)
    x = np.zeros((n, n), np.float32)
    x[6:20, 8:11] = x[9:12, 13:22] = x[15:17, 15:20] = 1
    parts = vectors.T @ x.ravel()[inside]
    for strength in (1e-2, 1e-3, 1e-4, 1e-5):
        exact = np.linalg.norm(strength / (values + strength) * parts) / norm(x)
        supplied = norm(x - measured(p, jnp.asarray(x), strength)) / norm(x)
        assert 0.99 * exact < supplied < 1.15 * exact, strength


def test_more_noise_gives_a_smaller_measured_component():
    x = wave(45) + wave(135)
    shares = [norm(measured(problem(), x, strength)) for strength in (1e-3, 0.1, 10.0)]
    assert shares[0] > shares[1] > shares[2] and shares[2] < 0.1 * norm(x)


def test_pixels_without_valid_bins_are_supplied():
    """Bins of the left half are masked, so that hardly any view measures the left rim of the image."""
    mask = np.ones((len(THETA), N), np.float32)
    mask[:, : N // 2 - 8] = 0
    spot = np.zeros((N, N), np.float32)
    spot[N // 2 + 8 : N // 2 + 12, 6:10] = 1.0
    blind, complete = (measured(problem(mask=m), jnp.asarray(spot), 1e-3) for m in (mask, np.ones_like(mask)))
    assert norm(blind) < 0.6 * norm(complete)


def scan(noise, rows=3):
    """Sinograms of waves with this noise, and their images."""
    p = problem()
    volume = np.stack([0.5 + 0.5 * np.asarray(wave(25 + 20 * k)) for k in range(rows)]) * np.asarray(
        p.support
    )
    clean = np.asarray(jax.jit(jax.vmap(p.A))(volume))
    sinograms = clean + noise * np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32)
    return p, sinograms, np.ones(clean.shape, np.float32), volume


def test_damping_is_the_noise_over_the_signal():
    p, sinograms, _, volume = scan(0.5)
    inside = np.asarray(p.support) > 0
    damping = jax.jit(lambda p, y, x, noise: noise_damping(p.with_sinogram(y), x, noise))
    for y, x in zip(sinograms, volume, strict=True):
        expected = 0.5**2 / (np.mean(x[inside] ** 2) * float(p.norm_squared))
        assert damping(p, y, x, 0.5) == pytest.approx(expected, rel=0.05)
        # Data that the image does not explain count as noise.
        assert damping(p, y + 2.0, x, 0.5) > 10 * expected


def test_only_ratios_of_weights_matter():
    p, sinograms, masks, volume = scan(0.5)
    whole = p.with_sinogram(sinograms[0])
    half = dataclasses.replace(whole, weights=0.5 * masks[0])
    x = jnp.asarray(volume[0])
    parts = [measured(q, x, jax.jit(noise_damping)(q, x, 0.5)) for q in (whole, half)]
    assert norm(parts[0] - parts[1]) < 0.02 * norm(parts[0])
