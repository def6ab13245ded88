"""Equivariant-imaging loss: rotated images, their measurements, and the gradient of the loss."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.interfaces import Prior
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.training.equivariance import (
    Rotation,
    equivariance_loss,
    image_loss,
    measure_rotated,
    problem_of,
    rotate_items,
)

SIZE = 24
THETA = np.deg2rad(np.arange(-45.0, 45.0, 3.0))


@pytest.fixture(scope="module")
def problem():
    A = Projector(ParallelGeometry.create(THETA, SIZE))
    return SliceProblem.create(A, jnp.zeros(A.sinogram_shape))


def blob(x, y, width=2.0):
    """Gaussian at (x, y), y up, pixels from the middle."""
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    return jnp.asarray(
        np.exp(-((axis[None] - x) ** 2 + (-axis[:, None] - y) ** 2) / (2 * width**2)), jnp.float32
    )


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", range(4))
def test_a_rotation_is_counterclockwise_after_the_reflection(mirrored, quarters):
    angle, at = 0.3, np.array([5.0, 2.0])
    rotated = Rotation(jnp.array(mirrored), jnp.array(quarters), jnp.array(angle))(blob(*at))
    whole = angle + quarters * np.pi / 2
    x, y = (-at[0] if mirrored else at[0]), at[1]
    expected = blob(np.cos(whole) * x - np.sin(whole) * y, np.sin(whole) * x + np.cos(whole) * y)
    np.testing.assert_allclose(rotated, expected, atol=2e-3)


def test_random_rotations_cover_all_rotations_and_reflections():
    rotations = Rotation.random(jax.random.key(0), 400)
    assert set(np.asarray(rotations.quarters)) == {0, 1, 2, 3} and 0.4 < rotations.mirrored.mean() < 0.6
    assert float(jnp.abs(rotations.angle).max()) <= np.pi / 4 and float(rotations.angle.std()) > 0.4


def test_the_rotated_image_is_measured_with_noise_and_the_mask_of_the_scan(problem):
    mask = jnp.ones_like(problem.mask).at[3].set(0).at[:, :2].set(0)
    rotation = Rotation(jnp.array(True), jnp.array(1), jnp.array(0.2))
    item = measure_rotated(problem, blob(4, 1), mask, rotation, 0.5, jax.random.key(1))
    np.testing.assert_array_equal(np.asarray(item.sinograms)[np.asarray(mask) == 0], 0)
    residual = np.asarray(problem.A(item.truth) - item.sinograms)[np.asarray(mask) > 0]
    assert residual.std() == pytest.approx(0.5, rel=0.1) and abs(residual.mean()) < 0.1
    assert float(jnp.min(item.truth)) >= 0


def test_the_rows_of_a_slab_are_rotated_together(problem):
    slab, mask = jnp.stack([blob(4, 1), blob(-3, 2)]), jnp.ones((2, *problem.mask.shape))
    rotation = Rotation(jnp.array(True), jnp.array(3), jnp.array(0.2))
    together = measure_rotated(problem, slab, mask, rotation, 0.0, jax.random.key(1))
    for row in range(2):
        alone = measure_rotated(problem, slab[row], mask[row], rotation, 0.0, jax.random.key(2))
        np.testing.assert_allclose(together.truth[row], alone.truth, atol=1e-6)
        np.testing.assert_allclose(together.sinograms[row], alone.sinograms, atol=1e-5)
    assert together.supports.shape == alone.supports.shape
    volume = problem_of(problem, together.sinograms, mask, together.supports)
    assert float(volume.residual_norm(together.truth)) < 1e-5


def test_the_support_is_rotated_with_the_image(problem):
    support = jnp.asarray(np.arange(SIZE)[:, None] > SIZE // 2, jnp.float32) * problem.support
    half = dataclasses.replace(problem, support=support)
    quarter = Rotation(jnp.array(False), jnp.array(1), jnp.array(0.0))
    item = measure_rotated(half, support, problem.mask, quarter, 0.0, jax.random.key(0))
    np.testing.assert_array_equal(item.supports, jnp.rot90(support))
    rotated = problem_of(half, item.sinograms, item.masks, item.supports)
    np.testing.assert_array_equal(rotated.support, item.supports)
    np.testing.assert_array_equal(rotated.kernel.support, item.supports)


def test_the_loss_of_images_is_its_formula_over_all_rows(problem):
    error = np.random.default_rng(0).normal(size=(2, SIZE, SIZE)).astype(np.float32)
    error[1] *= 3
    supports = jnp.stack([problem.support, problem.support.at[: SIZE // 2].set(0)])
    inside = error[np.asarray(supports) > 0]
    expected = np.sqrt(np.mean(inside**2)) + 0.25 * np.mean(np.abs(inside))
    loss = image_loss(jnp.asarray(error), jnp.zeros_like(error), supports)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    # Slabs of two equal rows have the same mean.
    twice = jnp.repeat(jnp.asarray(error)[:, None], 2, axis=1)
    assert float(image_loss(twice, jnp.zeros_like(twice), supports)) == pytest.approx(expected, rel=1e-5)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Filtered(Prior):
    """``v + tanh(w * v) + b correction``: a small nonlinear prior with parameters ``w`` and ``b``."""

    kernel: Array
    gain: Array

    def denoise(self, v, *, correction, wedge, rho):
        return v + jnp.tanh(jax.scipy.signal.convolve(v, self.kernel, mode="same")) + self.gain * correction


def test_the_gradient_of_the_loss_agrees_with_finite_differences():
    with jax.enable_x64(True):
        A = Projector(ParallelGeometry.create(THETA, SIZE))
        problem = SliceProblem.create(A, jnp.zeros(A.sinogram_shape, jnp.float64))
        images = jnp.stack([blob(4, 1), blob(-3, 2, 3.0)]).astype(jnp.float64)
        masks = jnp.ones((2, *A.sinogram_shape))
        kernel = 0.1 * jax.random.normal(jax.random.key(2), (3, 3))
        loop = lambda prior: HQS(prior, 0.02, cg_iterations=2, start_iterations=2)  # noqa: E731

        @jax.jit
        def start(loop):
            rows = rotate_items(problem, images, masks, 0.05, jax.random.key(4))
            rotated = jax.vmap(functools.partial(problem_of, problem))
            problems = rotated(rows.sinograms, rows.masks, rows.supports)
            return jax.vmap(loop.init)(problems, jnp.zeros_like(rows.truth))

        @jax.jit
        def loss(prior):
            rows = rotate_items(problem, images, masks, 0.05, jax.random.key(4))
            return equivariance_loss(loop(prior), problem, rows, states)[0]

        prior = Filtered(kernel, jnp.array(0.3))
        states = start(loop(prior))
        direction = Filtered(jax.random.normal(jax.random.key(5), (3, 3)), jnp.array(0.7))
        gradient = jax.jit(jax.grad(loss))(prior)
        along = jnp.sum(gradient.kernel * direction.kernel) + gradient.gain * direction.gain
        step = 1e-5
        moved = [jax.tree.map(lambda p, d: p + sign * step * d, prior, direction) for sign in (1, -1)]  # noqa: B023
        ends = [loss(end) for end in moved]
        np.testing.assert_allclose(along, (ends[0] - ends[1]) / (2 * step), rtol=1e-5)
        assert abs(float(along)) > 1e-4
