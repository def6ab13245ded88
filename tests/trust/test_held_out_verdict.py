"""Verdicts on errors that are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pfitre_jax.trust.held_out_verdict import HeldOutErrors, HeldOutVerdict

POWER = np.full(16, 100.0)
SPREAD = 1 + 0.1 * np.cos(np.arange(16))


def errors(kind, method, reference, floor=0.05):
    """Sixteen views with these relative errors; those of single views scatter by a tenth."""
    squares = lambda error: error**2 * POWER * SPREAD / SPREAD.mean()  # noqa: E731
    other = None if reference is None else squares(reference)
    return HeldOutErrors(kind, np.arange(16), squares(method), other, POWER, floor**2 * POWER)


def verdict(extrapolating, interpolating=(0.06, 0.06)):
    return HeldOutVerdict(
        "pfitre",
        errors("interpolating", *interpolating),
        errors("extrapolating", *extrapolating),
        np.arange(2),
    )


def test_errors_are_relative_to_the_power_of_the_held_out_views():
    held = errors("extrapolating", 0.2, 0.3)
    assert held.error == pytest.approx(0.2)
    assert held.reference_error == pytest.approx(0.3)
    assert held.floor == pytest.approx(0.05)


@pytest.mark.parametrize(
    "method, comparison, words",
    [
        (0.2, "better", "better than FISTA-TV (error of 0.2, FISTA-TV 0.3, noise alone 0.05)"),
        (0.301, "equal", "the data do not decide between them"),
        (0.4, "worse", "do not trust structure that FISTA-TV does not show"),
    ],
)
def test_the_extrapolated_views_decide(method, comparison, words):
    result = verdict((method, 0.3))
    assert result.extrapolating.comparison == comparison
    assert words in result.sentences[0]
    assert bool(result.warnings) == (comparison == "worse")
    assert result.record()["verdict"] == result.sentences


def test_a_difference_that_varies_between_views_is_no_difference():
    """One view of sixteen makes the error of the method larger; the others are equal."""
    held = errors("extrapolating", 0.3, 0.3)
    held.method[3] *= 3
    assert held.error > 1.02 * held.reference_error
    assert held.comparison == "equal"


def test_worse_interpolation_is_a_warning():
    result = verdict((0.3, 0.3), (0.08, 0.06))
    assert ["its prior contradicts the data" in text for text in result.warnings] == [True]


def test_no_advice_about_a_prior_that_the_method_does_not_have():
    result = dataclasses.replace(verdict((0.4, 0.3), (0.08, 0.06)), learned=False, adaptable=False)
    assert len(result.warnings) == 2
    assert not [text for text in result.sentences if "prior" in text or "rho" in text or "adapt" in text]


def test_an_interpolation_error_far_above_the_noise_shows_a_fault_of_the_scan():
    assert not verdict((0.2, 0.3), (0.09, 0.09)).sentences[1:]
    assert "2.4 times the error of noise alone" in verdict((0.2, 0.3), (0.12, 0.12)).sentences[1]


def test_fista_tv_has_no_reference():
    result = verdict((0.2, None), (0.06, None))
    assert result.sentences == [
        "pfitre predicts views beyond the measured range with an error of 0.2, noise alone 0.05"
    ]
    assert not result.warnings and result.record()["extrapolating"]["fista_tv"] is None
