"""The stop rule of an adaptation, on constructed errors."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfitre_jax.training.round_selection import RoundErrors, best_predicted, select_round

FIRST = RoundErrors(interpolated=0.2, extrapolated=0.4, residual=0.1, equivariance=0.3, domain_score=0.9)
MARGIN = 0.02


def better(factor, **others):
    """Errors of held-out views multiplied by a factor; the others as in the first round, or as stated."""
    return dataclasses.replace(FIRST, **{"interpolated": 0.2 * factor, "extrapolated": 0.4 * factor} | others)


def test_the_round_that_predicts_held_out_views_best_is_kept():
    choice = select_round([FIRST, better(0.95), better(0.9), better(0.93)], MARGIN)
    assert choice.index == 2 and "0.4 to 0.36" in choice.reason and "0.2 to 0.18" in choice.reason


@pytest.mark.parametrize("factors", [(1.1, 1.2), (0.985, 1.0), (1.1, 0.99)])
def test_the_first_prior_is_kept_where_no_round_predicts_better_by_the_margin(factors):
    choice = select_round([FIRST, *map(better, factors)], MARGIN)
    assert choice.index == 0 and choice.reason.startswith("the adaptation gained nothing")
    assert "not predicted at least 2% better" in choice.reason


def test_one_kind_of_held_out_views_may_outweigh_the_other():
    """The geometric mean of both ratios counts: 0.9 and 1.02 are better by 4%, 0.9 and 1.1 by 0.5%."""
    ends = {"extrapolated": 0.36}
    assert select_round([FIRST, better(1, interpolated=0.204, **ends)], MARGIN).index == 1
    assert select_round([FIRST, better(1, interpolated=0.22, **ends)], MARGIN).index == 0


def test_without_a_round_the_first_prior_is_kept():
    choice = select_round([FIRST], MARGIN)
    assert choice.index == 0 and "time" in choice.reason


@pytest.mark.parametrize(
    ("errors", "name"),
    [
        (better(0.5, residual=0.11), "views in use"),
        (better(0.5, equivariance=0.46), "rotated slices rose from 0.3 to 0.46"),
        (better(0.5, residual=float("nan")), "diverged"),
    ],
)
def test_a_round_that_is_worse_in_one_respect_is_rejected(errors, name):
    choice = select_round([FIRST, errors], MARGIN)
    assert choice.index == 0 and name in choice.reason
    assert select_round([FIRST, errors, better(0.95)], MARGIN).index == 2


def test_fluctuations_of_the_other_errors_do_not_reject_a_round():
    assert select_round([FIRST, better(0.9, residual=0.102, equivariance=0.4)], MARGIN).index == 1


def test_the_domain_score_does_not_decide():
    assert select_round([FIRST, better(0.9, domain_score=3.0)], MARGIN).index == 1
    first, later = (dataclasses.replace(errors, domain_score=None) for errors in (FIRST, better(0.9)))
    assert select_round([first, later], MARGIN).index == 1


def test_a_round_that_diverged_predicts_nothing():
    assert best_predicted([FIRST, better(float("nan")), better(1.1)]) == 0
    assert best_predicted([FIRST, better(0.99), better(float("nan"))]) == 1


@given(st.lists(st.floats(0.5, 1.5), min_size=1, max_size=8), st.floats(1e-3, 1e3))
def test_the_unit_of_the_errors_does_not_matter(factors, unit):
    rounds = [FIRST, *map(better, factors)]
    scaled = [RoundErrors(*(unit * e for e in dataclasses.astuple(r)[:4])) for r in rounds]
    chosen, index = select_round(rounds, MARGIN).index, select_round(scaled, MARGIN).index
    ratios = [r.prediction_ratio(FIRST) for r in rounds]
    # Rounding may exchange rounds that are equally good, or decide at the margin.
    assert math.isclose(ratios[chosen], ratios[index], rel_tol=MARGIN + 1e-9)
