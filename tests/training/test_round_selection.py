"""The stop rule of an adaptation, on constructed errors."""

import dataclasses

import pytest

from pfitre_jax.training.round_selection import RoundErrors, prediction_ratio, select_round

FIRST = RoundErrors(interpolated=0.2, extrapolated=0.4, residual=0.1, equivariance=0.3)


def scaled(factor, **others):
    """Errors of the held-out views multiplied by a factor."""
    scaled = dataclasses.replace(FIRST, interpolated=0.2 * factor, extrapolated=0.4 * factor)
    return dataclasses.replace(scaled, **others)


def test_both_kinds_of_views_count_alike():
    assert prediction_ratio(FIRST, FIRST) == 1
    for name in ("interpolated", "extrapolated"):
        errors = dataclasses.replace(FIRST, **{name: getattr(FIRST, name) / 2})
        assert prediction_ratio(errors, FIRST) == pytest.approx((1.25 / 2) ** 0.5)


def test_the_round_with_the_smallest_prediction_error_is_kept():
    choice = select_round([FIRST, scaled(0.9), scaled(0.8), scaled(0.85)], margin=0.01)
    assert choice.index == 2 and "0.800" in choice.reason


@pytest.mark.parametrize("factors", [(1.1, 1.2), (1.0, 1.3), (0.995, 1.0), ()])
def test_the_first_prior_is_kept_where_later_rounds_are_worse(factors):
    choice = select_round([FIRST, *map(scaled, factors)], margin=0.01)
    assert choice.index == 0 and choice.reason


@pytest.mark.parametrize(
    ("errors", "name"),
    [
        (scaled(0.5, interpolated=0.21), "between others"),
        (scaled(0.5, extrapolated=0.5), "at the ends"),
        (scaled(0.5, equivariance=0.4), "turned images"),
        (scaled(0.5, residual=0.11), "views in use"),
        (scaled(0.5, residual=float("nan")), "diverged"),
    ],
)
def test_a_round_that_is_worse_in_one_respect_is_rejected(errors, name):
    choice = select_round([FIRST, errors], margin=0.01)
    assert choice.index == 0 and name in choice.reason
    assert select_round([FIRST, errors, scaled(0.95)], margin=0.01).index == 2
