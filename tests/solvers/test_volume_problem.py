"""A volume's problem is that of its rows; what joins them is the prior alone."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.restoration import denoise_tv_chambolle

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.interfaces import Prior
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.operators.finite_differences import gradient, gradient_adjoint
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.directional_tv import DirectionalTV
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.admm import ADMM
from pfitre_jax.solvers.fista import FISTATV
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.volume_problem import VolumeProblem

N, ROWS = 20, 5
THETA = np.deg2rad(np.linspace(-40, 44, 14))


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def row() -> SliceProblem:
    A = Projector(ParallelGeometry.create(THETA, N))
    return SliceProblem.create(A, jnp.zeros(A.sinogram_shape))


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    """A box that is in the rows 1 to 3."""
    truth = np.zeros((ROWS, N, N), np.float32)
    truth[1:4, 6:13, 5:14] = 1.0
    return truth


@pytest.fixture(scope="module")
def problem(row, volume) -> VolumeProblem:
    sinograms = jax.vmap(row.A)(volume)
    noise = 0.02 * float(jnp.max(sinograms)) * rng().standard_normal(sinograms.shape)
    masks = np.ones(sinograms.shape)
    masks[2, :, 7] = 0
    return VolumeProblem.create(row, sinograms + noise.astype(np.float32), masks)


def rows_of(problem: VolumeProblem):
    return [problem.row.with_sinogram(y, m) for y, m in zip(problem.sinogram, problem.mask, strict=True)]


def test_every_operator_agrees_with_that_of_the_rows(problem, volume):
    for name in ("residual", "normal", "gradient"):
        whole = getattr(problem, name)(jnp.asarray(volume))
        each = [getattr(one, name)(image) for one, image in zip(rows_of(problem), volume, strict=True)]
        np.testing.assert_allclose(whole, np.stack(each), atol=1e-5)
    each = [one.residual_norm(image) for one, image in zip(rows_of(problem), volume, strict=True)]
    # Rows without signal have a residual without a unit.
    np.testing.assert_allclose(problem.residual_norms(jnp.asarray(volume)), each, rtol=1e-4)


def test_back_is_the_adjoint_of_the_projection(problem):
    a = rng(1).standard_normal((ROWS, N, N))
    b = rng(2).standard_normal(problem.sinogram.shape)
    with jax.enable_x64(True):
        double = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, float)), problem)
        ahead = double.mask * jax.vmap(double.row.A)(double.support * a)
        left, right = jnp.vdot(ahead, b), jnp.vdot(a, double.back(jnp.asarray(b))) * double.norm_squared
    assert float(left) == pytest.approx(float(right), rel=1e-9)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Halve(Prior):
    """A prior that denoises each row separately."""

    def denoise(self, v, *, correction, wedge, rho):
        return 0.5 * v


def test_row_by_row_priors_give_the_results_of_separate_rows(problem):
    method, start = HQS(Halve(), 0.05), jnp.zeros((ROWS, N, N))
    together = jax.jit(lambda p: run(method, p, start, iterations=3).value)(problem)
    alone = jax.jit(lambda p: run(method, p, start[0], iterations=3).value)
    each = np.stack([alone(one) for one in rows_of(problem)])
    assert np.linalg.norm(together - each) < 1e-4 * np.linalg.norm(each)


def test_gradient_of_a_volume_is_a_finite_difference_with_exact_adjoint():
    a, b = rng(1).standard_normal((4, 5, 6)), rng(2).standard_normal((3, 4, 5, 6))
    with jax.enable_x64(True):
        found = np.asarray(gradient(jnp.asarray(a)))
        for axis in range(3):
            inner = np.take(found[axis], range(a.shape[axis] - 1), axis)
            np.testing.assert_allclose(inner, np.diff(a, axis=axis))
            assert not np.take(found[axis], -1, axis).any()
        dots = np.vdot(found, b), np.vdot(a, gradient_adjoint(jnp.asarray(b)))
    assert dots[0] == pytest.approx(dots[1], rel=1e-12)


def test_the_prox_of_a_volume_agrees_with_scikit_image(volume):
    v = volume + 0.1 * rng().standard_normal(volume.shape)
    with jax.enable_x64(True):
        tv = TV(0.0, nonnegative=False, iterations=3000)
        ours = jax.jit(tv.prox)(jnp.asarray(v), 0.1)
    theirs = denoise_tv_chambolle(v, weight=0.1, eps=1e-12, max_num_iter=20000)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_directional_tv_of_a_volume(volume):
    """Ratio 1 is plain TV at any direction; its gradient is bounded as the dual method counts on."""
    plain, turned = TV(1.0), DirectionalTV(1.0, direction_rad=0.7, ratio=1.0)
    v = jnp.asarray(rng().standard_normal(volume.shape), jnp.float32)
    assert float(turned.value(v)) == pytest.approx(float(plain.value(v)), rel=1e-4)
    worst = jnp.asarray((-1.0) ** np.indices(volume.shape).sum(axis=0)) / volume.size**0.5
    for tv in (plain, DirectionalTV(1.0, direction_rad=0.7, ratio=1.5)):
        size = float(jnp.sum(tv._gradient(worst) ** 2))
        assert 0.5 * tv._norm_squared(3) < size < tv._norm_squared(3) or tv is not plain
        assert size < tv._norm_squared(3)


@pytest.mark.parametrize("make", [lambda w: FISTATV(w), lambda w: ADMM(TV(w), 20 * w)], ids=["FISTA", "ADMM"])
def test_joint_solution_of_identical_rows_has_less_noise(make, row, volume):
    volume = np.repeat(volume[2:3], ROWS, axis=0)
    sinograms = np.asarray(jax.vmap(row.A)(volume))
    noise = 0.05 * sinograms.max() * rng().standard_normal(sinograms.shape)
    problem = VolumeProblem.create(row, (sinograms + noise).astype(np.float32))
    method = make(2e-3)
    start = jnp.zeros((ROWS, N, N))
    together = jax.jit(lambda p: run(method, p, start, iterations=150).value)(problem)
    alone = jax.jit(lambda p: run(method, p, start[0], iterations=150).value)
    each = np.stack([alone(one) for one in rows_of(problem)])
    error = lambda found: np.linalg.norm(np.asarray(found) - volume)  # noqa: E731
    assert error(together) < 0.95 * error(each)


SMALL = UNetConfig(channels=(4, 4, 8), blocks=1, growth=4, dilations=(1, 2), embedding=4)


def random_prior(config: UNetConfig, seed=0) -> NetworkPrior:
    """A prior whose network has a non-zero output."""
    prior = NetworkPrior.create(config, jax.random.key(seed))
    draw = lambda a: 0.3 * jnp.asarray(rng(seed).standard_normal(a.shape), a.dtype)  # noqa: E731
    return dataclasses.replace(prior, params=jax.tree.map(draw, prior.params))


@jax.jit
def denoised(prior, v, wedge):
    return prior.denoise(v, correction=0.5 * v, wedge=wedge, rho=0.01)


def proposal(prior, v, problem):
    return np.asarray(denoised(prior, v, problem.wedge))


@pytest.mark.parametrize("mirror", [None, 3])
def test_a_2d_network_denoises_a_volume_row_by_row(problem, mirror):
    prior = dataclasses.replace(random_prior(SMALL), mirror=mirror)
    v = jnp.asarray(rng(3).random((ROWS, N, N)), jnp.float32)
    each = np.stack([proposal(prior, image, problem) for image in v])
    np.testing.assert_allclose(proposal(prior, v, problem), each, atol=2e-5)


def test_a_row_depends_on_the_neighbours_within_the_reach_of_the_network(problem):
    prior = random_prior(dataclasses.replace(SMALL, in_channels=4))
    assert prior.info.reach == 1
    v = jnp.asarray(rng(3).random((ROWS, N, N)), jnp.float32)
    moved = np.abs(proposal(prior, v.at[4].add(1.0), problem) - proposal(prior, v, problem)).max((1, 2))
    assert moved[:3].max() < 1e-5 and moved[3:].min() > 1e-3
    # Reversing the rows exchanges the neighbours above and below, so the output differs.
    turned = proposal(prior, v[::-1], problem)[::-1]
    assert np.abs(turned - proposal(prior, v, problem)).max() > 1e-3


def test_a_widened_network_is_unchanged_before_training(problem):
    prior = random_prior(SMALL)
    wide = prior.extend(dataclasses.replace(SMALL, in_channels=6))
    v = jnp.asarray(rng(3).random((ROWS, N, N)), jnp.float32)
    assert wide.info.reach == 2
    np.testing.assert_allclose(proposal(wide, v, problem), proposal(prior, v, problem), atol=2e-5)
    with pytest.raises(ValueError, match="fewer in_channels"):
        prior.extend(dataclasses.replace(SMALL, in_channels=6, growth=8))
    with pytest.raises(ValueError, match="fewer in_channels"):
        wide.extend(SMALL)


def test_a_network_with_layers_along_the_rows_is_unchanged_before_training(problem):
    prior = random_prior(dataclasses.replace(SMALL, in_channels=4))
    carried = dataclasses.replace(prior.config, in_channels=6, along_rows=True)
    deep = prior.extend(carried)
    v = jnp.asarray(rng(3).random((ROWS, N, N)), jnp.float32)
    assert deep.info.reach == 2 + 4 + SMALL.blocks
    np.testing.assert_allclose(proposal(deep, v, problem), proposal(prior, v, problem), atol=2e-5)
    with pytest.raises(ValueError, match="along_rows = false"):
        deep.extend(prior.config)


def test_invalid_shapes_are_refused(row):
    with pytest.raises(ValueError, match=r"sinograms have shape \(14, 20\); expected \(rows, 14, 20\)"):
        VolumeProblem.create(row, np.zeros((14, 20)))


@pytest.mark.slow
def test_gradients_go_through_the_joint_loop(problem):
    """The gradient of one row with respect to the data of another agrees with finite differences."""

    @jax.jit
    def loss(sinogram):
        moved = dataclasses.replace(problem, sinogram=sinogram)
        found = run(
            ADMM(TV(1e-3, iterations=5), 0.02, cg_iterations=2, start_iterations=2),
            moved,
            jnp.zeros((ROWS, N, N), sinogram.dtype),
            iterations=3,
            differentiate="checkpoint",
        )
        return jnp.sum(found.value[1] ** 2)

    with jax.enable_x64(True):
        problem = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, float)), problem)
        y = problem.sinogram
        direction = jnp.zeros_like(y).at[2].set(rng(4).standard_normal(y.shape[1:]))
        slope = jnp.vdot(jax.grad(loss)(y), direction)
        step = 1e-6
        expected = (loss(y + step * direction) - loss(y - step * direction)) / (2 * step)
    assert abs(float(expected)) > 1e-3 and float(slope) == pytest.approx(float(expected), rel=1e-4)
