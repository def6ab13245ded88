"""TomoPy's axis order, angles and centre, against its documented geometry and against TomoPy where installed.

TomoPy is not on PyPI. With TomoPy built from its repository, the tests of this file run on it.
"""

from __future__ import annotations

import numpy as np
import pytest
from analytic import CENTER, COLUMNS, THETA

import pfitre_jax as pf
from pfitre_jax.interop import tomopy as interop_tomopy

WIDTH = 1.5
#: Middle (row, column) in pixels, and value, of the blobs in the slices.
BLOBS = [[(9, 19, 1.0), (21, 11, 0.6)], [(11, 10, 0.8), (18, 22, 1.2)], [(15, 22, 0.5), (22, 15, 1.0)]]
#: A method that is neither random nor close to instability, in the arguments of ``tomopy.recon``.
OPTIONS = {"algorithm": "sirt", "num_iter": 40, "support": "disc"}


def volume():
    """(rows, y, x), Gaussian blobs without any symmetry."""
    i, j = np.mgrid[:COLUMNS, :COLUMNS]
    blob = lambda y, x, value: value * np.exp(-((i - y) ** 2 + (j - x) ** 2) / (2 * WIDTH**2))  # noqa: E731
    return np.array([sum(blob(*b) for b in blobs) for blobs in BLOBS], np.float32)


def projections(center=CENTER):
    """(views, rows, columns), closed form, in the geometry of libtomo (``recon/utils.c``, ``calc_coords``).

    The first axis of a slice is ``x``, the second one ``y``. A ray has the direction ``(cos, sin)``, and its
    distance from the axis along ``(-sin, cos)`` is that of its bin: ``k - center``.
    """
    along = np.stack([-np.sin(THETA), np.cos(THETA)])[..., None]
    k = np.arange(COLUMNS)
    out = np.zeros((len(THETA), len(BLOBS), COLUMNS), np.float32)
    for row, blobs in enumerate(BLOBS):
        for first, second, value in blobs:
            distance = along[0] * (first - (COLUMNS - 1) / 2) + along[1] * (second - (COLUMNS - 1) / 2)
            ray = np.exp(-((k - center - distance) ** 2) / (2 * WIDTH**2))
            out[:, row] += value * np.sqrt(2 * np.pi) * WIDTH * ray
    return out


def relative_error(found, expected=None):
    expected = volume() if expected is None else expected
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.fixture(scope="module", name="direct")
def _direct():
    scan = pf.Scan.create(projections(), THETA, center=CENTER)
    return pf.reconstruct(scan, "sirt", iterations=40, support="disc").volume


def test_the_slices_are_those_of_the_direct_call(direct):
    slices = interop_tomopy.recon(projections(), THETA, CENTER, **OPTIONS)
    np.testing.assert_array_equal(slices, direct)
    assert slices.dtype == np.float32 and slices.shape == (3, COLUMNS, COLUMNS)
    sinograms = projections().swapaxes(0, 1)
    # One centre for each row, as TomoPy makes it of a number.
    again = interop_tomopy.recon(sinograms, THETA, np.full(3, CENTER), sinogram_order=True, **OPTIONS)
    np.testing.assert_array_equal(again, direct)


def test_slices_have_the_orientation_of_tomopy(direct):
    """The values and places of the blobs; a mirrored or turned slice, or half a bin, is far off."""
    assert relative_error(direct) < 0.05
    for turned in (direct[:, ::-1], direct[:, :, ::-1], direct.swapaxes(1, 2), np.roll(direct, 1, axis=2)):
        assert relative_error(turned) > 0.2
    half_a_bin = interop_tomopy.recon(projections(), THETA, CENTER + 0.5, **OPTIONS)
    assert relative_error(half_a_bin) > 2 * relative_error(direct)


def call_as_tomopy(algorithm, tomo, theta, center, shape, **kwargs):
    """What ``tomopy.recon`` does with a function (``recon/algorithm.py``), in one chunk."""
    tomo = np.require(np.swapaxes(tomo, 0, 1), np.float32, "AC")
    slices = np.full((len(tomo), *shape), 1e-6, np.float32)
    centers = np.full(len(tomo), center, np.float32)
    kwargs = {"num_gridx": shape[0], "num_gridy": shape[1], "options": {}, **kwargs}
    algorithm(tomo, centers, slices, np.asarray(theta, np.float32), **kwargs)
    return slices


def test_the_algorithm_writes_the_slices_of_the_direct_call(direct):
    options = {"method": "sirt", "iterations": 40, "support": "disc"}
    slices = call_as_tomopy(
        interop_tomopy.pfitre, projections(), THETA, CENTER, (COLUMNS, COLUMNS), options=options
    )
    # TomoPy passes angles in single precision.
    np.testing.assert_allclose(slices, direct, atol=1e-4)


def test_another_grid_is_the_middle_of_the_slices(direct):
    slices = interop_tomopy.recon(projections(), THETA, CENTER, num_gridx=37, num_gridy=21, **OPTIONS)
    assert slices.shape == (3, 37, 21)
    # Both have the axis in their middle.
    np.testing.assert_array_equal(slices, np.pad(direct[:, :, 6:-6], ((0, 0), (2, 2), (0, 0))))


def test_the_center_is_the_middle_or_estimated_on_request():
    assert interop_tomopy.to_scan(projections(), THETA).center == (COLUMNS - 1) / 2
    assert interop_tomopy.to_scan(projections(), THETA, "auto").center is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((projections()[:, 0], THETA), "expected three axes"),
        ((projections(), THETA[:-1]), "has 20 views and theta 19 angles"),
        ((projections(), np.rad2deg(THETA)), "these look like degrees"),
        ((projections(), THETA, [15.0, 15.5, 16.0]), "center goes from 15 to 16"),
        ((projections(), THETA, [15.0, 15.0]), "center has 2 values"),
        ((projections(), THETA, "middle"), "center is 'middle'"),
        ((projections(), THETA, 40.0), "outside the detector"),
    ],
)
def test_invalid_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        interop_tomopy.recon(*arguments)


def test_a_grid_of_the_other_parity_and_an_unknown_algorithm_are_refused():
    with pytest.raises(ValueError, match="all even or all odd"):
        interop_tomopy.recon(projections(), THETA, CENTER, num_gridx=30)
    with pytest.raises(ValueError, match="unknown method 'gridrec'; expected one of fbp"):
        interop_tomopy.recon(projections(), THETA, CENTER, algorithm="gridrec")


def test_warnings_of_the_reconstruction_are_python_warnings():
    wide = projections() + 0.5
    with pytest.warns(UserWarning, match="extend beyond the field of view"):
        interop_tomopy.recon(wide, THETA, CENTER, **OPTIONS)


#: TomoPy forks, and JAX warns of that.
FORKS = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")


@pytest.fixture(scope="module", name="tomopy")
def _tomopy():
    return pytest.importorskip("tomopy", reason="TomoPy is not installed")


@FORKS
def test_tomopy_projects_the_same_geometry(tomopy):
    """``tomopy.project`` counts its centre from the outer side of the first bin."""
    error = lambda c: relative_error(tomopy.project(volume(), THETA, center=c, pad=False), projections())  # noqa: E731
    assert error(CENTER + 0.5) < 0.06 < 0.15 < error(CENTER)


def test_tomopy_reconstructs_the_same_slices(tomopy, direct):
    """``art`` counts its centre from the outer side of the first bin."""
    options = dict(algorithm="art", num_iter=30, ncore=1)
    theirs = tomopy.recon(projections(), THETA, center=CENTER + 0.5, **options)
    assert relative_error(theirs) < 0.15 and relative_error(theirs, direct) < 0.15
    for turned in (direct[:, ::-1], direct[:, :, ::-1], direct.swapaxes(1, 2)):
        assert relative_error(theirs, turned) > 0.5


def test_gridrec_counts_bins_as_this_package(tomopy):
    """Its slices are displaced by a pixel along both axes, of an odd size (half a pixel of an even one)."""
    inside = np.hypot(*(np.mgrid[:COLUMNS, :COLUMNS] - (COLUMNS - 1) / 2)) < 13
    errors = {}
    for offset in (-0.5, 0.0, 0.5):
        slices = tomopy.recon(projections(), THETA, center=CENTER + offset, algorithm="gridrec", ncore=1)
        errors[offset] = relative_error(np.roll(slices, (1, -1), axis=(1, 2)) * inside, volume() * inside)
    assert min(errors, key=errors.get) == 0.0 and errors[0.0] < 0.3


def test_tomopy_finds_the_center_that_is_passed_on(tomopy):
    first = projections()[0]
    # The view from the opposite side is the first one mirrored about the axis.
    k = 2 * CENTER - np.arange(COLUMNS)
    opposite = np.stack([np.interp(k, np.arange(COLUMNS), row) for row in first])
    assert tomopy.find_center_pc(first, opposite, tol=0.1) == pytest.approx(CENTER, abs=0.15)


def test_tomopy_calls_the_algorithm(tomopy, direct):
    options = {"method": "sirt", "iterations": 40, "support": "disc"}
    slices = tomopy.recon(
        projections(), THETA, center=CENTER, algorithm=interop_tomopy.pfitre, ncore=1, options=options
    )
    np.testing.assert_allclose(slices, direct, atol=1e-4)
    # Two threads with a chunk each: every row is right, up to the scale that each chunk estimates.
    chunks = tomopy.recon(
        projections(), THETA, center=CENTER, algorithm=interop_tomopy.pfitre, ncore=2, options=options
    )
    np.testing.assert_allclose(chunks, direct, atol=1e-3)
