"""Validation of the geometry, and the wedge."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.geometry import ParallelGeometry, Wedge


def test_defaults():
    g = ParallelGeometry.create([0.0, 0.5], 150)
    assert (g.views, g.columns, float(g.center)) == (2, 150, 74.5)
    np.testing.assert_array_equal(g.shifts, [0, 0])


def test_arrays_are_leaves_and_sizes_are_not():
    g = ParallelGeometry.create([0.0, 0.5], 150)
    leaves, structure = jax.tree.flatten(g)
    assert sorted(np.shape(leaf) for leaf in leaves) == [(), (2,), (2,)]
    assert structure == jax.tree.structure(ParallelGeometry.create([1.0, 0.5], 150, center=3.0))
    assert structure != jax.tree.structure(ParallelGeometry.create([0.0, 0.5], 151))


def test_the_disc_reaches_the_outer_side_of_the_last_bin_at_the_nearer_edge():
    """Every view sees it whole: its shadow ends inside the bins' outer sides, and one of them is touched."""
    g = ParallelGeometry.create([0.0, 0.5, 1.0], 40, center=14.0, shifts=[0.0, -1.5, 1.0])
    left = 14.0 + np.asarray(g.shifts) - float(g.disc_radius)
    right = 14.0 + np.asarray(g.shifts) + float(g.disc_radius)
    assert left.min() == -0.5 and right.max() <= 39.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"theta_rad": [0.0, 90.0]}, "these look like degrees: expected radians"),
        ({"theta_rad": [0.0, np.nan]}, "the angle of view 1 is nan; expected finite"),
        ({"theta_rad": []}, r"shape \(0,\); expected one angle for each view"),
        ({"theta_rad": [[0.0, 1.0]]}, r"shape \(1, 2\)"),
        ({"columns": 0}, "columns is 0; expected the number of detector bins"),
        ({"columns": 10.5}, "columns is 10.5"),
        ({"center": 64.0}, "the centre 64 is outside the detector; .* between 0 and 63"),
        ({"center": -0.5}, "the centre -0.5 is outside"),
        ({"center": np.nan}, "the centre nan is outside"),
        ({"shifts": [0.0]}, r"shape \(1,\); expected one finite shift .* of the 2 views"),
        ({"shifts": [0.0, np.inf]}, "expected one finite shift"),
    ],
)
def test_bad_input_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ParallelGeometry.create(**{"theta_rad": [0.0, 1.0], "columns": 64} | settings)


def wedge_deg(theta_deg):
    wedge = Wedge.from_angles(np.deg2rad(theta_deg))
    return wedge.center_deg, wedge.width_deg


@pytest.mark.parametrize(
    ("theta_deg", "center", "width"),
    [
        (np.arange(0, 84, 2.0), 131.0, 96.0),
        (np.arange(-42, 42, 1.0), 89.5, 96.0),
        # modulo 180: the same views, half a turn on and shuffled
        (np.random.default_rng(0).permutation(np.arange(0, 84, 2.0)) + 180.0, 131.0, 96.0),
        # the gap goes through 180 degrees
        (np.arange(40, 130, 1.0), 174.5, 90.0),
        # two gaps: the larger counts
        (np.r_[0:60:1.0, 80:120:1.0], 149.5, 60.0),
        ([30.0], 120.0, 180.0),
    ],
)
def test_wedge(theta_deg, center, width):
    np.testing.assert_allclose(wedge_deg(theta_deg), (center, width), atol=1e-6)


@pytest.mark.parametrize(
    "theta_deg", [np.arange(0, 180, 2.0), np.arange(0, 181, 2.0), np.arange(0, 360, 2.0)]
)
def test_a_full_scan_has_no_wedge(theta_deg):
    assert wedge_deg(theta_deg)[1] == 0


@pytest.mark.parametrize(
    "degrees",
    [
        np.arange(-72.0, 0.0, 2.0),
        np.r_[np.arange(-72.0, 0.0, 2.0), np.arange(94.0, 109.0)],
        np.linspace(0, 180, 60, endpoint=False),
        np.array([30.0]),
        np.array([10.0, 190.0, 20.0, 30.0]),
    ],
)
def test_the_wedge_of_traced_angles_is_that_of_concrete_ones(degrees):
    theta = np.deg2rad(degrees)
    host = Wedge.from_angles(theta)
    traced = jax.jit(Wedge.from_angles)(jnp.asarray(theta))
    assert float(traced.width_rad) == pytest.approx(host.width_rad, abs=1e-4)
    if host.width_rad > 0:
        gap = np.mod(float(traced.center_rad) - host.center_rad + np.pi / 2, np.pi) - np.pi / 2
        assert gap == pytest.approx(0, abs=1e-4)
