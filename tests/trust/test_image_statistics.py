"""Image statistics that distinguish circuits from other images: closed-form values and the distance."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pfitre_jax.trust.image_statistics import STATISTICS, domain_scores, reference_statistics, statistics

measure = jax.jit(statistics)


def named_statistics(image) -> dict[str, float]:
    return dict(zip(STATISTICS, np.asarray(measure(np.asarray(image, np.float32))), strict=True))


def shape(kind: str, n: int = 128, turn_deg: float = 0.0, width: float = 40.0):
    """A smooth-edged square or disc of value 1 in air."""
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    u, v = c * x + s * y, -s * x + c * y
    inside = np.maximum(abs(u), abs(v)) < width if kind == "square" else np.hypot(x, y) < width
    return gaussian_filter(inside.astype(float), 1.5)


@pytest.mark.parametrize("turn_deg", [0.0, 17.0, 45.0, 71.0])
def test_order_is_one_for_right_angles_in_any_orientation(turn_deg):
    # Slightly below 1, because the corners are rounded.
    assert named_statistics(shape("square", turn_deg=turn_deg))["order"] > 0.93


def test_order_is_zero_where_edges_run_in_all_directions():
    assert named_statistics(shape("disc"))["order"] < 0.03


def test_sharpness_of_a_wave():
    """``sin(k x)`` has ``k^2`` of its power in its gradient."""
    n, k = 256, 2 * np.pi / 32
    wave = np.tile(np.sin(k * np.arange(n)), (n, 1))
    assert named_statistics(wave)["sharpness"] == pytest.approx(2 * np.log(k), abs=0.1)
    assert named_statistics(5 * wave)["sharpness"] == pytest.approx(
        named_statistics(wave)["sharpness"], abs=1e-3
    )


def test_level_is_the_brightness_of_the_material():
    assert named_statistics(0.4 * shape("disc", width=40))["level"] == pytest.approx(np.log(0.4), abs=0.05)


def test_spread_is_the_area_of_the_edges_over_that_of_the_material():
    """A disc twice as large has twice the edge and four times the area."""
    small, large = (named_statistics(shape("disc", n=256, width=w))["spread"] for w in (30, 60))
    assert small - large == pytest.approx(np.log(2), abs=0.1)


def test_statistics_are_invariant_to_padding_and_quarter_turns():
    image = shape("square", turn_deg=17.0) + 0.5 * shape("disc", width=30)
    expected = list(named_statistics(image).values())
    np.testing.assert_allclose(list(named_statistics(np.pad(image, 40)).values()), expected, atol=1e-3)
    np.testing.assert_allclose(list(named_statistics(np.rot90(image)).values()), expected, atol=1e-3)


def test_a_blank_image_has_finite_statistics():
    assert np.all(np.isfinite(measure(np.zeros((16, 16), np.float32))))


def test_distance_exceeds_its_limit_for_5_percent_of_reference_images():
    """The reference has two separate clusters, with no images between them."""
    generator = np.random.default_rng(0)
    draw = lambda n: generator.normal(size=(n, 4)) + 20 * generator.integers(0, 2, (n, 1))  # noqa: E731
    reference = reference_statistics(draw(300))
    assert np.mean(domain_scores(reference, draw(2000)) > 1) == pytest.approx(0.05, abs=0.025)
    assert domain_scores(reference, np.full((1, 4), 10.0))[0] > 3
    # Far from the reference the score grows linearly, in units of the deviation of the nearer cluster.
    far = domain_scores(reference, np.full((1, 4), 20.0) + np.array([[1000.0, 0, 0, 0], [2000.0, 0, 0, 0]]))
    np.testing.assert_allclose(far[1] / far[0], 2, rtol=0.01)
    np.testing.assert_allclose(far[0] * reference["limit"] * reference["deviation"][0], 1000, rtol=0.01)


@pytest.mark.parametrize("images", [[], [[1, 2, 3, 4]] * 3, [[1, 2, 3]] * 5])
def test_too_few_images_and_wrong_statistics_are_refused(images):
    with pytest.raises(ValueError, match=r"statistics of shape .*; expected \(images, 4\), more than 3"):
        reference_statistics(images)
