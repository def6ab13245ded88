"""Invariants of the missing wedge and of the gauge of the shifts."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pfitre_jax.geometry import Wedge, remove_object_shift

QUICK = settings(max_examples=50, deadline=None)

#: Whole degrees modulo 180, at least two of them.
views = st.lists(st.integers(0, 179), min_size=2, max_size=40, unique=True)


def unique_gap(degrees) -> bool:
    """Whether one gap modulo 180 degrees is larger than all others: else the wedge's centre is a choice."""
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
