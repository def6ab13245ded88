from __future__ import annotations

import jax
import numpy as np
import pytest

from pfitre_jax.training import losses

l1, gradient_l1 = jax.jit(losses.l1), jax.jit(losses.gradient_l1)
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


def test_gradient_l1_does_not_see_an_offset_and_l1_does():
    truth = np.random.default_rng(0).random(BLANK.shape, np.float32)
    image = truth + np.float32(0.25)
    np.testing.assert_allclose(gradient_l1(image, truth), 0, atol=1e-6)
    np.testing.assert_allclose(l1(image, truth), 0.25, rtol=1e-5)


@pytest.mark.parametrize("loss", [l1, gradient_l1], ids=["l1", "gradient_l1"])
def test_loss_does_not_depend_on_the_number_of_slices(loss):
    image, truth = np.random.default_rng(1).random((2, *BLANK.shape), np.float32)
    both = float(loss(image, truth))
    assert both > 0 and float(loss(truth, truth)) == 0
    np.testing.assert_allclose(loss(np.tile(image, (4, 1, 1)), np.tile(truth, (4, 1, 1))), both, rtol=1e-5)
    each = [float(loss(image[i : i + 1], truth[i : i + 1])) for i in range(2)]
    np.testing.assert_allclose(np.mean(each), both, rtol=1e-5)
