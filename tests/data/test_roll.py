"""The roll of the rotation axis: sign, mask, centre, correction and its inverse."""

from __future__ import annotations

import numpy as np
import pytest
from blobs import projections
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pfitre_jax.data.roll import apply_roll, correct_roll, raw_rows_for, undo_roll
from pfitre_jax.data.scan import Scan

THETA = np.deg2rad(np.arange(0.0, 180.0, 12.0))


class TestRoll:
    def test_sign_and_size_against_the_analytic_scan(self):
        """The analytic scan on a rolled detector, corrected, is the analytic scan on an upright one."""
        upright, rolled = (projections(THETA, roll_deg=roll, center=33) for roll in (0, 3))
        turned, mask = apply_roll(rolled, None, 3)
        wrong, both = apply_roll(rolled, None, -3)
        error = lambda p, m: np.abs(p - upright)[m].max()  # noqa: E731
        # Linear interpolation of spots 1.5 bins wide: at most 1/8 of their second derivative each way.
        assert error(turned, mask) < 0.1 * upright.max()
        assert error(wrong, both) > 0.3 * upright.max()
        assert error(rolled, mask) > 0.2 * upright.max()

    def test_apply_roll_agrees_with_scipy(self):
        p = np.random.default_rng(0).uniform(0, 1, (2, 20, 31)).astype(np.float32)
        turned, mask = apply_roll(p, None, 2.0)
        expected = ndimage.rotate(p, 2.0, axes=(1, 2), order=1, reshape=False)
        np.testing.assert_allclose(turned[mask], expected[mask], rtol=1e-6)

    def test_mask_is_rotated_with_the_data(self):
        """The value of an invalid bin never appears, and bins from outside the frame are invalid."""
        p = np.ones((1, 30, 40), np.float32)
        valid = np.ones(p.shape, bool)
        p[0, 12, 20], valid[0, 12, 20] = 1e6, False
        turned, mask = apply_roll(p, valid, 4.0)
        np.testing.assert_allclose(turned[mask], 1, rtol=1e-5)
        assert np.all(turned[~mask] == 0)
        invalid = np.argwhere(~mask[0, 5:20, 10:30])
        assert 1 <= len(invalid) <= 9 and np.abs(invalid - [7, 10]).max() <= 2
        assert not mask[0, 0].all() and mask[0, 8:22, 8:32].sum() >= 14 * 24 - 9

    def test_roll_0_changes_nothing(self):
        p = np.random.default_rng(0).uniform(0, 1, (2, 5, 6)).astype(np.float32)
        turned, mask = apply_roll(p, None, 0)
        np.testing.assert_array_equal(turned, p)
        assert mask.all()

    def test_centre_stays_where_the_axis_crossed_the_middle_row(self):
        """After the correction every row's first moment, over opposite views, is the one centre quoted."""
        theta = np.array([0.3, 0.3 + np.pi])
        turned, _ = apply_roll(projections(theta, roll_deg=2.5, center=36.0, rows=41, reach=12), None, 2.5)
        total = turned.sum(axis=(0, 1))
        assert (total * np.arange(64)).sum() / total.sum() == pytest.approx(36.0, abs=0.02)

    def test_undo_roll_predicts_the_raw_frame(self):
        upright, rolled = (projections(THETA, roll_deg=roll) for roll in (0, 2))
        back, known = undo_roll(upright, 2)
        assert np.abs(back - rolled)[known].max() < 0.1 * rolled.max()
        # With only a few rows, the rows return to their positions and the others are invalid.
        some, covered = undo_roll(upright[:, 10:25], 2, row0=10, raw_rows=40)
        assert some.shape == rolled.shape
        np.testing.assert_allclose(some[covered], back[covered], atol=1e-6)
        assert 0 < covered.sum() < known.sum() and not covered[:, 30:].any()

    def test_correct_roll(self):
        scan = Scan.create(projections(THETA, roll_deg=3), THETA, center=31)
        corrected = correct_roll(correct_roll(scan, 1), 2)
        assert corrected.roll_deg == 3 and corrected.center == 31
        assert 0.9 < corrected.mask.mean() < 1
        with pytest.raises(ValueError, match="before selecting rows"):
            correct_roll(scan.select_rows("3:9"), 1)
        with pytest.raises(ValueError, match="between -90 and 90"):
            correct_roll(scan, np.nan)
        with pytest.raises(ValueError, match="no valid bin"):
            correct_roll(Scan.create(np.ones((1, 1, 100)), [0.0]), 60)


SMOOTH = projections(THETA[::2])
MASK = np.random.default_rng(0).random(SMOOTH.shape) > 0.02

rolls = st.integers(-600, 600).map(lambda n: n / 100)


@settings(max_examples=20, deadline=None)
@given(roll=rolls)
def test_correction_and_inverse_nearly_cancel(roll):
    """Two linear interpolations change a smooth scan little."""
    corrected, mask = apply_roll(SMOOTH, None, roll)
    back, known = undo_roll(corrected, roll)
    inside, valid = apply_roll(mask.astype(np.float32), None, -roll)
    both = known & valid & (inside > 0.999)
    assert both.mean() > 0.7
    assert np.abs(back - SMOOTH)[both].max() < 0.12 * SMOOTH.max()


@settings(max_examples=30, deadline=None)
@given(roll=rolls, data=st.data())
def test_correction_of_selected_rows_agrees_with_the_whole_scan(roll, data):
    raw_rows, columns = SMOOTH.shape[1:]
    start = data.draw(st.integers(0, raw_rows - 1))
    rows = slice(start, data.draw(st.integers(start + 1, raw_rows)))
    whole, mask = apply_roll(SMOOTH, MASK, roll)
    needed = raw_rows_for(rows, roll, columns, raw_rows)
    part, part_mask = apply_roll(
        SMOOTH[:, needed], MASK[:, needed], roll, rows=rows, row0=needed.start, raw_rows=raw_rows
    )
    np.testing.assert_array_equal(part_mask, mask[:, rows])
    np.testing.assert_allclose(part, whole[:, rows], atol=1e-5 * SMOOTH.max())
