"""Coarse to fine: the start at half the resolution, and what it leaves unchanged."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.admm import ADMM
from pfitre_jax.solvers.data_terms import Gaussian, Poisson, StudentT, WholeViews
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.volume_problem import VolumeProblem
from pfitre_jax.solvers.wrappers.coarse_to_fine import CoarseToFine, wrap_levels
from pfitre_jax.solvers.wrappers.reweighted import Reweighted

N = 48
THETA = np.deg2rad(np.arange(-45, 45, 6.0))


def image():
    x = np.arange(N) - (N - 1) / 2
    return jnp.asarray(
        ((x[None] - 4) ** 2 + (x[:, None] + 2) ** 2 < 15**2) * 0.8
        + (np.hypot(x[None], x[:, None]) < 5) * 0.2,
        jnp.float32,
    )


def problem():
    A = Projector(ParallelGeometry.create(THETA, N))
    return SliceProblem.create(A, A(image()), wedge=Wedge.from_angles(THETA))


SOLVER = ADMM(TV(1e-4, iterations=10), 0.01)


@pytest.fixture(scope="module")
def curves():
    """Distance from the truth after each iteration, without and with a coarse start."""
    p, truth = jax.jit(problem)(), image()
    error = lambda iterate, state: jnp.linalg.norm(iterate.x - truth)  # noqa: E731
    solve = lambda solver, n: run(  # noqa: E731
        solver, p, jnp.zeros((N, N)), iterations=n, differentiate="unroll", keep=error
    )
    coarse = CoarseToFine(SOLVER, fewest_columns=12)
    return [jax.jit(solve, static_argnums=1)(s, n).stats["kept"] for s, n in ((SOLVER, 3), (coarse, 3))]


def test_a_coarse_start_is_closer_to_the_truth(curves):
    plain, coarse = curves
    assert coarse[0] < 0.9 * plain[0]


def test_a_small_detector_has_no_coarser_level():
    p = problem()
    solver = CoarseToFine(SOLVER, fewest_columns=N)
    for wrapped, plain in zip(
        jax.tree.leaves(jax.jit(solver.init)(p, jnp.zeros((N, N)))),
        jax.tree.leaves(jax.jit(SOLVER.init)(p, jnp.zeros((N, N)))),
        strict=True,
    ):
        np.testing.assert_array_equal(wrapped, plain)


def test_the_result_of_a_convex_problem_does_not_depend_on_the_start():
    p = problem()
    solve = jax.jit(lambda s: run(s, p, jnp.zeros((N, N)), iterations=300).value)
    plain, coarse = solve(SOLVER), solve(CoarseToFine(SOLVER, fewest_columns=12))
    assert np.linalg.norm(plain - coarse) < 0.02 * np.linalg.norm(plain)


def test_every_row_of_a_volume_starts_as_its_slice_does():
    p = problem()
    solver = CoarseToFine(HQS(TV(1e-3), 0.02), fewest_columns=12)
    sinograms = jnp.stack([p.sinogram, 0.5 * p.sinogram])
    volume = VolumeProblem.create(p, sinograms)
    whole = jax.jit(lambda v: v.coarser().sinogram)(volume)
    each = jnp.stack([p.with_sinogram(y).coarser().sinogram for y in sinograms])
    np.testing.assert_allclose(whole, each, rtol=1e-6)
    together = jax.jit(solver.init)(volume, jnp.zeros((2, N, N)))[0].x
    assert together.shape == (2, N, N) and np.all(np.isfinite(together))


def damaged(kind):
    """The problem with 4% of wrong bins, or with columns that are wrong in all views or masked."""
    p = problem()
    if kind == "outliers":
        wrong = jax.random.bernoulli(jax.random.key(0), 0.04, p.sinogram.shape)
        return dataclasses.replace(p, sinogram=p.sinogram + wrong * 2 * jnp.max(p.sinogram))
    columns = jnp.array([9, 20, 29, 30])
    if kind == "dead columns":
        return dataclasses.replace(p, sinogram=p.sinogram.at[:, columns].set(0))
    return p.with_sinogram(p.sinogram, p.mask.at[:, columns].set(0))


@pytest.mark.parametrize("kind", ["outliers", "dead columns", "masked columns"])
def test_all_levels_use_the_robust_weights(kind):
    """The robust result from a coarse start is closer to the truth than that without."""
    p, truth = damaged(kind), image()
    loop = HQS(TV(4e-4, iterations=10), 0.02, initial_iterations=3)
    robust = lambda solver: wrap_levels(solver, lambda inner: Reweighted(inner, StudentT()))  # noqa: E731
    solve = jax.jit(lambda s, p: run(s, p, jnp.zeros((N, N)), iterations=5).value)
    error = lambda solver: float(jnp.linalg.norm(solve(robust(solver), p) - truth))  # noqa: E731
    coarse = CoarseToFine(loop, fewest_columns=12)
    assert isinstance(robust(coarse), CoarseToFine)
    assert error(coarse) < 0.9 * error(loop)


def test_a_data_term_keeps_its_meaning_at_a_coarser_level():
    """Weights of the coarse term are those of the fine term where both bins of a pair are alike."""
    p = problem()
    p = dataclasses.replace(p, sinogram=jnp.repeat(p.sinogram[:, ::2], 2, axis=1))
    blank = jnp.zeros((N, N))
    coarse, scale = p.coarser(), 0.05
    poisson = Poisson(1e3, scale)
    fine = poisson.weights(p, blank)[:, ::2]
    np.testing.assert_allclose(
        poisson.coarser().weights(coarse, jnp.zeros((N // 2, N // 2))), fine, rtol=1e-5
    )
    sigma = jnp.repeat(jnp.linspace(1, 3, N // 2), 2)[None] * jnp.ones((len(THETA), 1))
    fine = Gaussian(sigma).weights(p, blank)[:, ::2]
    np.testing.assert_allclose(Gaussian(sigma).coarser().weights(coarse, blank), fine, rtol=1e-5)
    fine = WholeViews(4.0).weights(p, blank)[:, ::2]
    assert float(fine.min()) < 1
    np.testing.assert_allclose(
        WholeViews(4.0).coarser().weights(coarse, jnp.zeros((N // 2, N // 2))), fine, rtol=1e-5
    )


def test_it_is_differentiable():
    p = problem()
    solver = CoarseToFine(HQS(TV(1e-3, iterations=5), 0.02, initial_iterations=2), (2, 1), 12)

    def loss(gain):
        row = p.with_sinogram(gain * p.sinogram)
        return jnp.sum(run(solver, row, jnp.zeros((N, N)), iterations=2, differentiate="unroll").value ** 2)

    value, slope = jax.jit(jax.value_and_grad(loss))(1.0)
    # The pixel values are nearly proportional to the data.
    assert float(slope) == pytest.approx(2 * float(value), rel=0.1)
