"""Areas on a grid are exact."""

from __future__ import annotations

import numpy as np
import pytest

from pfitre_jax.twin.scenes.raster import averaging_matrix, coverage, resample

TRIANGLE = np.array([(0.3, 0.2), (6.7, 1.2), (3.1, 7.9)])


def area(p):
    x, y = p.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


@pytest.mark.parametrize("polygon", [TRIANGLE, TRIANGLE[::-1]])
@pytest.mark.parametrize("pixel", [(1.0, 1.0), (0.3, 0.7)])
def test_pixels_sum_to_the_area_of_a_polygon(polygon, pixel):
    image = coverage([polygon], -1, -1, pixel, (30, 40))
    assert image.min() >= 0 and image.max() == pytest.approx(1)
    assert image.sum() * pixel[0] * pixel[1] == pytest.approx(area(polygon), rel=1e-5)


def test_a_polygon_is_at_its_coordinates():
    image = coverage([TRIANGLE], 0, 0, (0.1, 0.1), (90, 90))
    y, x = (np.mgrid[:90, :90] + 0.5) * 0.1
    centre = [(image * c).sum() / image.sum() for c in (x, y)]
    np.testing.assert_allclose(centre, TRIANGLE.mean(axis=0), atol=1e-4)


def test_each_pixel_of_a_rectangle_is_its_overlap():
    image = coverage([[(0.3, 0.25), (2.6, 0.25), (2.6, 2.0), (0.3, 2.0)]], 0, 0, (1, 1), (3, 4))
    np.testing.assert_allclose(image, np.outer([0.75, 1, 0], [0.7, 1, 0.6, 0]), atol=1e-6)


def test_a_window_equals_the_crop_of_the_whole():
    whole = coverage([TRIANGLE], -3, -3, (1, 1), (15, 15))
    np.testing.assert_allclose(coverage([TRIANGLE], 1, 2, (1, 1), (4, 4)), whole[5:9, 4:8], atol=1e-6)


def test_no_polygons_give_an_empty_image():
    assert not coverage([], 0, 0, (1, 1), (3, 3)).any()
    assert not coverage([TRIANGLE], 20, 0, (1, 1), (9, 9)).any()
    assert not coverage([TRIANGLE], -20, 0, (1, 1), (9, 9)).any()


def test_averaging_keeps_means_and_follows_a_slope():
    matrix = averaging_matrix(2.3, 10.5, 20, 6)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    # The mean of a straight line over a part is its value in the middle of pixels that lie wholly inside.
    middles = 2.0 + 12 * (np.arange(3) + 0.5) / 3
    np.testing.assert_allclose(averaging_matrix(2, 12, 20, 3) @ (np.arange(20) + 0.5), middles)


def test_resampling_follows_a_slope_both_ways():
    y, x = np.mgrid[:24, :32] + 0.5
    for side in (6, 48):
        step = 12 / side
        got = resample(2 * x - y, 4, 10, 12, side)
        at = (np.arange(side) + 0.5) * step
        np.testing.assert_allclose(got, 2 * (10 + at[None]) - (4 + at[:, None]), atol=1e-9)
