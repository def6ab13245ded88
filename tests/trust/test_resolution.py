"""Fourier ring and shell correlation of images whose blur and noise are known."""

from __future__ import annotations

import numpy as np
import pytest

from pfitre_jax.geometry import Wedge
from pfitre_jax.trust.resolution import (
    FIXED_THRESHOLD,
    estimate_resolution,
    half_bit_threshold,
    half_sets,
    ring_correlation,
    shell_correlation,
)


def blurred_copies(shape, sigma, noise, seed=0):
    """Two noisy copies of a white random image under a Gaussian blur of ``sigma`` pixels along each axis.

    Returns the copies and the transfer function. At a frequency ``f`` the signal-to-noise ratio is
    ``H(f)^2 / noise^2``.
    """
    random = np.random.default_rng(seed)
    frequency = np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij")
    exponent = sum((s * f) ** 2 for s, f in zip(sigma, frequency, strict=True))
    transfer = np.exp(-2 * np.pi**2 * exponent)
    signal = np.fft.ifftn(transfer * np.fft.fftn(random.normal(size=shape))).real
    return [signal + noise * random.normal(size=shape) for _ in range(2)]


def frequency_at(snr, sigma, noise):
    """Frequency where a Gaussian blur of ``sigma`` pixels leaves the signal-to-noise ratio ``snr``."""
    return np.sqrt(-np.log(snr * noise**2)) / (2 * np.pi * sigma)


@pytest.mark.parametrize("sigma, noise", [(1.5, 0.1), (2.5, 0.03)])
def test_rings_cross_where_the_blur_leaves_the_signal_to_noise_ratio_of_the_threshold(sigma, noise):
    # Rows of independent images; the blur has no component along them.
    first, second = blurred_copies((8, 192, 192), (0, sigma, sigma), noise)
    rings = ring_correlation(first, second)
    # The correlation of two copies is SNR/(1 + SNR).
    fixed = frequency_at(FIXED_THRESHOLD / (1 - FIXED_THRESHOLD), sigma, noise)
    assert rings.resolution("0.143") == pytest.approx(1 / fixed, rel=0.03)
    snr = np.exp(-((2 * np.pi * sigma * rings.frequency) ** 2)) / noise**2
    excess = (snr / (1 + snr) - rings.half_bit)[10:]
    predicted = np.interp(0, -excess, rings.frequency[10:])
    assert rings.resolution("half-bit") == pytest.approx(1 / predicted, rel=0.03)
    middle = rings.coefficients > 50
    deviation = 1 / np.sqrt(2 * rings.coefficients[middle])
    assert np.all(np.abs(rings.correlation - snr / (1 + snr))[middle] < 5 * deviation)


def test_shells_cross_where_the_blur_leaves_the_signal_to_noise_ratio_of_the_threshold():
    sigma, noise = 1.5, 0.1
    first, second = blurred_copies((48, 64, 64), (sigma,) * 3, noise)
    fixed = frequency_at(FIXED_THRESHOLD / (1 - FIXED_THRESHOLD), sigma, noise)
    assert shell_correlation(first, second).resolution("0.143") == pytest.approx(1 / fixed, rel=0.03)


def test_sectors_show_the_direction_of_a_blur():
    """A blur along x only: frequencies along y are resolved up to the Nyquist limit."""
    sigma, noise = 2.0, 0.1
    first, second = (image[None] for image in blurred_copies((256, 256), (0, sigma), noise))
    wedge = Wedge(0.0, np.deg2rad(40.0))
    sectors = estimate_resolution(first, second, wedge, pixel_size=0.5).sectors
    assert [s.measured for s in sectors] == [False, True, True, True]
    assert sectors[0].high_deg == pytest.approx(20) and sectors[-1].high_deg == 90
    periods = [s.rings.resolution("0.143") for s in sectors]
    along_x = 1 / frequency_at(FIXED_THRESHOLD / (1 - FIXED_THRESHOLD), sigma, noise)
    assert periods[0] == pytest.approx(along_x, rel=0.06)
    assert periods[-1] == 2
    # A wedge in the other direction has the blurred directions in its last sector.
    turned = estimate_resolution(first, second, Wedge(np.pi / 2, np.deg2rad(40.0))).sectors
    assert turned[0].rings.resolution("0.143") == 2


def test_an_oblique_wedge_is_where_the_view_angle_is():
    """Waves along the direction of a view at 30 degrees: only the sector around 30 degrees has signal."""
    n, theta = 128, np.deg2rad(30)
    y, x = (n - 1) / 2 - np.arange(n)[:, None], np.arange(n)[None] - (n - 1) / 2
    t = x * np.cos(theta) + y * np.sin(theta)
    random = np.random.default_rng(1)
    wave = sum(np.cos(2 * np.pi * k / n * t + random.uniform(0, 6)) for k in range(2, 60))
    copies = [(wave + random.normal(size=(n, n)))[None] for _ in range(2)]
    sector = np.deg2rad((0.0, 10.0))
    along = ring_correlation(*copies, wedge_center_rad=theta, sector_rad=sector)
    across = ring_correlation(*copies, wedge_center_rad=-theta, sector_rad=sector)
    assert along.correlation[10:55].min() > 0.9
    assert np.abs(across.correlation[10:55]).mean() < 0.3


@pytest.mark.parametrize("correlate", [ring_correlation, shell_correlation])
def test_white_noise_has_no_resolution(correlate):
    random = np.random.default_rng(2)
    none, scores = 0, []
    for _ in range(10):
        first, second = random.normal(size=(2, 20, 48, 48))
        rings = correlate(first, second)
        none += rings.resolution("half-bit") is None
        # Few coefficients exceed a fixed threshold by chance.
        fixed = rings.resolution("0.143")
        assert fixed is None or fixed > 8
        scores += list((rings.correlation * np.sqrt(2 * rings.coefficients))[2:])
    assert none >= 9
    # The real part of a correlation of m independent complex coefficients has the variance 1/(2m).
    assert 0.7 < np.std(scores) < 1.15


def test_equal_halves_are_resolved_up_to_the_nyquist_limit():
    image = np.random.default_rng(3).normal(size=(1, 64, 64))
    resolution = estimate_resolution(image, image, Wedge(0.0, 0.0), pixel_size=0.02)
    assert resolution.rings.resolution() == 2
    record = resolution.record()
    assert record["rings"]["um"] == {"half-bit": pytest.approx(0.04), "0.143": pytest.approx(0.04)}
    assert record["shells"] is None and len(record["sectors"]) == 3


def test_thresholds():
    assert half_bit_threshold(1e12) == pytest.approx(0.2071 / 1.2071, rel=1e-4)
    assert half_bit_threshold(1) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"expected the same shape \(rows, ny, nx\)"):
        ring_correlation(np.zeros((1, 8, 8)), np.zeros((1, 8, 9)))


def test_half_sets_alternate_in_angular_order():
    order = np.array([3, 0, 4, 1, 2])
    sets = half_sets(np.deg2rad(10.0 + 20 * order))
    assert np.array_equal(sets.sum(axis=0), np.ones(5))
    assert len({float(sets[0, k]) for k in range(5) if order[k] % 2 == 0}) == 1
    assert len({float(sets[0, k]) for k in range(5) if order[k] % 2 == 1}) == 1
