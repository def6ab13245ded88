"""The split of an error by the missing wedge, and the other measures on known errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.evaluation.measures import measure_quality
from pfitre_jax.evaluation.scans import Scans
from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.metrics import wedge_power
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.slice_problem import SliceProblem

N = 64
WEDGE = Wedge(np.deg2rad(150.0), np.deg2rad(60.0))


split = jax.jit(wedge_power)


def wave(kx, ky, phase=0.4):
    """A plane wave of ``kx, ky`` periods over the field; y points up."""
    i, j = np.indices((N, N))
    return jnp.asarray(np.cos(2 * np.pi * (kx * j - ky * i) / N + phase))


@pytest.mark.parametrize(
    ("direction_deg", "inside"),
    [(150, True), (124, True), (176, True), (-30, True), (116, False), (4, False), (60, False), (90, False)],
)
def test_error_of_a_plane_wave_is_assigned_by_its_direction(direction_deg, inside):
    """Views of angle theta measure waves along (cos theta, sin theta), by the Fourier slice theorem."""
    with jax.enable_x64(True):
        # The nearest wave with whole periods is within 2 degrees.
        k = np.round(28 * np.array([np.cos(np.deg2rad(direction_deg)), np.sin(np.deg2rad(direction_deg))]))
        image = wave(*k)
        powers = np.array(split(image, WEDGE))
        np.testing.assert_allclose(powers.max(), np.sum(image**2))
        assert np.argmax(powers) == (0 if inside else 1) and powers.min() < 1e-9 * powers.max()


def test_a_measured_wave_has_a_projection_in_its_view():
    """The convention of the split is the projector's: a wave has a projection only in its own direction."""
    views = np.deg2rad([30.0, 120.0])
    A = Projector(ParallelGeometry.create(views, N))
    for kx, ky in ((7, 4), (-4, 7)):
        theta = np.mod(np.arctan2(ky, kx), np.pi)
        y, x = np.mgrid[:N, :N] - (N - 1) / 2
        disc = np.exp(-(x**2 + y**2) / 300)
        amplitude = np.linalg.norm(A(jnp.asarray(wave(kx, ky) * disc, jnp.float32)), axis=1)
        nearest = int(np.argmin(np.abs(views - theta)))
        assert amplitude[nearest] > 20 * amplitude[1 - nearest]
        inside, outside = split(
            jnp.asarray(wave(kx, ky) * disc, jnp.float32), Wedge(float(views[nearest]), 0.6)
        )
        assert inside > 20 * outside


def test_powers_add_up_and_the_mean_is_measured():
    with jax.enable_x64(True):
        image = jnp.asarray(np.random.default_rng(0).standard_normal((24, 31)))
        assert sum(split(image, WEDGE)) == pytest.approx(float(jnp.sum(image**2)))
        inside, outside = split(jnp.ones((N, N)), WEDGE)
        assert inside < 1e-9 and outside == pytest.approx(N**2)
        # White noise: by the cone's share of directions.
        many = jnp.asarray(np.random.default_rng(1).standard_normal((N, N)))
        inside, outside = split(many, Wedge(0.3, np.pi / 2))
        assert inside / (inside + outside) == pytest.approx(0.5, abs=0.05)


def test_metrics_of_known_errors():
    theta = np.deg2rad(np.arange(0.0, 120.0, 10))
    A = Projector(ParallelGeometry.create(theta, N))
    truth = 0.5 * np.asarray(np.hypot(*(np.indices((N, N)) - (N - 1) / 2)) < 20, np.float32)
    truth = jnp.stack([truth, truth])
    y = jax.vmap(A)(truth)
    problem = SliceProblem.create(A, y[0], wedge=Wedge.from_angles(theta))
    scans = Scans(problem, y, jnp.ones_like(y), truth, jnp.asarray([2.0, 4.0]))
    wrong = jnp.stack([truth[0], truth[1] + 0.1 * problem.support])
    measures = {name: np.asarray(value) for name, value in measure_quality(scans, wrong).items()}
    assert measures["psnr"][0] > 100 and measures["psnr"][1] == pytest.approx(20, rel=1e-4)
    assert measures["ssim"][0] == pytest.approx(1, abs=1e-4) and measures["ssim"][1] < 0.95
    excess = float(jnp.linalg.norm(A(0.1 * problem.support)))
    # Two compiled programs may round the projection differently.
    np.testing.assert_allclose(
        measures["residual_over_noise"], [0, excess / 4], rtol=1e-4, atol=1e-6 * excess
    )
    for name in ("error_inside", "error_outside"):
        assert measures[name][0] < 1e-5 and measures[name][1] > 0.01
    nothing = measure_quality(scans, 0 * truth)
    np.testing.assert_allclose(nothing["error_inside"], 1, rtol=1e-5)
    np.testing.assert_allclose(nothing["error_outside"], 1, rtol=1e-5)
