"""Conformal factors, cells, and measures of intervals, on scores whose distribution is known."""

from __future__ import annotations

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.trust.intervals import (
    SMALLEST_GRADIENT,
    SMALLEST_SCALE,
    area_under_curve,
    calibrate_cells,
    combined_scale,
    conformal_factor,
    gradient_magnitude,
    interval,
    local_contrast,
    share_wider_than_contrast,
    sharpened_scale,
    smooth_scale,
)


def slices(rng, count, pixels=50, ties=None):
    """Scores of exchangeable slices: each has its own level, as slices of different samples have."""
    levels = np.exp(rng.normal(size=count))
    scores = [level * np.abs(rng.normal(size=pixels)) for level in levels]
    return scores if ties is None else [np.round(values / ties) * ties for values in scores]


@pytest.mark.parametrize("count", [9, 10, 19, 40])
@pytest.mark.parametrize("ties", [None, 0.5])
def test_the_expected_coverage_of_a_new_slice_is_the_level(count, ties):
    """At least 90%, and without ties at most 1/(n + 1) more, whatever the number of slices."""
    rng, trials = np.random.default_rng(count), 600
    covered = []
    for _ in range(trials):
        *seen, new = slices(rng, count + 1, ties=ties)
        covered.append(np.mean(new <= conformal_factor(seen)))
    error = 3 * np.std(covered) / math.sqrt(trials)
    assert np.mean(covered) > 0.9 - error
    assert ties or np.mean(covered) < 0.9 + 1 / (count + 1) + 0.01 + error


@pytest.mark.parametrize("count", [9, 10, 12, 19, 20, 99])
def test_a_pixel_for_each_slice_is_split_conformal_prediction(count):
    """Its factor is the ceil((n + 1) level)-th smallest score (Vovk et al.)."""
    scores = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
    assert conformal_factor([np.array([s]) for s in scores]) == math.ceil((count + 1) * 0.9 - 1e-9)


def test_too_few_slices_have_no_finite_factor():
    assert conformal_factor([np.ones(5)] * 8) == math.inf and conformal_factor([]) == math.inf
    assert conformal_factor([np.ones(5)] * 9) == 1
    assert conformal_factor([np.ones(5)] * 4, level=0.8) == 1


def test_a_large_slice_does_not_outweigh_small_ones():
    small, large = [np.full(3, 1.0)] * 18, [np.full(1000, 9.0)]
    assert conformal_factor(small + large) == 1


@pytest.mark.parametrize(
    ("scores", "level", "message"),
    [
        ([np.array([])], 0.9, "no score"),
        ([np.array([np.nan])] * 20, 0.9, "negative or NaN"),
        ([np.array([-1.0])] * 20, 0.9, "negative or NaN"),
        ([np.ones(1)] * 20, 1.0, "between 0 and 1"),
    ],
)
def test_invalid_scores_are_refused(scores, level, message):
    with pytest.raises(ValueError, match=message):
        conformal_factor(scores, level)


def test_cells_have_the_factors_of_their_own_slices_and_small_ones_are_left_to_wider_ones():
    rng = np.random.default_rng(1)
    # Two wedges and two noise levels; the wide wedge with much noise occurs 5 times only.
    wedge, noise = np.repeat([40.0, 90.0, 40.0, 90.0], [30, 30, 30, 5]), np.repeat([0.001, 0.02], [60, 35])
    spread = {(40.0, 0.001): 1.0, (90.0, 0.001): 2.0, (40.0, 0.02): 3.0, (90.0, 0.02): 4.0}
    scores = [
        spread[float(w), float(n)] * np.abs(rng.normal(size=400)) for w, n in zip(wedge, noise, strict=True)
    ]
    cells = calibrate_cells(scores, wedge, noise, wedge_edges=(20, 60, 120), noise_edges=(5e-4, 5e-3, 5e-2))
    found = {(cell.wedge_deg, cell.noise): cell for cell in cells}
    low, high = (5e-4, 5e-3), (5e-3, 5e-2)
    assert set(found) == {
        *itertools.product([(20, 60)], [low, high, (5e-4, 5e-2)]),
        *itertools.product([(60, 120)], [low, (5e-4, 5e-2)]),
        ((20, 120), (5e-4, 5e-2)),
    }
    # 90% of |N(0, 1)| is below 1.645; with 30 slices the factor is that of (0.9 * 31)/30 = 93%, 1.81.
    for key, expected in ((((20, 60), low), 1.81), (((20, 60), high), 3 * 1.81)):
        assert found[key].factor == pytest.approx(expected, rel=0.05) and found[key].slices == 30
    assert found[(20, 120), (5e-4, 5e-2)].slices == 95


def test_too_few_slices_for_any_cell_are_refused():
    edges = {"wedge_edges": (20, 90), "noise_edges": (0.001, 0.1)}
    scores, noise = [np.ones(4)] * 30, [0.01] * 30
    with pytest.raises(
        ValueError, match="3 of 30 slices within the limits of the cells; expected at least 20"
    ):
        calibrate_cells(scores, [50] * 3 + [100] * 27, noise, **edges)
    with pytest.raises(ValueError, match=r"30 of 30 slices within the limits .* at least 99"):
        calibrate_cells(scores, [50] * 30, noise, level=0.99, **edges)
    with pytest.raises(ValueError, match="scores of 30 slices, wedge_deg of 29 and noise of 30"):
        calibrate_cells(scores, [50] * 29, noise, **edges)


def test_a_common_factor_of_either_scale_is_a_common_factor_of_both():
    a, b = np.random.default_rng(0).uniform(0.1, 1, (2, 2, 5, 5)).astype(np.float32)
    np.testing.assert_allclose(combined_scale(4 * a, b), 2 * combined_scale(a, b), rtol=1e-5)
    np.testing.assert_allclose(combined_scale(a, None), a)
    assert float(combined_scale(0 * a, None).min()) == np.float32(SMALLEST_SCALE)
    with pytest.raises(ValueError, match="neither"):
        combined_scale(None, None)


def test_the_gradient_of_a_ramp_is_its_slope():
    i, j = np.indices((9, 7))
    gradient = np.asarray(gradient_magnitude(jnp.asarray(0.3 * i - 0.4 * j, jnp.float32)))
    np.testing.assert_allclose(gradient[1:-1, 1:-1], 0.5, rtol=1e-5)
    np.testing.assert_allclose(gradient_magnitude(jnp.full((2, 5, 6), 3.0)), 0)


def test_the_scale_is_the_geometric_mean_of_the_expected_error_and_the_gradient():
    expected = jnp.asarray(np.random.default_rng(0).uniform(0.1, 1, (12, 12)), jnp.float32)
    ramp = 0.4 * jnp.arange(12.0)[None, :] + jnp.zeros((12, 1))
    np.testing.assert_allclose(sharpened_scale(expected, ramp, 0.0), expected, rtol=1e-6)
    sharpened = sharpened_scale(expected, ramp, 0.25)[:, 3:-3]
    wanted = expected[:, 3:-3] ** 0.75 * (0.4 + SMALLEST_GRADIENT) ** 0.25
    np.testing.assert_allclose(sharpened, wanted, rtol=1e-5)


def test_the_scale_is_large_where_a_displaced_edge_is_wrong():
    """The prior expects the same error everywhere; without the gradient the area would be one half."""
    across = np.arange(64.0) - 31.5 + np.zeros((4, 1))
    image, truth = np.tanh(across / 3) / 2, np.tanh((across - 0.5) / 3) / 2
    error = np.abs(image - truth).ravel()
    scale = np.asarray(sharpened_scale(jnp.full((4, 64), 0.1), jnp.asarray(image, jnp.float32), 1 / 3))
    assert area_under_curve(scale.ravel(), error >= np.quantile(error, 0.9)) > 0.95


def test_smoothing_keeps_constants_and_spreads_a_pixel():
    np.testing.assert_allclose(smooth_scale(jnp.full((3, 6, 7), 2.0)), 2)
    pixel = jnp.zeros((7, 7)).at[3, 3].set(16.0)
    np.testing.assert_allclose(smooth_scale(pixel)[2:5, 2:5], np.outer([1, 2, 1], [1, 2, 1]))


def test_limits_of_a_nonnegative_method_are_not_negative():
    x, width = np.array([[0.0, 0.5]]), np.array([[0.2, 0.2]])
    lower, upper = interval(x, width, nonnegative=True)
    assert lower.tolist() == [[0.0, 0.3]] and upper.tolist() == [[0.2, 0.7]]
    assert interval(x, width, nonnegative=False)[0].tolist() == [[-0.2, 0.3]]


def test_the_local_contrast_is_that_of_the_window():
    image = np.zeros((40, 40))
    image[20, 20] = 3.0
    contrast = local_contrast(image, 15)
    assert np.all(contrast[13:28, 13:28] == 3) and contrast.sum() == 3 * 15**2


def test_the_share_counts_pixels_near_structure_only():
    image, support = np.zeros((60, 60)), np.ones((60, 60), bool)
    image[10, 10], image[50, 50] = 1.0, 4.0
    # Twice 15 x 15 pixels are near structure; the interval of 2 is wider than the contrast of one of them.
    half = np.ones_like(image)
    assert share_wider_than_contrast(image, image - half, image + half, support) == 0.5
    support[:30] = False
    assert share_wider_than_contrast(image, image - half, image + half, support) == 0
    assert np.isnan(share_wider_than_contrast(0 * image, image, image, support))


def test_the_area_under_the_curve_is_the_probability_of_a_higher_score():
    rng = np.random.default_rng(3)
    score, positive = rng.integers(0, 6, 80).astype(float), rng.random(80) < 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    assert area_under_curve(score, positive) == pytest.approx(np.mean(pairs))
    assert np.isnan(area_under_curve(score, np.ones(80, bool)))
