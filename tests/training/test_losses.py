from __future__ import annotations

import jax
import numpy as np
import pytest

from pfitre_jax.training import losses

l1, gradient_l1 = jax.jit(losses.l1), jax.jit(losses.gradient_l1)
rms, structure = jax.jit(losses.rms), jax.jit(losses.structure)
BLANK = np.zeros((2, 6, 6), np.float32)


def test_l1_is_the_mean_distance():
    image = BLANK.copy()
    image[0, 1, 2], image[1, 3, 4] = 3.0, -5.0
    np.testing.assert_allclose(l1(image, BLANK), 8 / 72, rtol=1e-6)
    np.testing.assert_allclose(l1(BLANK, image), 8 / 72, rtol=1e-6)


@pytest.mark.parametrize("axis", [1, 2])
def test_gradient_l1_is_the_mean_step(axis):
    # A step of height 2 across the middle of one slice: one difference for each of 6 pixels, in one of the
    # two directions.
    image = BLANK.copy()
    np.moveaxis(image, axis, 0)[3:, 0] = 2.0
    np.testing.assert_allclose(gradient_l1(image, BLANK), 6 * 2 / (2 * 2 * 6 * 6), rtol=1e-6)


def test_gradient_l1_is_invariant_to_an_offset_and_l1_is_not():
    truth = np.random.default_rng(0).random(BLANK.shape, np.float32)
    image = truth + np.float32(0.25)
    np.testing.assert_allclose(gradient_l1(image, truth), 0, atol=1e-6)
    np.testing.assert_allclose(l1(image, truth), 0.25, rtol=1e-5)


def test_rms_is_the_mean_over_slices_and_has_a_gradient_where_it_is_zero():
    image = BLANK.copy()
    image[0, 2, 2], image[1] = 6.0, 3.0
    np.testing.assert_allclose(rms(image, BLANK), (1 + 3) / 2, rtol=1e-6)
    assert np.all(np.isfinite(jax.grad(losses.rms)(BLANK, BLANK)))


def test_rms_is_minimised_by_the_mean_and_l1_by_the_median():
    """One pixel is 1 in three of eight cases and 0 in the others."""
    cases = np.zeros((8, 1, 1), np.float32)
    cases[:3] = 1.0
    guesses = np.linspace(0, 1, 65, dtype=np.float32)
    # One slice of eight pixels with the same guess.
    squares = [float(rms(np.full((1, 8, 1), g), cases.reshape(1, 8, 1))) for g in guesses]
    absolute = [float(l1(np.full_like(cases, g), cases)) for g in guesses]
    np.testing.assert_allclose(guesses[np.argmin(squares)], 3 / 8, atol=1e-6)
    assert guesses[np.argmin(absolute)] == 0


def test_structure_is_zero_for_the_truth_and_has_gradients():
    rng = np.random.default_rng(2)
    truth = rng.random((1, 48, 48), np.float32)
    assert abs(float(structure(truth, truth))) < 1e-5
    noisy = truth + 0.2 * rng.standard_normal(truth.shape).astype(np.float32)
    noisier = truth + 2 * (noisy - truth)
    assert 0.01 < float(structure(noisy, truth)) < float(structure(noisier, truth)) < 1
    assert np.all(np.isfinite(jax.grad(losses.structure)(noisy, truth)))
    # Gradients are finite for dissimilar images too.
    assert np.all(np.isfinite(jax.grad(losses.structure)(1 - truth, truth)))


def test_compare_is_the_weighted_sum():
    image, truth = np.random.default_rng(1).random((2, 1, 32, 32), np.float32)
    weights = losses.LossWeights(l1=0.5, rms=2.0, gradient=0.3, ms_ssim=0.7)
    expected = 0.5 * l1(image, truth) + 2 * rms(image, truth)
    expected += 0.3 * gradient_l1(image, truth) + 0.7 * structure(image, truth)
    np.testing.assert_allclose(losses.compare(weights, image, truth), expected, rtol=1e-5)


@pytest.mark.parametrize("loss", [l1, gradient_l1, rms], ids=["l1", "gradient_l1", "rms"])
def test_loss_does_not_depend_on_the_number_of_slices(loss):
    image, truth = np.random.default_rng(1).random((2, *BLANK.shape), np.float32)
    both = float(loss(image, truth))
    assert both > 0 and float(loss(truth, truth)) <= 1.1e-4
    np.testing.assert_allclose(loss(np.tile(image, (4, 1, 1)), np.tile(truth, (4, 1, 1))), both, rtol=1e-5)
    each = [float(loss(image[i : i + 1], truth[i : i + 1])) for i in range(2)]
    np.testing.assert_allclose(np.mean(each), both, rtol=1e-5)


def laplace(result, truth, expected, support=None):
    support = np.ones(truth.shape[1:], np.float32) if support is None else support
    proposal = losses.Proposal(result, truth, expected_error=lambda: (result, expected, support))
    return losses.expected_error(proposal)


def test_the_expected_error_is_the_mean_error():
    """Among constant expectations the mean absolute error is best."""
    rng = np.random.default_rng(4)
    truth = rng.random((2, 12, 12), np.float32)
    result = truth + rng.laplace(scale=0.2, size=truth.shape).astype(np.float32)
    scales = np.linspace(0.1, 0.4, 121, dtype=np.float32)
    values = [float(laplace(result, truth, np.full_like(truth, scale))) for scale in scales]
    mean = np.abs(result - truth).mean() + losses.SMALLEST_ERROR
    np.testing.assert_allclose(scales[np.argmin(values)], mean, atol=0.0025)


def test_pixels_outside_the_support_expect_nothing():
    support = np.zeros((6, 6), np.float32)
    support[2:4, 2:4] = 1
    result, expected = BLANK + 0.5 * support, np.full_like(BLANK, 0.3)
    outside = np.where(support > 0, expected, 1e-6)
    value = float(laplace(result, BLANK, expected, support))
    np.testing.assert_allclose(value, 0.501 / 0.3 + np.log(0.3), rtol=1e-5)
    np.testing.assert_allclose(laplace(result, BLANK, outside, support), value, rtol=1e-6)


def test_bright_slices_do_not_outweigh_the_others():
    """The same slice in units of its maximum, whether that is 1 or 20."""
    rng = np.random.default_rng(6)
    truth = rng.random((1, 24, 24), np.float32)
    truth /= truth.max()
    image = truth + 0.1 * rng.random(truth.shape, np.float32)
    weights = losses.LossWeights(rms=1.0, gradient=0.5)
    plain = float(losses.compare(weights, image, truth))
    np.testing.assert_allclose(losses.compare(weights, 20 * image, 20 * truth), plain, rtol=1e-5)
    np.testing.assert_allclose(losses.compare(weights, 0.5 * image, 0.5 * truth), plain / 2, rtol=1e-5)
