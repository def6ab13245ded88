"""The decomposition of solved slices, row by row and in any units."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.reconstruction.decompose import decompose
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.trust.consistency import measured_component, noise_damping

N = 48
THETA = np.deg2rad(np.arange(0.0, 90.0, 2.0))


def problem(theta=THETA, mask=None) -> SliceProblem:
    A = Projector(ParallelGeometry.create(theta, N))
    return SliceProblem.create(A, jnp.zeros(A.sinogram_shape), mask)


def wave(direction_deg, cycles=6):
    """A plane wave in a smooth window; its frequency points in this direction."""
    i, j = np.indices((N, N))
    x, y = j - (N - 1) / 2, (N - 1) / 2 - i
    angle = np.deg2rad(direction_deg)
    window = np.exp(-(x**2 + y**2) / (2 * (N / 7) ** 2))
    return jnp.asarray(
        window * np.cos(2 * np.pi * cycles / N * (x * np.cos(angle) + y * np.sin(angle))), jnp.float32
    )


def scan(noise, rows=3):
    """Sinograms of waves with this noise, and their images."""
    p = problem()
    volume = np.stack([0.5 + 0.5 * np.asarray(wave(25 + 20 * k)) for k in range(rows)]) * np.asarray(
        p.support
    )
    clean = np.asarray(jax.jit(jax.vmap(p.A))(volume))
    sinograms = clean + noise * np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32)
    return p, sinograms, np.ones(clean.shape, np.float32), volume


def norm(x):
    return float(np.linalg.norm(np.asarray(x, float)))


def test_the_measured_component_is_computed_for_each_row_in_any_units():
    p, sinograms, masks, volume = scan(0.5)
    parts, supplied, *_ = jax.jit(decompose)(p, 0.5, 1.0, sinograms, masks, volume)
    measured = jax.jit(measured_component)
    for k in range(len(volume)):
        strength = noise_damping(p.with_sinogram(sinograms[k]), jnp.asarray(volume[k]), 0.5)
        expected = measured(p, jnp.asarray(volume[k]), strength)
        assert norm(parts[k] - expected) < 5e-3 * norm(expected)
        share = norm(volume[k] - parts[k]) / norm(volume[k])
        np.testing.assert_allclose(supplied[k], share, rtol=1e-3)
    scaled, same, *_ = jax.jit(decompose)(p, 150.0, 300.0, 300 * sinograms, masks, 300 * volume)
    assert norm(scaled / 300 - parts) < 5e-3 * norm(parts)
    np.testing.assert_allclose(same, supplied, atol=2e-3)


def test_an_empty_volume_has_no_supplied_component():
    p, sinograms, masks, volume = scan(0.5)
    parts, supplied, *_ = jax.jit(decompose)(p, 0.5, 1.0, 0 * sinograms, masks, 0 * volume)
    assert not np.any(parts) and not np.any(supplied)
