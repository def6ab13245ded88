"""Adaptation of a prior to a scan: held-out views, rounds, and the prior that is kept."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from two_scenes import THETA, small_prior, two_scene_scan

from pfitre_jax.priors.network import find_network_prior
from pfitre_jax.priors.tv import TV
from pfitre_jax.priors.window import Windowed
from pfitre_jax.solvers.hqs import HQS, learned_loop
from pfitre_jax.training.adaptation import adapt_prior
from pfitre_jax.training.adaptation_programs import replace_network
from pfitre_jax.training.adaptation_settings import AdaptationSettings, HeldOutViews

SETTINGS = AdaptationSettings(
    rounds=3, steps=10, batch=2, iterations=2, rate=3e-3, predicted_iterations=2, patience=3
)
PRIOR = small_prior()
LOOP = HQS(PRIOR, 0.02)


@pytest.fixture(scope="module")
def scan():
    """Two scenes and their data over 90 degrees: problem, sinograms, masks."""
    return two_scene_scan()


@pytest.fixture(scope="module")
def adapted(scan):
    return adapt_prior(LOOP, PRIOR, *scan, 0.05, SETTINGS)


@pytest.mark.parametrize("views", [12, 13, 30, 51, 181])
def test_views_are_held_out_between_others_and_at_both_ends(views):
    rng = np.random.default_rng(views)
    order = rng.permutation(views)
    theta = np.linspace(-0.8, 0.8, views)[order]
    held_out = HeldOutViews.select(theta)
    ends, between = (np.sort(theta[views]) for views in (held_out.extrapolated, held_out.interpolated))
    assert theta.min() == ends[0] and theta.max() == ends[-1]
    assert between.size >= 1 and not np.any(held_out.interpolated & held_out.extrapolated)
    inside = theta[held_out.used]
    assert np.all((between > inside.min()) & (between < inside.max()))
    assert np.all((ends < inside.min()) | (ends > inside.max()))
    assert 0.7 < held_out.used.mean() < 0.95


def test_too_few_views_are_refused():
    with pytest.raises(ValueError, match="the scan has 8 views; expected at least 12"):
        HeldOutViews.select(THETA[:8])


@pytest.mark.parametrize("name", ["rounds", "steps", "iterations", "minutes"])
def test_invalid_settings_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is 0; expected"):
        AdaptationSettings(**{name: 0})


def test_the_network_inside_a_loop_is_replaced():
    other = dataclasses.replace(PRIOR, symmetric=False)
    loop = replace_network(learned_loop(Windowed(PRIOR, 10, 20), 0.1), other)
    assert find_network_prior(loop.solver.prior) is other
    with pytest.raises(TypeError, match="HQS contains no NetworkPrior"):
        replace_network(HQS(TV(0.1), 0.1), other)


def test_adaptation_improves_the_reconstruction_of_rotated_images(adapted):
    first, kept = (adapted.rounds[k].errors for k in (0, adapted.choice.index))
    assert adapted.adapted and kept.equivariance < 0.98 * first.equivariance
    assert np.abs(adapted.after - adapted.before).max() > 0.01
    changed = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), adapted.prior.params, PRIOR.params)
    assert any(jax.tree.leaves(changed))
    record = adapted.record()
    assert record["chosen"] == adapted.choice.index and len(record["rounds"]) == len(adapted.rounds)
    assert record["rounds"][1]["steps"] == SETTINGS.steps


def test_held_out_views_do_not_affect_training(scan, adapted):
    """Other values in these views change only their own errors."""
    problem, sinograms, masks = scan
    held_out = ~adapted.held_out.used
    changed = sinograms.at[:, held_out].add(1.0)
    other = adapt_prior(LOOP, PRIOR, problem, changed, masks, 0.05, SETTINGS)
    assert [r.loss for r in other.rounds] == [r.loss for r in adapted.rounds][: len(other.rounds)]
    assert other.rounds[0].errors.residual == adapted.rounds[0].errors.residual
    assert other.rounds[0].errors.extrapolated > 1.5 * adapted.rounds[0].errors.extrapolated


@pytest.mark.slow
def test_steps_that_are_too_long_leave_the_prior_unchanged(scan):
    wild = dataclasses.replace(SETTINGS, rate=30.0, rounds=2)
    adapted = adapt_prior(LOOP, PRIOR, *scan, 0.05, wild)
    assert not adapted.adapted and len(adapted.rounds) >= 2
    jax.tree.map(np.testing.assert_array_equal, adapted.prior.params, PRIOR.params)
    np.testing.assert_array_equal(adapted.after, adapted.before)
    assert "gained nothing" in adapted.choice.reason


def test_no_round_is_started_after_the_time_limit(scan):
    adapted = adapt_prior(LOOP, PRIOR, *scan, 0.05, dataclasses.replace(SETTINGS, minutes=1e-6))
    assert len(adapted.rounds) == 1 and not adapted.adapted and "time" in adapted.choice.reason
