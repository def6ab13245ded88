"""Equivariance of the whole pipeline: units, the origin of the angles and the orientation of the detector."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from analytic import CENTER, COLUMNS, disc_sinogram

import pfitre_jax as pf

#: Views of one side, 100 degrees missing about -70: neither it nor its quarter turn is an end of the range.
THETA = np.deg2rad(np.linspace(-20, 60, 21))
ROWS = [[(2.0, -3.0, 7.0, 1.0), (-6.0, 5.0, 3.0, 2.0)], [(1.0, 4.0, 8.0, 1.5), (-5.0, -6.0, 2.0, 1.0)]]
#: Iterations, and the largest relative differences for another unit and for another orientation. The noise of
#: so few rows, and with it the weight, magnifies rounding. The forward differences of isotropic TV have no
#: symmetry; with a wrong orientation the difference is 0.9.
METHODS = {"sirt": (60, 1e-3, 1e-3), "fista-tv": (60, 0.01, 0.06), "pfitre": (4, 0.01, 0.06)}

#: The automatic support and scale are the same for all methods, so that two of them show their equivariance.
EACH_METHOD = pytest.mark.parametrize(
    "method", [pytest.param("sirt", marks=pytest.mark.slow), "fista-tv", "pfitre"]
)


@pytest.fixture(scope="module")
def projections() -> np.ndarray:
    """Two rows of discs, (views, rows, columns), with 1% of noise."""
    stack = np.stack([disc_sinogram(discs, THETA) for discs in ROWS], axis=1)
    noise = np.random.default_rng(0).standard_normal(stack.shape)
    return (stack + 0.01 * stack.max() * noise).astype(np.float32)


def reconstruct(projections, theta, method, center=CENTER):
    return pf.reconstruct(
        pf.Scan.create(projections, theta, center=center), method, iterations=METHODS[method][0]
    )


@pytest.fixture(scope="module")
def result(projections):
    """The reconstruction by a method, computed once."""
    return functools.cache(lambda method: reconstruct(projections, THETA, method))


def difference(a, b) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@EACH_METHOD
@pytest.mark.parametrize("factor", [1e-3, pytest.param(0.3, marks=pytest.mark.slow), 1e3])
def test_the_volume_has_the_unit_of_the_projections(projections, result, method, factor):
    scaled = reconstruct(factor * projections, THETA, method)
    assert scaled.scale == pytest.approx(factor * result(method).scale, rel=1e-4)
    assert difference(scaled.volume / factor, result(method).volume) < METHODS[method][1]
    # The boundary between measured and supplied components follows the estimate of the noise.
    assert difference(scaled.measured / factor, result(method).measured) < 0.02
    for name in {"weight", "rho"} & set(scaled.parameters):
        assert scaled.parameters[name] == pytest.approx(result(method).parameters[name], rel=0.2)


@EACH_METHOD
def test_angles_from_another_origin_turn_the_volume(projections, result, method):
    """A quarter turn of the stage turns the slices, counter-clockwise."""
    turned = reconstruct(projections, THETA + np.pi / 2, method)
    expected = np.rot90(result(method).volume, axes=(1, 2))
    assert difference(turned.volume, expected) < METHODS[method][2]
    assert difference(turned.volume, result(method).volume) > 0.5


@EACH_METHOD
def test_a_reversed_detector_reflects_the_volume(projections, result, method):
    """Reversed columns with reversed angles are a mirror image; with the same angles, half a turn."""
    reversed_columns, center = projections[..., ::-1].copy(), COLUMNS - 1 - CENTER
    mirrored = reconstruct(reversed_columns, -THETA, method, center)
    assert difference(mirrored.volume, result(method).volume[..., ::-1]) < METHODS[method][2]
    turned = reconstruct(reversed_columns, THETA, method, center)
    assert difference(turned.volume, result(method).volume[:, ::-1, ::-1]) < METHODS[method][2]
    assert difference(turned.volume, result(method).volume) > 0.5
