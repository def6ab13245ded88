"""Scan: validation, selection, and the ranges of the command line."""

from __future__ import annotations

import numpy as np
import pytest

from pfitre_jax.data.scan import Scan

THETA = np.deg2rad([0.0, 30.0, 60.0, 90.0])


def numbered() -> Scan:
    """Projections whose bins contain their view, row and column."""
    view, row, column = np.meshgrid(np.arange(4), np.arange(5), np.arange(6), indexing="ij")
    return Scan.create(100 * view + 10 * row + column, THETA, center=2.5)


def test_create_keeps_the_values_and_fills_in_the_rest():
    scan = numbered()
    assert scan.projections.dtype == np.float32 and scan.projections[3, 4, 5] == 345
    assert (scan.views, scan.rows, scan.columns) == (4, 5, 6)
    assert scan.mask.all() and scan.mask.dtype == bool
    assert (scan.row0, scan.raw_rows, scan.roll_deg, scan.pixel_size) == (0, 5, 0.0, None)
    assert float(scan.geometry().center) == 2.5


def test_the_centre_may_be_unknown_until_it_is_needed():
    scan = Scan.create(np.ones((4, 1, 6)), THETA)
    assert scan.center is None
    with pytest.raises(ValueError, match="with_center"):
        scan.geometry()
    assert float(scan.with_center(3.25).geometry().center) == 3.25


def test_projections_without_any_signal_are_refused():
    with pytest.raises(ValueError, match="all projections are 0"):
        Scan.create(np.zeros((4, 1, 6)), THETA)
    only_invalid = np.zeros((4, 1, 6))
    only_invalid[0, 0, 0] = 5.0
    with pytest.raises(ValueError, match="all projections are 0"):
        Scan.create(only_invalid, THETA, mask=only_invalid == 0)


def test_a_number_is_not_a_selection():
    with pytest.raises(ValueError, match=r"the rows are 1; expected slice\(A, B\) or 'A:B'"):
        numbered().select_rows(1)


def test_wedge_is_the_gap_of_the_remaining_views():
    scan = Scan.create(np.ones((60, 1, 4)), np.deg2rad(np.arange(0, 180, 3.0)))
    assert scan.wedge.width_deg == 0
    assert scan.select_views("0:30").wedge.width_deg == pytest.approx(90.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"projections": np.ones((5, 6))}, r"expected a stack \(views, rows, columns\)"),
        ({"projections": np.ones((0, 5, 6))}, "no bin at all"),
        ({"projections": np.ones((4, 5, 6), complex)}, "real numbers"),
        ({"projections": np.array([[["a"]]])}, "real numbers"),
        ({"theta_rad": THETA[:3]}, "3 angles for 4 views"),
        ({"theta_rad": [0, 30, 60, 90]}, "look like degrees"),
        ({"theta_rad": [0, 1, np.nan, 2]}, "angle of view 2"),
        ({"center": 5.5}, "outside the detector"),
        ({"center": -0.5}, "outside the detector"),
        ({"center": np.nan}, "outside the detector"),
        ({"mask": np.ones((4, 5, 5))}, "mask has shape"),
        ({"mask": np.zeros((4, 5, 6))}, "no valid bin"),
        ({"pixel_size": 0}, "positive length"),
        ({"roll_deg": np.inf}, "roll"),
        ({"row0": 2, "raw_rows": 5}, "do not fit"),
    ],
)
def test_invalid_input_is_refused_with_a_message(change, message):
    with pytest.raises(ValueError, match=message):
        Scan.create(**{"projections": np.ones((4, 5, 6)), "theta_rad": THETA, **change})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_values_are_refused_and_masked_only_on_request(value):
    projections = np.ones((4, 5, 6))
    projections[1, 2, 3] = value
    with pytest.raises(ValueError, match=r"view 1, row 2, column 3.*mask_nan=True"):
        Scan.create(projections, THETA)
    scan = Scan.create(projections, THETA, mask_nan=True)
    assert np.argwhere(~scan.mask).tolist() == [[1, 2, 3]]
    assert scan.projections[1, 2, 3] == 0
    # A bin that the mask already leaves out may hold anything.
    assert Scan.create(projections, THETA, mask=np.isfinite(projections)).mask.sum() == scan.mask.sum()


def test_select_and_exclude_views():
    scan = numbered()
    assert scan.select_views("1:4:2").projections[:, 0, 0].tolist() == [100, 300]
    assert scan.exclude_views("1:3").projections[:, 0, 0].tolist() == [0, 300]
    np.testing.assert_array_equal(scan.exclude_views(slice(1, 3)).theta_rad, THETA[[0, 3]])
    assert scan.exclude_views("1:3").mask.shape == (2, 5, 6)
    assert scan.exclude_views("1:3").exclude_views("0:1").view_numbers.tolist() == [3]
    # Both count the views of the scan, not the selected ones.
    assert scan.select_views("1:4", "1:3").projections[:, 0, 0].tolist() == [300]


def test_select_rows_records_the_original_numbers():
    scan = numbered().select_rows("1:4").select_rows(slice(1, 3))
    assert scan.projections[0, :, 0].tolist() == [20, 30]
    assert (scan.row0, scan.rows, scan.raw_rows) == (2, 2, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.select_rows("3:6"), "3:6 lie outside the scan; expected A:B within 0:5"),
        (lambda s: s.select_rows("5:6"), "outside"),
        (lambda s: s.select_rows("2:2"), "are empty"),
        (lambda s: s.select_rows("0:5:2"), "have a step"),
        (lambda s: s.select_rows(slice(-1, None)), "outside"),
        (lambda s: s.select_views("0:9"), "views 0:9 lie outside"),
        (lambda s: s.select_views("3:1"), "are empty"),
        (lambda s: s.exclude_views("0:4"), "no view is left of 4"),
        (lambda s: s.select_views("1:3", "0:3"), "no view is left of 4"),
        (lambda s: s.exclude_views("4:5"), "outside"),
    ],
)
def test_selections_outside_or_empty_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(numbered())
