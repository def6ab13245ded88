"""Measures against scikit-image and hand-made cases."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity

from pfitre_jax import metrics

RNG = np.random.default_rng(0)
TRUTH = RNG.random((40, 33)).astype(np.float32)
IMAGE = (0.8 * TRUTH + 0.1 + 0.05 * RNG.standard_normal(TRUTH.shape)).astype(np.float32)


def test_psnr():
    theirs = peak_signal_noise_ratio(TRUTH, IMAGE, data_range=1)
    np.testing.assert_allclose(metrics.psnr(jnp.asarray(IMAGE), jnp.asarray(TRUTH)), theirs, rtol=1e-5)


def test_psnr_counts_the_support_only():
    support = np.zeros((40, 33))
    support[10:20] = 1
    changed_outside = np.where(support > 0, IMAGE, 99.0)
    theirs = peak_signal_noise_ratio(TRUTH[10:20], IMAGE[10:20], data_range=1)
    np.testing.assert_allclose(
        metrics.psnr(jnp.asarray(changed_outside), jnp.asarray(TRUTH), support), theirs, rtol=1e-5
    )


@pytest.mark.parametrize("sigma", [1.5, 1.0])
def test_ssim(sigma):
    theirs = structural_similarity(
        TRUTH, IMAGE, data_range=1, gaussian_weights=True, sigma=sigma, use_sample_covariance=False
    )
    ours = metrics.ssim(jnp.asarray(IMAGE), jnp.asarray(TRUTH), sigma)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_ms_ssim_of_one_scale_is_ssim():
    image, truth = jnp.asarray(IMAGE[:31, :31]), jnp.asarray(TRUTH[:31, :31])
    np.testing.assert_allclose(metrics.ms_ssim(image, truth), metrics.ssim(image, truth), rtol=1e-5)


def test_ms_ssim_is_the_product_over_scales():
    """Two scales from scikit-image's maps, with only contrast and structure at the finer scale."""
    truth = RNG.random((48, 40))
    image = 0.7 * truth + 0.2 + 0.1 * RNG.standard_normal(truth.shape)

    def halved(a):
        return a.reshape(24, 2, 20, 2).mean(axis=(1, 3))

    def theirs(a, b):
        options = dict(data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        return structural_similarity(a, b, full=True, **options)

    # Luminance follows from the Gaussian means; the quotient is contrast and structure.
    whole = theirs(image, truth)[1]
    mx, my = (gaussian_filter(a, 1.5, truncate=3.5) for a in (image, truth))
    luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    inner = (slice(5, -5), slice(5, -5))
    contrast = (whole / luminance)[inner].mean()
    powers = np.array([0.0448, 0.2856]) / (0.0448 + 0.2856)
    expected = contrast ** powers[0] * theirs(halved(image), halved(truth))[0] ** powers[1]
    ours = metrics.ms_ssim(jnp.asarray(image, jnp.float32), jnp.asarray(truth, jnp.float32))
    # Two scales: 40 pixels halved once leave 20, twice 10.
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


def test_nrmse():
    theirs = normalized_root_mse(TRUTH, IMAGE, normalization="euclidean")
    np.testing.assert_allclose(metrics.nrmse(jnp.asarray(IMAGE), jnp.asarray(TRUTH)), theirs, rtol=1e-5)


def test_residual_is_over_valid_bins():
    measured, predicted = jnp.array([[3.0, 4.0, 7.0]]), jnp.array([[3.0, 5.0, -70.0]])
    np.testing.assert_allclose(metrics.relative_residual(predicted, measured, jnp.array([[1, 1, 0]])), 1 / 5)
