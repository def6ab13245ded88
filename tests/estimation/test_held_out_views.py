import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pfitre_jax as pf
from pfitre_jax.estimation.held_out_views import (
    end_folds,
    held_out_power,
    held_out_squares,
    interleaved_folds,
    relative_error,
    tv_path,
)
from pfitre_jax.solvers import FISTATV, SliceProblem
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import disc_support

COLUMNS, VIEWS, SIGMA = 32, 24, 0.3
THETA = np.deg2rad(np.linspace(-60, 60, VIEWS))
WEIGHTS = jnp.array([1e-1, 3e-3, 1e-5])


@pytest.fixture(scope="module")
def noisy():
    """A problem, and two noisy rows with their masks."""
    geometry = pf.ParallelGeometry.create(THETA, COLUMNS)
    A = pf.Projector(geometry)
    x, y = np.meshgrid(np.arange(COLUMNS) - 15.5, 15.5 - np.arange(COLUMNS))
    discs = 0.8 * (np.hypot(x - 3, y + 2) < 6.5) + 0.5 * (np.hypot(x + 5.5, y - 4) < 3)
    y = jnp.stack([A(jnp.asarray(image, jnp.float32)) for image in (discs, 0.5 * discs)])
    y = y + SIGMA * jax.random.normal(jax.random.key(0), y.shape)
    return SliceProblem.create(A, y[0]), y, jnp.ones_like(y)


def test_folds():
    held = lambda folds: [np.flatnonzero(fold).tolist() for fold in folds]  # noqa: E731
    theta = np.deg2rad(np.linspace(-40, 50, 10))
    assert held(interleaved_folds(theta, 5, 2)) == [[1, 6], [3, 8]]
    np.testing.assert_array_equal(interleaved_folds(theta, 3).sum(axis=0), 1)
    assert held(end_folds(theta, 2)) == [[0, 1], [8, 9]]


def test_folds_follow_the_angles_modulo_pi_not_the_order_of_the_views():
    theta = np.deg2rad([0, 150, 20, 190, 170, 40])  # in order from the wedge at 95: 150 170 0 190 20 40
    np.testing.assert_array_equal(end_folds(theta, 2), [[0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 1]])
    np.testing.assert_array_equal(interleaved_folds(theta, 2, 1), [[0, 0, 0, 1, 1, 1]])


def test_the_image_does_not_depend_on_the_held_out_views(noisy):
    problem, y, masks = noisy
    held = interleaved_folds(THETA, 4, 1)
    change = held[0][None, :, None] * jnp.ones(y.shape)
    below, at, above = (held_out_squares(problem, y + d, masks, held, WEIGHTS) for d in (-change, 0, change))
    # The sum of squares is quadratic in the held-out data only if the image stays the same.
    np.testing.assert_allclose(above + below - 2 * at, 2 * np.sum(change[0] ** 2), rtol=1e-3)


def test_the_error_is_smallest_at_a_moderate_weight_and_reaches_the_noise(noisy):
    problem, y, masks = noisy
    held = interleaved_folds(THETA, 4, 2)
    squares = held_out_squares(problem, y, masks, held, WEIGHTS, iterations=20)
    assert squares.shape == (3, 2, 2)
    large, moderate, small = squares
    assert np.all(moderate < large) and np.all(moderate < small)
    noise = SIGMA**2 * held.sum(axis=1, keepdims=True) * COLUMNS
    assert np.all(moderate > 0.7 * noise) and np.all(moderate < 1.7 * noise)


def test_stripes_are_left_out(noisy):
    """Held-out views that differ by column offsets have the same error without stripes."""
    problem, y, masks = noisy
    held = interleaved_folds(THETA, 4, 1)
    stripes = held[0][None, :, None] * jnp.linspace(-2, 3, COLUMNS)[None, None, :]
    plain, striped = (held_out_squares(problem, data, masks, held, WEIGHTS) for data in (y, y + stripes))
    assert jnp.all(striped > 2 * plain)
    plain, striped = (
        held_out_squares(problem, data, masks, held, WEIGHTS, without_stripes=True)
        for data in (y, y + stripes)
    )
    np.testing.assert_allclose(striped, plain, rtol=1e-3)


def test_power_counts_valid_bins_of_held_out_views(noisy):
    _, y, masks = noisy
    held = end_folds(THETA, 3)
    masks = masks.at[:, :, :4].set(0)
    power = held_out_power(y, masks, held)
    np.testing.assert_allclose(power[0, 1], jnp.sum(y[1, :3, 4:] ** 2), rtol=1e-5)


def test_weak_rows_count_like_strong_ones_and_empty_rows_do_not(noisy):
    _, y, _ = noisy
    held = end_folds(THETA, 3)
    noise = 1e-3 * SIGMA * jax.random.normal(jax.random.key(1), y[:1].shape)
    rows = jnp.concatenate([100 * y, 0.01 * y, noise, 0 * noise])
    masks = jnp.ones_like(rows)
    power = held_out_power(rows, masks, held)
    errors = jnp.array([[0.1, 0.1, 0.3, 0.3, 1.0, 1.0]])
    pooled = relative_error(errors**2 * power, rows, masks, held)
    assert float(pooled) == pytest.approx(np.sqrt((0.1**2 + 0.3**2) / 2), rel=0.03)
    assert float(relative_error(0.25 * power, rows, masks, held)) == pytest.approx(0.5, rel=1e-5)


def test_the_support_may_be_traced(noisy):
    problem, y, masks = noisy
    held = end_folds(THETA, 3)

    @jax.jit
    def errors(support):
        other = dataclasses.replace(problem, support=support)
        return held_out_squares(other, y, masks, held, WEIGHTS[1:2]).sum()

    # A support that lacks half of the sample cannot predict the views.
    support = disc_support(problem.A)
    assert errors(support.at[:, : COLUMNS // 2].set(0)) > 2 * errors(support)


def test_path_approaches_the_minimum_of_each_weight(noisy):
    problem, y, _ = noisy
    problem = problem.with_sinogram(y[0])
    weights = jnp.array([1e-2, 3e-3, 1e-3])
    images = tv_path(problem, weights, lambda x: x, iterations=40)
    for weight, image in zip(weights, images, strict=True):
        best = run(FISTATV(weight), problem, jnp.zeros_like(image), iterations=500).value
        assert jnp.linalg.norm(image - best) < 0.05 * jnp.linalg.norm(best)
