"""Signal of channels, their sum, and the views that they share."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import THETA, disc_stack

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.channels import ChannelSignal, same_views, sum_channels

DISC = disc_stack([[(3.0, 1.0, 6.0, 1.0)]] * 3)


def scan(values: np.ndarray, **options) -> Scan:
    return Scan.create(values, THETA, center=17.0, **options)


def noise(size: float, seed: int = 0) -> np.ndarray:
    return size * np.random.default_rng(seed).standard_normal(DISC.shape)


def test_the_noise_and_the_slopes_of_a_channel_are_estimated():
    ratios = []
    for size in (1.0, 3.0):
        signal = ChannelSignal.of(scan(DISC + noise(size)))
        assert signal.noise == pytest.approx(size, rel=0.25)
        inside = DISC[:, :, 1:-1] > 0.5 * np.sqrt(np.mean(DISC**2))
        slope = np.sqrt(np.mean(np.square((DISC[:, :, 2:] - DISC[:, :, :-2])[inside] / 2)))
        assert signal.ratio == pytest.approx(slope / size, rel=0.4)
        ratios.append(signal.ratio)
    assert ratios[1] < ratios[0] < ChannelSignal.of(scan(DISC)).ratio
    # Noise alone has no slopes of its own, and the unit does not matter.
    assert ChannelSignal.of(scan(noise(5.0))).ratio < 0.2
    scaled = ChannelSignal.of(scan(1e-3 * (DISC + noise(1.0))))
    assert scaled.ratio == pytest.approx(ratios[0], rel=1e-3)
    # An invalid bin has no part in it.
    spoilt, mask = DISC + noise(1.0), np.ones(DISC.shape, bool)
    spoilt[3, 1, 9], mask[3, 1, 9] = 1e6, False
    assert ChannelSignal.of(scan(spoilt, mask=mask)).ratio == pytest.approx(ratios[0], rel=0.05)


def test_a_sparse_channel_of_few_counts_is_weak():
    """Most of its bins are 0, so that its noise cannot be seen in most of them."""
    rng = np.random.default_rng(0)
    ratios = [ChannelSignal.of(scan(rng.poisson(dose * DISC))).ratio for dose in (0.02, 1, 30, 1000)]
    assert ratios == sorted(ratios) and ratios[0] < 0.2 < 2 < ratios[-1]


def test_all_channels_add_the_same_noise_to_the_sum():
    rng = np.random.default_rng(1)
    other = disc_stack([[(-6.0, -2.0, 4.0, 1.0)]] * 3)
    clean = {"Cu": 60 * DISC, "Zn": 10 * other}
    scans = {name: scan(rng.poisson(values).astype(float)) for name, values in clean.items()}
    signals = {name: ChannelSignal.of(channel) for name, channel in scans.items()}
    total = sum_channels(scans, signals)
    parts = {name: scans[name].projections / signals[name].noise for name in scans}
    np.testing.assert_allclose(total.projections, sum(parts.values()), rtol=1e-5)
    spread = [
        np.std((parts[name] - clean[name] / signals[name].noise)[clean[name] > 0.5 * clean[name].max()])
        for name in scans
    ]
    assert all(0.4 < size < 1.6 for size in spread), spread


def test_the_sum_has_the_views_and_bins_that_all_channels_have():
    mask = np.ones(DISC.shape, bool)
    mask[4, 1, 5] = False
    scans = {
        "Cu": scan(DISC).take_views(np.arange(1, 20)),
        "Zn": scan(2 * DISC, mask=mask).take_views(np.delete(np.arange(20), 7)),
    }
    total = sum_channels(scans, {"Cu": ChannelSignal(1.0, 1.0), "Zn": ChannelSignal(2.0, 1.0)})
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
