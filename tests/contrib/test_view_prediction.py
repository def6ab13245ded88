"""Fine-tuning by the prediction of views: training splits, validation views, and self-supervised training."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from two_scenes import THETA, small_prior, two_scene_scan, two_scenes

from pfitre_jax.contrib.view_prediction import ViewPredictionSettings, fit_view_prediction, make_splits
from pfitre_jax.geometry import Wedge, remove_object_shift
from pfitre_jax.operators.projector import Projector

SETTINGS = ViewPredictionSettings(
    steps=60, rate=3e-3, unrolled=2, validation_iterations=2, splits=4, check_every=5, patience=20, batch=2
)
PRIOR = small_prior()


@pytest.fixture(scope="module")
def scan():
    """Two scenes and their exact data over 90 degrees: problem, sinograms, masks."""
    return two_scene_scan()


@pytest.fixture(scope="module")
def adapted(scan):
    return fit_view_prediction(PRIOR, *scan, SETTINGS)


@pytest.mark.parametrize("seed", range(3))
def test_no_split_contains_validation_views(seed):
    validation_split, splits = make_splits(THETA, dataclasses.replace(ViewPredictionSettings(), seed=seed))
    validation = validation_split.target > 0
    assert validation.sum() == 4 and np.array_equal(validation_split.used > 0, ~validation)
    # Some views are at an end of the range, which widens the wedge, and some are inside.
    assert validation[[0, -1]].any() and validation[2:-2].any()
    assert validation_split.wedge.width_deg > Wedge.from_angles(THETA).width_deg + 3
    for split in splits:
        assert not np.any(split.used[validation]) and not np.any(split.target[validation])
        assert not np.any(split.used * split.target) and split.target.any()
        np.testing.assert_allclose(split.wedge.width_rad, Wedge.from_angles(THETA[split.used > 0]).width_rad)
    assert len({tuple(split.target) for split in splits}) == len(splits)


@pytest.mark.parametrize("views", [12, 13, 51, 180])
def test_half_of_the_validation_views_are_spread(views):
    validation_split, _ = make_splits(np.linspace(0.0, 1.5, views), ViewPredictionSettings())
    validation = np.flatnonzero(validation_split.target)
    assert validation.size == max(2, round(0.15 * views))
    # The block at an end, and neighbours that are apart.
    alone = [k for k in validation if not {k - 1, k + 1} & set(validation)]
    assert len(alone) >= validation.size - validation.size // 2 - 1 and (
        validation[0] == 0 or validation[-1] == views - 1
    )


def test_too_few_views_are_refused():
    with pytest.raises(ValueError, match="the scan has 8 views; expected at least 12"):
        make_splits(THETA[:8], SETTINGS)


def test_adaptation_improves_the_prediction_of_validation_views(adapted):
    assert adapted.check_steps[0] == 0 and adapted.step > 0
    best = min(adapted.errors)
    assert best < 0.99 * adapted.errors[0]
    assert adapted.error <= best / (1 - SETTINGS.margin)


def test_validation_views_do_not_affect_training(scan, adapted):
    """Other values in these views change only the validation error."""
    problem, sinograms, masks = scan
    changed = sinograms.at[:, adapted.validation_views].add(1.0)
    other = fit_view_prediction(PRIOR, problem, changed, masks, SETTINGS)
    np.testing.assert_array_equal(other.losses, adapted.losses)
    assert other.errors[0] > 2 * adapted.errors[0]


@pytest.mark.slow
def test_adaptation_stops_without_improvement(scan):
    """If the steps are too long, the unchanged prior is returned."""
    wild = dataclasses.replace(SETTINGS, rate=30.0, check_every=1, patience=2)
    adapted = fit_view_prediction(PRIOR, *scan, wild)
    assert adapted.step == 0 and len(adapted.losses) == 2
    jax.tree.map(np.testing.assert_array_equal, adapted.prior.params, PRIOR.params)
    assert adapted.prior.symmetric == PRIOR.symmetric


@pytest.mark.slow
def test_a_gain_within_the_margin_is_ignored(scan, adapted):
    gain = 1 - min(adapted.errors) / adapted.errors[0]
    other = fit_view_prediction(PRIOR, *scan, dataclasses.replace(SETTINGS, margin=min(1.1 * gain, 0.99)))
    assert other.step == 0 and other.error == other.errors[0]
    np.testing.assert_array_equal(other.errors, adapted.errors[: len(other.errors)])
    jax.tree.map(np.testing.assert_array_equal, other.prior.params, PRIOR.params)


@pytest.mark.slow
def test_shifts_of_views_are_estimated(scan):
    """Simulated shifts, including those of validation views, are estimated with a fixed network."""
    problem, _, masks = scan
    moved = remove_object_shift(THETA, np.random.default_rng(0).normal(0, 0.7, THETA.size))
    geometry = dataclasses.replace(problem.A.geometry, shifts=jnp.asarray(moved, jnp.float32))
    A = Projector(geometry)
    data = jax.jit(jax.vmap(A))(two_scenes())
    free = dataclasses.replace(SETTINGS, rate=0.0, geometry_rate=0.05, steps=100, validation_iterations=4)
    adapted = fit_view_prediction(PRIOR, problem, data, masks, free)
    off = adapted.shifts - moved
    basis = np.stack([np.ones(THETA.size), np.cos(THETA), np.sin(THETA)], axis=1)
    off -= basis @ np.linalg.lstsq(basis, off, rcond=None)[0]
    assert np.std(off) < 0.4 * np.std(moved) and np.std(off[adapted.validation_views]) < 0.5 * np.std(moved)
    assert adapted.error < 0.7 * adapted.errors[0]
    jax.tree.map(np.testing.assert_array_equal, adapted.prior.params, PRIOR.params)
