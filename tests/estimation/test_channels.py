"""Signal of channels, their sum, and the views that they share."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import THETA, disc_stack

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.channels import same_views, signal_of, sum_channels

DISC = disc_stack([[(3.0, 1.0, 6.0, 1.0)]] * 3)


def scan(values: np.ndarray, **options) -> Scan:
    return Scan.create(values, THETA, center=17.0, **options)


def noise(size: float, seed: int = 0) -> np.ndarray:
    return size * np.random.default_rng(seed).standard_normal(DISC.shape)


def test_the_signal_is_the_deviation_along_the_columns_without_noise():
    exact = np.sqrt(np.mean(np.var(DISC, axis=2)))
    assert signal_of(scan(DISC)) == pytest.approx(exact, rel=0.02)
    # A uniform layer has no features, and the noise is subtracted.
    assert signal_of(scan(DISC + 50)) == pytest.approx(exact, rel=0.02)
    assert signal_of(scan(DISC + noise(1.0))) == pytest.approx(exact, rel=0.1)
    assert signal_of(scan(noise(5.0))) < 0.3 * 5
    # An invalid bin has no part in it.
    spoilt, mask = DISC.copy(), np.ones(DISC.shape, bool)
    spoilt[3, 1, 9], mask[3, 1, 9] = 1e6, False
    assert signal_of(scan(spoilt, mask=mask)) == pytest.approx(exact, rel=0.02)


def test_a_sparse_channel_of_few_counts_is_weak():
    """Most of its bins are 0, so that its noise cannot be seen in most of them."""
    counts = np.random.default_rng(0).poisson(0.02 * DISC)
    assert 0 < signal_of(scan(counts)) < 0.2 * signal_of(scan(DISC))


def test_all_channels_add_the_same_counting_noise_to_the_sum():
    rng = np.random.default_rng(1)
    other = disc_stack([[(-6.0, -2.0, 4.0, 1.0)]] * 3)
    strong, weak = 1000 * DISC, 10 * other
    scans = {name: scan(rng.poisson(v).astype(float)) for name, v in (("Cu", strong), ("Zn", weak))}
    signals = {name: signal_of(channel) for name, channel in scans.items()}
    total = sum_channels(scans, signals)
    parts = [scans[name].projections / np.sqrt(signals[name]) for name in scans]
    np.testing.assert_allclose(total.projections, sum(parts), rtol=1e-5)
    spread = [np.std((part - v / np.sqrt(s))[v > 0.5 * v.max()]) for part, v, s in
              zip(parts, (strong, weak), signals.values(), strict=True)]  # fmt: skip
    assert 0.5 < spread[0] / spread[1] < 2


def test_the_sum_has_the_views_and_bins_that_all_channels_have():
    mask = np.ones(DISC.shape, bool)
    mask[4, 1, 5] = False
    scans = {
        "Cu": scan(DISC).take_views(np.arange(1, 20)),
        "Zn": scan(2 * DISC, mask=mask).take_views(np.delete(np.arange(20), 7)),
        "none": scan(DISC),
    }
    total = sum_channels(scans, {"Cu": 1.0, "Zn": 4.0, "none": 0.0})
    kept = np.delete(np.arange(1, 20), 6)
    np.testing.assert_array_equal(total.theta_rad, THETA[kept])
    np.testing.assert_allclose(total.projections, np.where(mask, 2 * DISC, 0)[kept], rtol=1e-5)
    np.testing.assert_array_equal(total.mask, mask[kept])


def test_views_are_matched_by_angle_in_the_order_of_the_file():
    theta = np.deg2rad([0, 10, 20, 20, 10, 0, 30.0])
    first, second = same_views(theta, theta[[0, 1, 3, 4, 6]])
    np.testing.assert_allclose(theta[first], theta[[0, 1, 3, 4, 6]])
    assert second.tolist() == [0, 1, 2, 3, 4]
    # Angles from a file with nine digits.
    rounded = np.deg2rad(np.round(np.rad2deg(theta + 1e-9), 9))
    assert [indices.tolist() for indices in same_views(theta, rounded[1:])] == [
        [1, 2, 3, 4, 5, 6],
        [0, 1, 2, 3, 4, 5],
    ]
    assert all(not len(indices) for indices in same_views(theta, theta[:3] + 1))
