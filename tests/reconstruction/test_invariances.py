"""Invariances of all methods: the unit of the data, the level of a disc."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analytic import COLUMNS, THETA, disc_sinogram

import pfitre_jax as pf
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.parameters.scale import estimate_scale
from pfitre_jax.solvers.slice_problem import SliceProblem

VALUE, RADIUS = 0.03, 9.0
CENTER = (COLUMNS - 1) / 2
#: Methods, with enough iterations for a disc.
SLOW = pytest.mark.slow
METHODS = {"fbp": None, "sirt": 200, "cgls": 20, "fista-tv": 200, "fista-dtv": 200}


#: Compiling a method takes longest; all but one are left to the slow tests.
MARKED = ["fbp", *(pytest.param(method, marks=SLOW) for method in METHODS if method != "fbp")]


def disc_scan(theta=THETA, columns=COLUMNS, value=VALUE, radius=RADIUS, repeat=1):
    center = (columns - 1) / 2
    sinogram = disc_sinogram([(1.0, -0.5, radius, value)], theta, columns, center)
    stack = np.repeat(sinogram[:, None], 2, axis=1)
    return pf.Scan.create(np.repeat(stack, repeat, axis=0), np.repeat(theta, repeat), center=center)


def solve(scan, method):
    return pf.reconstruct(scan, method, iterations=METHODS[method])


def level(result) -> float:
    """Mean over the middle of the disc."""
    n = result.volume.shape[-1]
    k = np.arange(n) - (n - 1) / 2
    return float(result.volume[0][np.hypot(k[None, :] - 1, k[:, None] - 0.5) < RADIUS / 2].mean())


@pytest.mark.parametrize("method", MARKED)
def test_every_method_has_the_same_level_on_a_disc(method):
    """That of the disc; also with three exposures at each angle."""
    once, thrice = (solve(disc_scan(repeat=n), method) for n in (1, 3))
    assert level(once) == pytest.approx(VALUE, rel=0.02)
    assert level(thrice) == pytest.approx(level(once), rel=0.01)


@pytest.mark.parametrize("method", MARKED)
def test_twice_the_data_are_twice_the_image(method):
    once, twice = (solve(disc_scan(value=factor * VALUE), method) for factor in (1, 2))
    assert twice.scale == pytest.approx(2 * once.scale, rel=1e-4)
    np.testing.assert_allclose(twice.volume, 2 * once.volume, atol=2e-3 * VALUE)


@SLOW
@pytest.mark.parametrize("arc", [180, 150, 120])
@pytest.mark.parametrize("method", ["fista-tv", "sirt"])
def test_the_level_does_not_depend_on_the_arc(method, arc):
    theta = np.deg2rad(np.arange(0.0, arc, 6.0))
    assert level(solve(disc_scan(theta), method)) == pytest.approx(VALUE, rel=0.05)


def test_filtered_backprojection_reports_that_its_level_depends_on_the_arc():
    """A missing wedge takes its share of the spectrum, which no linear method knows."""
    full = solve(disc_scan(), "fbp")
    assert not any("lowers the level" in text for text in full.warnings)
    limited = solve(disc_scan(np.deg2rad(np.arange(0.0, 120.0, 6.0))), "fbp")
    (warning,) = [text for text in limited.warnings if "lowers the level" in text]
    assert "of 120 degrees" in warning and "to 67%" in warning


@SLOW
def test_views_of_one_angle_are_reported():
    result = pf.reconstruct(disc_scan(np.full(4, 0.3)), "sirt", iterations=5)
    assert any("all views have the same angle" in text for text in result.warnings)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_scale_is_that_of_the_sample_however_small_it_is(noise):
    """Squares from 2 to 16 pixels across, in a field of 256 x 256: from 0.01% to 0.5% of its disc."""
    columns, theta = 256, np.deg2rad(np.arange(0.0, 180.0, 6.0))
    scales = {}
    for side in (2, 3, 8, 16, 40):
        image = np.zeros((columns, columns), np.float32)
        image[90 : 90 + side, 140 : 140 + side] = VALUE
        sinograms, problem = square_problem(image, theta)
        rng = np.random.default_rng(0)
        noisy = sinograms + noise * VALUE * side * rng.standard_normal(sinograms.shape)
        scales[side] = float(small_scale(problem, noisy.astype(np.float32))) / VALUE
    print(noise, scales)
    assert all(0.6 < scale < 1.4 for scale in scales.values()), scales


@jax.jit
def square_problem(image, theta):
    A = Projector(ParallelGeometry(theta, jnp.asarray(127.5), jnp.zeros(len(theta)), 256), image.shape)
    return A(image)[None], SliceProblem.create(A, A(image))


small_scale = jax.jit(estimate_scale)
