"""The stop rule of an adaptation, on constructed errors."""

import dataclasses

import pytest

from pfitre_jax.training.round_selection import RoundErrors, select_round

FIRST = RoundErrors(interpolated=0.2, extrapolated=0.4, residual=0.1, equivariance=0.3, domain_score=0.9)


def better(factor, **others):
    """Error of turned images multiplied by a factor; the others as in the first round, or as stated."""
    return dataclasses.replace(FIRST, equivariance=0.3 * factor, **others)


def test_the_last_round_that_nothing_speaks_against_is_kept():
    choice = select_round([FIRST, better(0.8), better(0.9), better(1.6)], margin=0.01)
    assert choice.index == 2 and "from 0.3 to 0.27" in choice.reason
    assert "in round 3 the error of turned slices rose from 0.3 to 0.48" in choice.reason


@pytest.mark.parametrize("factors", [(1.1, 1.2), (0.995, 1.0), (1.1, 1.1)])
def test_the_first_prior_is_kept_where_no_later_round_is_better(factors):
    choice = select_round([FIRST, *map(better, factors)], margin=0.01)
    assert choice.index == 0 and choice.reason.startswith("the adaptation gained nothing")


def test_views_at_the_ends_alone_show_a_better_prior():
    """Turned images of the first round have its errors, which a better prior does not reproduce."""
    assert select_round([FIRST, better(1.1, extrapolated=0.39)], margin=0.01).index == 1
    assert select_round([FIRST, better(1.6, extrapolated=0.39)], margin=0.01).index == 0
    assert select_round([FIRST, better(1.1, extrapolated=0.398)], margin=0.01).index == 0


def test_without_a_round_the_first_prior_is_kept():
    choice = select_round([FIRST], margin=0.01)
    assert choice.index == 0 and "time" in choice.reason


@pytest.mark.parametrize(
    ("errors", "name"),
    [
        (better(0.5, interpolated=0.21), "between others"),
        (better(0.5, extrapolated=0.41), "at the ends"),
        (better(0.5, residual=0.11), "views in use"),
        (better(0.5, residual=float("nan")), "diverged"),
        (better(0.5, domain_score=1.3), "domain score"),
    ],
)
def test_a_round_that_is_worse_in_one_respect_is_rejected(errors, name):
    choice = select_round([FIRST, errors], margin=0.01)
    assert choice.index == 0 and name in choice.reason
    assert select_round([FIRST, errors, better(0.95)], margin=0.01).index == 2


def test_fluctuations_of_the_other_errors_do_not_reject_a_round():
    same = better(0.9, interpolated=0.2015, extrapolated=0.403, residual=0.102, domain_score=1.2)
    assert select_round([FIRST, same], margin=0.01).index == 1


def test_a_prior_without_reference_has_no_domain_score():
    first, later = (dataclasses.replace(errors, domain_score=None) for errors in (FIRST, better(0.9)))
    assert select_round([first, later], margin=0.01).index == 1


def test_the_domain_score_may_rise_where_views_at_the_ends_are_predicted_better():
    unlike = better(0.9, extrapolated=0.38, domain_score=1.5)
    assert select_round([FIRST, unlike], margin=0.01).index == 1
