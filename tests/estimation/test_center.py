"""Centre: analytic scans, the real ones, and scans that do not determine it."""

from __future__ import annotations

import numpy as np
import pytest
from blobs import blob_scan, projections

from pfitre_jax.data.preprocess import to_scan
from pfitre_jax.data.readers.registry import read_raw
from pfitre_jax.data.roll import correct_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.center import find_center
from pfitre_jax.estimation.curve_minimum import minimum_position
from pfitre_jax.estimation.estimate import Undetermined
from pfitre_jax.estimation.opposite_views import center_from_pairs, opposite_views

HALF_TURN = np.deg2rad(np.arange(0.0, 180.0, 4.0))
WITH_OPPOSITE = np.deg2rad(np.arange(0.0, 180.1, 4.0))


class TestOppositeViews:
    def test_opposite_views_at_exact_angles(self):
        assert opposite_views(np.deg2rad([0, 60, 120, 180, 240])) == [
            (0, [(3, pytest.approx(0))]),
            (1, [(4, pytest.approx(0))]),
        ]

    def test_the_two_views_nearest_to_the_opposite_angle(self):
        """For 0, 10, ..., 170 these are 170 and 160; with 185 there is one view on either side of 180."""
        theta = np.deg2rad(np.arange(0, 180, 10.0))
        result = dict(opposite_views(theta))
        assert [view for view, _ in result[0]] == [17, 16]
        np.testing.assert_allclose([d for _, d in result[0]], np.deg2rad([-10, -20]), atol=1e-12)
        result = dict(opposite_views(np.append(theta, np.deg2rad(185))))
        np.testing.assert_allclose(sorted(d for _, d in result[0]), np.deg2rad([-10, 5]), atol=1e-12)

    def test_no_opposite_views(self):
        assert opposite_views(np.deg2rad(np.arange(0, 120, 2.0))) == []
        assert opposite_views([0.5]) == []

    def test_cu23_has_one(self, cu23):
        exact = [(v, other[0][0]) for v, other in opposite_views(cu23.theta_rad) if abs(other[0][1]) < 1e-6]
        assert exact == [(0, 50)]


class TestCenterFromViews:
    @pytest.mark.parametrize("center", [24.0, 31.5, 33.25, 40.8])
    @pytest.mark.parametrize("theta", [WITH_OPPOSITE, HALF_TURN, 2 * HALF_TURN], ids=["180", "176", "352"])
    def test_estimate_agrees_with_the_analytic_center(self, theta, center):
        """The middle of 64 bins, counted from 0, is 31.5."""
        result = find_center(blob_scan(theta, center=center, noise=0.005, reach=14))
        assert result.method == "opposite views"
        assert result.value == pytest.approx(center, abs=0.1)
        # Without exactly opposite views it is extrapolated over 4 degrees.
        assert result.uncertainty < (0.3 if theta is HALF_TURN else 0.15)
        assert abs(result.candidates[np.argmin(result.scores)] - result.value) <= 0.5

    def test_gain_offset_and_invalid_bins_do_not_change_the_estimate(self):
        scan = blob_scan(WITH_OPPOSITE, center=35.0)
        p = scan.projections * np.linspace(0.7, 1.3, 46)[:, None, None] + 0.2
        mask = np.ones(p.shape, bool)
        p[:, :, 20], mask[:, :, 20] = 50, False
        assert find_center(Scan.create(p, WITH_OPPOSITE, mask=mask)).value == pytest.approx(35, abs=0.1)

    def test_tooth(self, data_dir):
        """SOURCE.txt: about 295.9."""
        result = find_center(to_scan(read_raw(data_dir / "tooth_aps2bm" / "tooth.h5")))
        assert result.value == pytest.approx(295.9, abs=0.5) and result.method == "opposite views"

    def test_i13(self, data_dir):
        """SOURCE.txt: about 85.8."""
        result = find_center(to_scan(read_raw(data_dir / "i13_tomo_standard" / "i13_24737.npz")))
        assert result.value == pytest.approx(85.8, abs=0.5) and result.method == "opposite views"

    def test_uncertainty_follows_the_noise(self):
        clean, noisy = (
            center_from_pairs(blob_scan(WITH_OPPOSITE, center=35.0, noise=n, blobs=30)) for n in (0.0, 0.1)
        )
        assert noisy.mismatch > 5 * clean.mismatch and noisy.uncertainty > clean.uncertainty
        assert abs(noisy.value - 35) < noisy.uncertainty


class TestCenterFromResidual:
    @pytest.mark.parametrize("center", [28.3, 36.0])
    def test_analytic_without_opposite_views(self, center):
        theta = np.deg2rad(np.arange(-70, 71, 4.0))
        result = find_center(blob_scan(theta, center=center, noise=0.01, rows=24, reach=14))
        assert result.method == "residual"
        assert result.value == pytest.approx(center, abs=0.5)
        assert abs(result.value - center) < result.uncertainty < 1.5

    def test_cu23(self, cu23):
        """SOURCE.txt: 75 within 1 px; the opposite pair gives 74.1, and without the roll correction 74.3."""
        result = find_center(correct_roll(cu23, 1.5))
        assert result.method == "residual"
        assert result.value == pytest.approx(75, abs=1)

    def test_a_narrow_angular_range_does_not_determine_the_center(self):
        """Over 20 degrees a wrong centre is nearly a shifted object, so the residual is flat."""
        theta = np.deg2rad(np.arange(0, 20, 1.0))
        with pytest.raises(
            Undetermined, match=r"does not determine.*pfitre center SCAN --try A:B:S.*--center"
        ):
            find_center(blob_scan(theta, center=36.0, noise=0.01, rows=16, reach=12))

    @pytest.mark.parametrize(
        "degrees",
        [np.full(20, 30.0), [30.0], [0.0, 90.0], np.tile([0.0, 60.0], 20)],
        ids=["one angle", "one view", "two views", "two angles"],
    )
    @pytest.mark.parametrize("noise", [0.0, 0.01])
    def test_two_angles_do_not_determine_the_center(self, degrees, noise):
        with pytest.raises(Undetermined, match="does not determine"):
            find_center(blob_scan(np.deg2rad(degrees), center=36.0, noise=noise, rows=4, reach=12))

    def test_noise_alone_does_not_determine_the_center(self):
        noise = np.random.default_rng(0).standard_normal((20, 16, 64))
        with pytest.raises(Undetermined):
            find_center(Scan.create(noise, np.deg2rad(np.arange(0, 120, 6.0))))


def test_the_minimum_of_a_parabola():
    values = np.arange(5.0)
    assert minimum_position(values, (values - 2.3) ** 2) == pytest.approx(2.3)
    assert minimum_position(values, np.zeros(5)) == 1


def random_scan(rng, theta) -> tuple[Scan, float]:
    """A scan of blobs with a random axis, number of rows and noise."""
    center = 23.5 + rng.uniform(-5, 5)
    rows, noise = int(rng.choice([1, 4, 16])), float(rng.choice([0.0, 0.003, 0.01, 0.03]))
    stack = projections(theta, rows=rows, columns=48, center=center, reach=12, seed=int(rng.integers(10**6)))
    return Scan.create(stack + noise * stack.max() * rng.standard_normal(stack.shape), theta), center


def share_covered(rng, thetas, count) -> float:
    """Share of the scans with an estimate whose stated uncertainty covers the truth."""
    covered = []
    for number in range(count):
        scan, center = random_scan(rng, np.deg2rad(thetas[number % len(thetas)]))
        try:
            estimate = find_center(scan)
        except Undetermined:
            continue
        covered.append(abs(estimate.value - center) <= estimate.uncertainty)
    assert len(covered) > count / 3
    print(f"{sum(covered)} of {len(covered)} stated uncertainties cover the truth")
    return float(np.mean(covered))


def test_the_stated_uncertainty_of_opposite_views_covers_the_truth():
    full = [np.arange(0, 180.1, 4.0), np.arange(0, 360, 6.0), np.repeat(np.arange(0, 180.1, 6.0), 3)]
    assert share_covered(np.random.default_rng(5), full, 24) >= 0.95


@pytest.mark.slow
def test_the_stated_uncertainty_covers_the_truth():
    half = [np.arange(0, 180, step) for step in (2.0, 4.0)]
    limited = [np.arange(-span / 2, span / 2 + 0.1, 3.0) for span in (60, 90, 120)]
    few = [np.linspace(0, 180, views, endpoint=False) for views in (3, 5, 8)]
    assert share_covered(np.random.default_rng(6), half + limited + few, 80) >= 0.95
