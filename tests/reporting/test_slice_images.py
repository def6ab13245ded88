"""Images inside a page: what is decoded is what was encoded, and the page stays within its size."""

import numpy as np
import pytest
from html_pages import pixels

from pfitre_jax.reporting.slice_images import (
    MAX_ROWS,
    PIXEL_BUDGET,
    bin_image,
    choose_sampling,
    gray_png,
    shade_png,
    signed_png,
)


def test_grey_levels_are_linear_between_black_and_white():
    values = np.array([[-1.0, 0.0, 0.5], [1.0, 2.0, np.nan]])
    np.testing.assert_array_equal(pixels(gray_png(values, 0.0, 1.0)), [[0, 0, 128], [255, 255, 0]])


def test_a_shade_has_one_colour_and_an_opacity_in_proportion():
    decoded = pixels(shade_png(np.array([[0.0, 0.5, 1.0, 3.0]]), "#ff8000"))
    np.testing.assert_array_equal(decoded[0, :, :3], [[255, 128, 0]] * 4)
    np.testing.assert_allclose(decoded[0, :, 3] / 255, [0, 0.4, 0.8, 0.8], atol=0.8 / 30 + 0.01)


def test_differences_are_blue_below_and_red_above_zero():
    (negative, none, positive), *_ = pixels(signed_png(np.array([[-1.0, 0.0, 1.0]]), 1.0))
    assert negative[2] > negative[0] + 50 and positive[0] > positive[2] + 50
    assert min(none[:3]) > 240


@pytest.mark.parametrize("shape", [(8, 6), (7, 9)])
def test_binned_pixels_are_means(shape):
    image = np.random.default_rng(0).random(shape)
    image[:3, :3] = np.nan
    binned = bin_image(image, 3)
    assert binned.shape == (-(-shape[0] // 3), -(-shape[1] // 3))
    for i in range(binned.shape[0]):
        for j in range(binned.shape[1]):
            mean = image[3 * i : 3 * i + 3, 3 * j : 3 * j + 3].mean()
            assert binned[i, j] == pytest.approx(mean, nan_ok=True)


@pytest.mark.parametrize("rows", [1, 2, 84, 500, 2000])
@pytest.mark.parametrize("side", [16, 150, 212, 700, 4096])
def test_any_volume_fits_and_shows_its_middle_row(rows, side):
    sampling = choose_sampling(rows, (side, side), 3.0, rows // 2)
    shown = len(sampling.indices)
    assert shown <= MAX_ROWS and rows // 2 in sampling.indices
    assert np.all(np.diff(sampling.indices) > 0) and sampling.indices.max() < rows
    assert shown * 3.0 * (side / sampling.factor) ** 2 <= PIXEL_BUDGET * 1.001


def test_a_small_scan_is_shown_completely():
    sampling = choose_sampling(84, (212, 212), 3.0, 42)
    np.testing.assert_array_equal(sampling.indices, np.arange(84))
    assert sampling.factor == 1
