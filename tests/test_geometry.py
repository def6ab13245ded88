"""Validation of the geometry, and the wedge."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfitre_jax.geometry import ParallelGeometry, Wedge, remove_object_shift


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


def test_the_disc_touches_the_nearer_edge_of_the_detector():
    """The projection of the disc lies inside the detector and touches one of its edges."""
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
def test_invalid_input_is_refused(settings, message):
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
        # several exposures at each angle, and an encoder that nearly repeats it
        (np.repeat(np.arange(0, 84, 2.0), 3), 131.0, 96.0),
        (np.add.outer(np.arange(0, 84, 2.0), [-1e-9, 0, 1e-9]).ravel(), 131.0, 96.0),
        (np.r_[np.full(200, 20.0), np.arange(0, 84, 2.0)], 131.0, 96.0),
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
        np.repeat(np.arange(0.0, 120.0, 3.0), 3),
        np.r_[np.full(50, 9.0), np.arange(0.0, 120.0, 3.0)],
    ],
)
def test_the_wedge_of_traced_angles_equals_that_of_concrete_ones(degrees):
    theta = np.deg2rad(degrees)
    host = Wedge.from_angles(theta)
    traced = jax.jit(Wedge.from_angles)(jnp.asarray(theta))
    assert float(traced.width_rad) == pytest.approx(host.width_rad, abs=1e-4)
    if host.width_rad > 0:
        gap = np.mod(float(traced.center_rad) - host.center_rad + np.pi / 2, np.pi) - np.pi / 2
        assert gap == pytest.approx(0, abs=1e-4)


QUICK = settings(max_examples=50, deadline=None)

#: Whole degrees modulo 180, at least two of them.
views = st.lists(st.integers(0, 179), min_size=2, max_size=40, unique=True)


def unique_gap(degrees) -> bool:
    """Whether one gap modulo 180 degrees is larger than all others: otherwise the wedge is ambiguous."""
    ordered = np.sort(degrees)
    gaps = np.sort(np.diff(np.append(ordered, ordered[0] + 180)))
    return gaps[-1] > gaps[-2]


def distance(a: float, b: float, period: float = np.pi) -> float:
    return abs((a - b + period / 2) % period - period / 2)


@QUICK
@given(degrees=views, turn=st.integers(-360, 360))
def test_rotating_all_angles_rotates_the_wedge(degrees, turn):
    theta = np.deg2rad(degrees)
    wedge, turned = Wedge.from_angles(theta), Wedge.from_angles(theta + np.deg2rad(turn))
    assert abs(turned.width_rad - wedge.width_rad) < 1e-6
    if unique_gap(degrees):
        assert distance(turned.center_rad, wedge.center_rad + np.deg2rad(turn)) < 1e-6


@QUICK
@given(theta=st.lists(st.floats(-12, 12), min_size=1, max_size=40))
def test_width_and_centre_lie_in_their_ranges(theta):
    wedge = Wedge.from_angles(theta)
    assert 0 <= wedge.width_rad <= np.pi
    assert 0 <= wedge.center_rad <= np.pi


@QUICK
@given(degrees=views, data=st.data())
def test_the_order_of_the_views_and_their_half_turns_do_not_matter(degrees, data):
    wedge = Wedge.from_angles(np.deg2rad(degrees))
    order = data.draw(st.permutations(degrees))
    halves = data.draw(st.lists(st.integers(-2, 2), min_size=len(order), max_size=len(order)))
    other = Wedge.from_angles(np.deg2rad(np.array(order) + 180 * np.array(halves)))
    assert abs(other.width_rad - wedge.width_rad) < 1e-6
    if unique_gap(degrees):
        assert distance(other.center_rad, wedge.center_rad) < 1e-6


@QUICK
@given(degrees=views)
def test_no_view_lies_inside_the_wedge(degrees):
    theta = np.deg2rad(degrees)
    wedge = Wedge.from_angles(theta)
    if wedge.width_rad > 0:
        assert min(distance(t, wedge.center_rad) for t in theta) >= wedge.width_rad / 2 - 1e-6


@QUICK
@given(
    degrees=st.lists(st.integers(0, 179), min_size=6, max_size=40, unique=True),
    a=st.floats(-5, 5),
    b=st.floats(-5, 5),
)
def test_a_shift_of_the_object_is_removed_and_nothing_else(degrees, a, b):
    theta = np.deg2rad(degrees)
    shifts = np.random.default_rng(len(degrees)).normal(size=theta.size)
    moved = shifts + a * np.cos(theta) + b * np.sin(theta)
    once = remove_object_shift(theta, shifts)
    np.testing.assert_allclose(remove_object_shift(theta, once), once, atol=1e-6)
    basis = np.stack([np.cos(theta), np.sin(theta)])
    if np.linalg.cond(basis) < 100:
        np.testing.assert_allclose(remove_object_shift(theta, moved), once, atol=1e-6)
