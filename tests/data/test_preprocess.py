"""Logarithm, masks, truncation and roll."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import disc_sinogram
from blobs import projections
from scipy import ndimage

from pfitre_jax.data.air import subtract_air
from pfitre_jax.data.preprocess import dead_columns, minus_log, padding_mask, to_scan
from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers.registry import read_raw
from pfitre_jax.data.roll import apply_roll, correct_roll, undo_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.truncation import edge_signal, truncated_views

THETA = np.deg2rad(np.arange(0.0, 180.0, 12.0))


@pytest.fixture(scope="module")
def cu23(data_dir):
    folder = data_dir / "cu23_hxn_xrf"
    return read_raw(folder / "Cu_example_23_LimitedAngle.tiff", folder / "Cu_example_23_LimitedAngle.csv")


@pytest.fixture(scope="module")
def i13(data_dir):
    return to_scan(read_raw(data_dir / "i13_tomo_standard" / "i13_24737.npz"))


@pytest.fixture(scope="module")
def tooth(data_dir):
    return to_scan(read_raw(data_dir / "tooth_aps2bm" / "tooth.h5"))


class TestLogarithm:
    line_integrals = np.random.default_rng(0).uniform(0, 3, (3, 4, 5))
    theta = np.deg2rad([0.0, 60.0, 120.0])

    def test_counts(self):
        """Photons by Beer and Lambert's law through an uneven beam on a detector with a dark level."""
        flat, dark = np.linspace(900, 1100, 20).reshape(4, 5), np.linspace(90, 110, 20).reshape(4, 5)
        counts = dark + (flat - dark) * np.exp(-self.line_integrals)
        scan = to_scan(RawScan.create(counts, self.theta, flat=flat, dark=dark))
        np.testing.assert_allclose(scan.projections, self.line_integrals, rtol=1e-5, atol=1e-6)
        assert scan.mask.all() and scan.provenance["data"] == "counts"

    def test_integer_counts_below_the_dark_do_not_wrap(self):
        flat, dark = np.full((1, 1), 100.0), np.full((1, 1), 10.0)
        counts = np.array([9, 10, 55], np.uint16).reshape(3, 1, 1)
        scan = to_scan(RawScan.create(counts, self.theta, flat=flat, dark=dark))
        assert scan.mask.ravel().tolist() == [False, False, True]
        assert scan.projections[2, 0, 0] == pytest.approx(np.log(2))

    def test_dead_flat(self):
        flat = np.array([[100.0, 10.0, 5.0]])
        raw = RawScan.create(np.full((3, 1, 3), 50.0), self.theta, flat=flat, dark=np.full((1, 3), 10.0))
        values, valid = minus_log(raw)
        assert np.all(valid == [True, False, False]) and np.all(np.isfinite(values))

    def test_transmission(self):
        transmission = np.exp(-self.line_integrals)
        transmission[1, 2, 3] = 0
        scan = to_scan(RawScan.create(transmission, self.theta, kind="transmission"))
        assert np.argwhere(~scan.mask).tolist() == [[1, 2, 3]]
        np.testing.assert_allclose(
            scan.projections[scan.mask], self.line_integrals[scan.mask], rtol=1e-5, atol=1e-6
        )

    def test_absorption_is_kept_negative_values_too(self):
        values = self.line_integrals - 1
        scan = to_scan(RawScan.create(values, self.theta, center=1.5), pixel_size=0.2)
        np.testing.assert_allclose(scan.projections, values, rtol=1e-6)
        assert scan.mask.all() and scan.center == 1.5 and scan.pixel_size == 0.2

    def test_the_centre_given_wins(self):
        raw = RawScan.create(self.line_integrals, self.theta, center=1.5)
        assert to_scan(raw, center=2).center == 2
        assert "center" not in to_scan(raw, center=2).provenance

    def test_a_centre_from_the_file_is_said_to_be_until_another_is_set(self):
        scan = to_scan(RawScan.create(self.line_integrals, self.theta, center=1.5))
        assert scan.center == 1.5 and scan.provenance["center"] == "1.5, from the file"
        assert "center" not in scan.with_center(2).provenance

    def test_not_finite_counts_are_not_passed_off_as_dead(self):
        counts = np.full((3, 1, 2), 50.0)
        counts[0, 0, 0] = np.nan
        raw = RawScan.create(counts, self.theta, flat=np.full((1, 2), 99.0), dark=np.zeros((1, 2)))
        with pytest.raises(ValueError, match="mask_nan=True"):
            to_scan(raw)
        assert np.argwhere(~to_scan(raw, mask_nan=True).mask).tolist() == [[0, 0, 0]]

    def test_i13_has_one_dead_pixel(self, i13):
        assert np.argwhere(~i13.mask.all(axis=0)).tolist() == [[0, 0]]

    def test_tooth_is_in_air(self, tooth):
        """No tooth in the outer 60 columns of either side: their line integrals vanish."""
        assert (
            abs(np.r_[tooth.projections[..., :60].mean(), tooth.projections[..., -60:].mean()]).max() < 0.02
        )
        assert tooth.mask.all() and 1.5 < tooth.projections.max() < 2.5


class TestPadding:
    def scan(self, **zeros):
        p = np.random.default_rng(0).uniform(1, 2, (3, 4, 60))
        for view, columns in zeros.items():
            p[int(view[1:]), :, columns] = 0
        return p

    def test_zeros_at_an_edge_in_all_rows(self):
        found = padding_mask(self.scan(v0=slice(0, 3), v2=slice(58, 60)))
        expected = np.zeros((3, 4, 60), bool)
        expected[0, :, :3] = True
        expected[2, :, 58:] = True
        np.testing.assert_array_equal(found, expected)

    def test_both_edges(self):
        p = self.scan(v1=slice(0, 1))
        p[1, :, -2:] = 0
        assert padding_mask(p)[1, 0].nonzero()[0].tolist() == [0, 58, 59]

    def test_a_wide_empty_border_is_air(self):
        assert not padding_mask(self.scan(v0=slice(0, 4))).any()

    def test_zeros_on_both_sides_of_most_views_are_air(self):
        p = self.scan()
        p[:2, :, 0] = p[:2, :, -1] = 0
        assert not padding_mask(p).any()

    def test_one_row_that_is_not_zero_makes_it_data(self):
        p = self.scan(v0=slice(0, 2))
        p[0, 3, 1] = 1e-6
        assert padding_mask(p)[0, 0].nonzero()[0].tolist() == [0]

    def test_zeros_inside_and_empty_views_are_not_padding(self):
        assert not padding_mask(self.scan(v0=slice(10, 12), v1=slice(0, 60))).any()

    def test_cu23(self, cu23):
        """SOURCE.txt: 1 to 3 columns of zeros in some thirty views; in view 3 on the right."""
        run = padding_mask(cu23.projections)[:, 0]
        assert 28 <= run.any(axis=1).sum() <= 32
        assert set(run.sum(axis=1)) == {0, 1, 2, 3}
        assert run[:, 3:-1].sum() == 0 and run[:, -1].nonzero()[0].tolist() == [3]
        assert np.all(~to_scan(cu23).mask == padding_mask(cu23.projections))


class TestDeadColumns:
    def test_one_value_everywhere(self):
        p = np.random.default_rng(0).uniform(1, 2, (4, 3, 20))
        p[..., 7], p[..., 12] = 0, 5.5
        assert dead_columns(p).nonzero()[0].tolist() == [7, 12]
        scan = to_scan(RawScan.create(p, np.arange(4.0)))
        assert (~scan.mask).all(axis=(0, 1)).nonzero()[0].tolist() == [7, 12]

    def test_a_border_without_signal_is_alive(self):
        p = np.random.default_rng(0).uniform(1, 2, (4, 3, 20))
        p[..., :6] = p[..., 15:] = 0
        assert not dead_columns(p).any()

    def test_rows_that_differ_are_not_one_value(self):
        p = np.random.default_rng(0).uniform(1, 2, (4, 3, 20))
        p[..., 7] = [0, 1, 0]
        assert not dead_columns(p).any()

    def test_too_few_views_or_no_signal(self):
        assert not dead_columns(np.ones((2, 3, 20))).any()
        assert not dead_columns(np.zeros((5, 3, 20))).any()

    def test_real_scans_have_none(self, cu23, i13, tooth):
        assert not dead_columns(cu23.projections).any()
        assert not dead_columns(i13.projections).any() and not dead_columns(tooth.projections).any()


class TestTruncation:
    def test_cu23(self, cu23):
        """SOURCE.txt: views 27-35; also once the roll is mended, and for the rows where the edge is."""
        scan = to_scan(cu23)
        assert truncated_views(scan).tolist() == list(range(27, 36))
        for roll in (1.0, 1.5, 2.0):
            assert truncated_views(correct_roll(scan, roll)).tolist() == list(range(27, 36))

    @pytest.mark.parametrize("columns", [24, 33, 150])
    @pytest.mark.parametrize("inside", [1, 2])
    @pytest.mark.parametrize("noise", [0, 0.01])
    def test_an_object_that_ends_just_inside_is_whole(self, columns, inside, noise):
        """A disc as wide as the detector less 1 or 2 bins on each side, exact and with 1% noise."""
        center = (columns - 1) / 2
        disc = (0.0, 0.0, columns / 2 - inside, 1.0)
        p = np.repeat(disc_sinogram([disc], THETA, columns, center)[:, None], 20, axis=1)
        assert np.all(p[..., [*range(inside), *range(-inside, 0)]] == 0) and np.all(p[..., [inside]] > 0)
        p = p + np.random.default_rng(0).normal(0, noise, p.shape) * p.max()
        whole = to_scan(RawScan.create(p, THETA))
        assert truncated_views(Scan.create(p, THETA)).size == 0
        assert truncated_views(whole).size == 0 and whole.mask.all()
        # Half a bin beyond the detector, the same disc is cut.
        cut = disc_sinogram([(0.0, 0.0, columns / 2 + 0.5, 1.0)], THETA, columns, center)[:, None]
        assert truncated_views(Scan.create(cut, THETA)).size == THETA.size

    def test_tooth_and_i13_stay_inside(self, i13, tooth):
        """i13's beam has weakened since its flat: a third of the signal, in all rows and at both edges."""
        assert truncated_views(tooth).size == 0
        assert i13.projections[..., :4].mean() > 0.3
        assert truncated_views(i13).size == 0

    @pytest.mark.parametrize("side", [0, 1])
    def test_a_blob_that_leaves(self, side):
        scan = Scan.create(projections(THETA, columns=64, reach=20), THETA)
        assert truncated_views(scan).size == 0
        cut = (11, 64) if side == 0 else (0, 53)
        narrow = Scan.create(scan.projections[:, :, slice(*cut)], THETA)
        edge = narrow.projections[..., :4] if side == 0 else narrow.projections[..., -4:]
        peak = narrow.projections.mean(axis=1).max(axis=1)
        signal = edge_signal(narrow)
        assert 0 < truncated_views(narrow).size < narrow.views
        assert signal[:, 1 - side].max() < 0.01
        mean = edge.mean(axis=(1, 2))
        reaches = edge[..., -side].mean(axis=1) >= 0.1 * mean
        assert reaches.any() and not reaches.all()
        np.testing.assert_allclose(signal[:, side], np.where(reaches, mean / peak, 0), rtol=1e-4, atol=1e-6)

    def test_padding_does_not_hide_it(self):
        p = projections(THETA, columns=64, reach=20)[:, :, 8:]
        shifted = np.concatenate([np.zeros((*p.shape[:2], 2)), p[:, :, :-2]], axis=2)
        plain = Scan.create(p, THETA)
        padded = to_scan(RawScan.create(shifted, THETA))
        assert not padded.mask[:, :, :2].any()
        np.testing.assert_allclose(edge_signal(padded)[:, 0], edge_signal(plain)[:, 0], atol=1e-6)


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

    def test_is_scipys_rotate(self):
        p = np.random.default_rng(0).uniform(0, 1, (2, 20, 31)).astype(np.float32)
        turned, mask = apply_roll(p, None, 2.0)
        expected = ndimage.rotate(p, 2.0, axes=(1, 2), order=1, reshape=False)
        np.testing.assert_allclose(turned[mask], expected[mask], rtol=1e-6)

    def test_mask_turns_along(self):
        """What an invalid bin held never shows, and nothing comes from outside the frame."""
        p = np.ones((1, 30, 40), np.float32)
        valid = np.ones(p.shape, bool)
        p[0, 12, 20], valid[0, 12, 20] = 1e6, False
        turned, mask = apply_roll(p, valid, 4.0)
        np.testing.assert_allclose(turned[mask], 1, rtol=1e-5)
        assert np.all(turned[~mask] == 0)
        invalid = np.argwhere(~mask[0, 5:20, 10:30])
        assert 1 <= len(invalid) <= 9 and np.abs(invalid - [7, 10]).max() <= 2
        assert not mask[0, 0].all() and mask[0, 8:22, 8:32].sum() >= 14 * 24 - 9

    def test_nothing_to_do(self):
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
        # From a few rows only: they go where they came from, and the rest is not claimed.
        some, covered = undo_roll(upright[:, 10:25], 2, row0=10, raw_rows=40)
        assert some.shape == rolled.shape
        np.testing.assert_allclose(some[covered], back[covered], atol=1e-6)
        assert 0 < covered.sum() < known.sum() and not covered[:, 30:].any()

    def test_correct_roll(self):
        scan = Scan.create(projections(THETA, roll_deg=3), THETA, center=31)
        mended = correct_roll(correct_roll(scan, 1), 2)
        assert mended.roll_deg == 3 and mended.center == 31
        assert 0.9 < mended.mask.mean() < 1
        with pytest.raises(ValueError, match="before selecting rows"):
            correct_roll(scan.select_rows("3:9"), 1)
        with pytest.raises(ValueError, match="between -90 and 90"):
            correct_roll(scan, np.nan)
        with pytest.raises(ValueError, match="no valid bin"):
            correct_roll(Scan.create(np.ones((1, 1, 100)), [0.0]), 60)


def test_subtract_air_removes_a_slanted_offset_and_nothing_else():
    p = projections(THETA, columns=80, reach=16)
    drift = np.linspace(0.2, 0.5, THETA.size)[:, None, None] + 0.002 * np.arange(80)
    mask = np.ones(p.shape, bool)
    mask[:, :, 0] = False
    scan = subtract_air(Scan.create(p + drift, THETA, mask=mask))
    np.testing.assert_allclose(scan.projections[mask], p[mask], atol=1e-4)
    assert np.all(scan.projections[~mask] == 0)
