"""Self-calibration: column offsets and view gains are estimated from the residual."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.fista import FISTATV
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.wrappers.self_calibration import MIN_BINS, SelfCalibration, column_offsets, view_gains

VIEWS, COLUMNS = 60, 80
NOISE = np.random.default_rng(0).standard_normal((VIEWS, COLUMNS)).astype(np.float32)
EVERY = np.ones((VIEWS, COLUMNS), np.float32)
#: Standard deviation of the median over so many views of such noise.
DEVIATION = np.sqrt(np.pi / 2 / VIEWS)


def test_column_offsets_are_estimated():
    offsets = np.zeros(COLUMNS, np.float32)
    offsets[[7, 30, 31, 79]] = 2.0, -3.0, 1.5, 2.5
    estimate = np.asarray(column_offsets(-(NOISE + offsets), EVERY))[0]
    assert np.all(np.abs(estimate - offsets) < 5 * DEVIATION)
    assert np.all(np.sign(estimate[[7, 30, 31, 79]]) == np.sign(offsets[[7, 30, 31, 79]]))
    assert np.count_nonzero(estimate) < 8


def test_few_columns_are_detected_in_noise_and_smooth_residuals():
    smooth = 5 * np.sin(np.arange(COLUMNS) / 25)
    for residual in (NOISE, NOISE + smooth):
        estimate = np.asarray(column_offsets(-residual, EVERY))
        assert np.count_nonzero(estimate) <= 0.05 * COLUMNS


def test_view_gains_are_estimated():
    predicted = np.abs(NOISE[::-1]) * 10
    factor = np.ones((VIEWS, 1), np.float32)
    factor[[3, 20], 0] = 1.3, 0.6
    estimate = np.asarray(view_gains((1 - factor) * predicted - NOISE, predicted, EVERY))
    deviation = 1 / np.linalg.norm(predicted, axis=1, keepdims=True)
    assert np.all(np.abs(estimate - factor) < 5 * deviation)
    assert np.count_nonzero(estimate != 1) < 6


def test_a_factor_common_to_all_views_is_not_corrected():
    predicted = np.abs(NOISE[::-1]) * 10
    np.testing.assert_allclose(view_gains(-0.2 * predicted, predicted, EVERY), 1, atol=1e-5)


def test_invalid_bins_are_ignored():
    mask = EVERY.copy()
    mask[:, 5], mask[9] = 0, 0
    residual = np.where(mask > 0, NOISE, 0)
    assert np.asarray(column_offsets(residual, mask))[0, 5] == 0
    assert np.asarray(view_gains(residual, 10 * mask, mask))[9, 0] == 1
    blank = np.zeros_like(mask)
    assert not np.any(column_offsets(blank, blank)) and np.all(
        np.asarray(view_gains(blank, blank, blank)) == 1
    )


def test_too_few_bins_are_not_corrected():
    """With so few bins an offset or gain would fit any values."""
    few = (np.arange(VIEWS) < MIN_BINS - 1)[:, None] * EVERY
    assert not np.any(column_offsets(-few * NOISE, few))
    few = (np.arange(COLUMNS) < MIN_BINS - 1)[None, :] * EVERY
    assert np.all(np.asarray(view_gains(-few * NOISE, 10 * few, few)) == 1)


def test_a_solver_does_not_stop_before_calibration():
    n = 16
    A = Projector(ParallelGeometry.create(np.linspace(0, np.pi, 20, endpoint=False), n))
    problem = SliceProblem.create(A, A(jnp.ones((n, n))))
    solver = SelfCalibration(FISTATV(1e-2), stripes=True, first_steps=12)
    solution = run(solver, problem, jnp.zeros((n, n)), iterations=30, tolerance=0.5)
    assert int(solution.stats["iterations"]) == 13


def test_a_solver_receives_corrected_data():
    """The result of data with a stripe approaches that of the data without it."""
    n = 32
    A = Projector(ParallelGeometry.create(np.linspace(0, np.pi, 40, endpoint=False), n))
    image = np.zeros((n, n), np.float32)
    image[10:20, 8:24] = 1
    clean = A(jnp.asarray(image))
    problem = SliceProblem.create(A, clean.at[:, 13].add(3.0))
    solver = SelfCalibration(FISTATV(1e-4), stripes=True, first_steps=20)
    error = lambda solver: float(  # noqa: E731
        jnp.linalg.norm(run(solver, problem, jnp.zeros((n, n)), iterations=100).value - image)
    )
    without = dataclasses.replace(problem, sinogram=clean)
    exact = run(FISTATV(1e-4), without, jnp.zeros((n, n)), iterations=100).value
    floor = float(jnp.linalg.norm(exact - image))
    assert error(solver) - floor < 0.75 * (error(FISTATV(1e-4)) - floor)


def test_first_steps_equal_the_uncalibrated_solver():
    n = 16
    A = Projector(ParallelGeometry.create(np.linspace(0, np.pi, 20, endpoint=False), n))
    problem = SliceProblem.create(A, jnp.asarray(NOISE[:20, :n]) + 3)
    plain = run(FISTATV(1e-4), problem, jnp.zeros((n, n)), iterations=6)
    later = run(
        SelfCalibration(FISTATV(1e-4), True, True, first_steps=6), problem, jnp.zeros((n, n)), iterations=6
    )
    np.testing.assert_allclose(later.value, plain.value, atol=1e-6)
    np.testing.assert_allclose(later.stats["residual"], plain.stats["residual"], rtol=1e-5)
