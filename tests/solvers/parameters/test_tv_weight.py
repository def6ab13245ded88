"""The automatic TV weight and the corresponding rho."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax import solvers
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.files import pretrained
from pfitre_jax.solvers.parameters.tv_weight import (
    RHO_PER_VARIANCE,
    RHO_RANGE,
    SMALLEST_WEIGHT,
    WEIGHT_PER_NOISE,
    resolve_tv_weight,
    rho_from_tv_weight,
    tv_weight_from_noise,
    unclipped_rho,
)
from pfitre_jax.solvers.slice_problem import SliceProblem

THETA = np.deg2rad(np.linspace(-40, 40, 24))


def weight(noise, views=THETA, columns=64):
    A = Projector(ParallelGeometry.create(views, columns))
    return float(tv_weight_from_noise(SliceProblem.create(A, jnp.zeros(A.sinogram_shape)), noise))


def test_weight_is_the_noise_of_the_gradient():
    """Measured on the gradient of pure noise itself, which has standard deviation weight/0.7."""
    A = Projector(ParallelGeometry.create(THETA, 64))
    y = jnp.asarray(3.0 * np.random.default_rng(2).standard_normal((24, 64)), jnp.float32)
    gradient = np.asarray(A.T(y) / A.norm_squared())
    middle = gradient[16:48, 16:48]
    assert 0.75 < weight(3.0) / (WEIGHT_PER_NOISE * middle.std()) < 1.35


def test_weight_follows_the_noise_and_the_number_of_views():
    np.testing.assert_allclose(weight(2.0) / weight(1.0), 2, rtol=1e-5)
    quarter = np.deg2rad(np.linspace(-40, 40, 96))
    # Four times the views: noise in the gradient relative to norm(A)^2 halves.
    assert abs(weight(1.0) / weight(1.0, quarter) - 2) < 0.15
    np.testing.assert_allclose(weight(0.0), SMALLEST_WEIGHT)


def test_views_with_weight_0_do_not_change_the_weight():
    more = np.concatenate([THETA, THETA[:7] + 0.01])
    A = Projector(ParallelGeometry.create(more, 64))
    counted = jnp.asarray(np.arange(len(more)) < len(THETA), jnp.float32)
    masks = jnp.broadcast_to(counted[:, None], (2, *A.sinogram_shape))
    problem = SliceProblem.create(A, jnp.zeros(A.sinogram_shape))
    problem = dataclasses.replace(problem, norm_squared=A.norm_squared(view_weights=counted))
    assert float(tv_weight_from_noise(problem, 1.0, masks)) == pytest.approx(weight(1.0), rel=1e-3)


def test_rho_of_a_learned_prior_follows_the_variance_within_the_training_range():
    low, high = RHO_RANGE
    between = (low / RHO_PER_VARIANCE) ** 0.5 * 1.2
    np.testing.assert_allclose(
        rho_from_tv_weight(1.1 * between) / rho_from_tv_weight(between), 1.1**2, rtol=1e-5
    )
    np.testing.assert_allclose(rho_from_tv_weight(jnp.asarray([0.0, 1.0])), [low, high])
    assert unclipped_rho(1e-5) == pytest.approx(RHO_PER_VARIANCE * 1e-10)
    trained = pretrained("circuits").info.card["trained_on"]["rho"]
    assert trained[0] <= low and high <= trained[1]


def test_automatic_weight_is_the_default_and_nearly_optimal():
    """On a noisy scan of blocks: within 1 dB of the best of the usual weights."""
    A = Projector(ParallelGeometry.create(THETA, 48))
    truth = np.zeros((48, 48), np.float32)
    truth[12:30, 14:20], truth[20:26, 18:38], truth[32:36, 10:34] = 1.0, 0.8, 0.6
    y = np.asarray(A(jnp.asarray(truth)))
    y = jnp.asarray(y + 0.02 * y.max() * np.random.default_rng(3).standard_normal(y.shape), jnp.float32)

    def error(**options):
        return float(np.linalg.norm(solvers.fista_tv(A, y, iterations=100, **options).value - truth))

    best = min(error(weight=w) for w in 10 ** np.arange(-5, -1.9, 0.5))
    assert error() < best * 10 ** (1 / 20)


def test_integer_counts_give_the_same_weight():
    """Integer projections have the weight of the same values in floating point."""
    A = Projector(ParallelGeometry.create(THETA, 48))
    y = np.random.default_rng(6).poisson(40, A.sinogram_shape)
    whole, floating = (solvers.fista_tv(A, data, iterations=2).value for data in (y, y.astype(np.float32)))
    np.testing.assert_array_equal(whole, floating)


def test_noise_is_estimated_within_the_given_support():
    """An object outside the default disc is not counted as noise if the support includes it."""
    A = Projector(ParallelGeometry.create(THETA, 48), (72, 72))
    truth = np.zeros((72, 72), np.float32)
    truth[4:68, 4:68:6] = truth[4:68, 5:68:6] = 1
    clean = np.asarray(A(jnp.asarray(truth)))
    y = (clean + 0.01 * clean.max() * np.random.default_rng(7).standard_normal(clean.shape)).astype(
        np.float32
    )
    inside = resolve_tv_weight("auto", A, y, support=np.ones((72, 72), np.float32))
    assert inside < 0.9 * resolve_tv_weight("auto", A, y)
