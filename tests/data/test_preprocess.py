"""Logarithm, and masks of bins without a measurement."""

from __future__ import annotations

import numpy as np
import pytest

from pfitre_jax.data.preprocess import dead_columns, minus_log, padding_mask, to_scan
from pfitre_jax.data.raw import RawScan

THETA = np.deg2rad(np.arange(0.0, 180.0, 12.0))


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

    def test_absorption_is_kept_including_negative_values(self):
        values = self.line_integrals - 1
        scan = to_scan(RawScan.create(values, self.theta, center=1.5), pixel_size=0.2)
        np.testing.assert_allclose(scan.projections, values, rtol=1e-6)
        assert scan.mask.all() and scan.center == 1.5 and scan.pixel_size == 0.2

    def test_an_explicit_centre_replaces_that_of_the_file(self):
        raw = RawScan.create(self.line_integrals, self.theta, center=1.5)
        assert to_scan(raw, center=2).center == 2
        assert "center" not in to_scan(raw, center=2).provenance

    def test_the_provenance_of_a_centre_from_the_file_goes_with_it(self):
        scan = to_scan(RawScan.create(self.line_integrals, self.theta, center=1.5))
        assert scan.center == 1.5 and scan.provenance["center"] == "1.5, from the file"
        assert "center" not in scan.with_center(2).provenance

    def test_nan_counts_are_refused_and_not_masked_as_dead(self):
        counts = np.full((3, 1, 2), 50.0)
        counts[0, 0, 0] = np.nan
        raw = RawScan.create(counts, self.theta, flat=np.full((1, 2), 99.0), dark=np.zeros((1, 2)))
        with pytest.raises(ValueError, match="mask_nan=True"):
            to_scan(raw)
        assert np.argwhere(~to_scan(raw, mask_nan=True).mask).tolist() == [[0, 0, 0]]

    def test_i13_has_one_dead_pixel(self, i13):
        assert np.argwhere(~i13.mask.all(axis=0)).tolist() == [[0, 0]]

    def test_tooth_is_surrounded_by_air(self, tooth):
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
        padding = padding_mask(self.scan(v0=slice(0, 3), v2=slice(58, 60)))
        expected = np.zeros((3, 4, 60), bool)
        expected[0, :, :3] = True
        expected[2, :, 58:] = True
        np.testing.assert_array_equal(padding, expected)

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
