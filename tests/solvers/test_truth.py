"""Solvers against independent implementations, on a problem small enough for a dense matrix."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from scipy.optimize import nnls
from scipy.sparse.linalg import lsqr
from small_scan import N, everywhere, inside, problem, scan

from pfitre_jax import solvers
from pfitre_jax.baselines import published
from pfitre_jax.baselines.published.loop import TV_STRENGTH, PublishedADMM
from pfitre_jax.interfaces import Prior
from pfitre_jax.operators.finite_differences import total_variation
from pfitre_jax.priors.nonnegative import Nonnegative
from pfitre_jax.solvers.conjugate_gradients import conjugate_gradients, data_step
from pfitre_jax.solvers.fista import objective
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import disc_support

WEIGHT = 1e-3


@functools.cache
def minimum() -> float:
    """Smallest value of the TV objective, by Chambolle & Pock (J. Math. Imaging Vis. 40, 2011) in numpy.

    Saddle point of ``<K x, (p, q)>``, ``K = (A, D)``, with the data term and TV both on the dual side.
    """
    sinogram, matrix = scan()[1], inside()
    norm_squared = float(problem().norm_squared)
    scaled, y = matrix / norm_squared**0.5, sinogram.ravel().astype(float) / norm_squared**0.5
    line = scipy.sparse.diags([-np.r_[np.ones(N - 1), 0], np.ones(N - 1)], [0, 1])
    D = scipy.sparse.vstack([scipy.sparse.kron(line, np.eye(N)), scipy.sparse.kron(np.eye(N), line)]).tocsr()
    step = 1 / np.sqrt(1.05 + 8)
    # Balances primal and dual: the images are of order 1, the dual of order WEIGHT.
    tau, sigma = step * 30, step / 30
    support = np.asarray(disc_support(scan()[0])).ravel()
    x = ahead = np.zeros(N * N)
    p, q = np.zeros(y.size), np.zeros(2 * N * N)
    for _ in range(5000):
        p = (p + sigma * (scaled @ ahead - y)) / (1 + sigma)
        q = q + sigma * (D @ ahead)
        length = np.hypot(*q.reshape(2, -1))
        q = q / np.tile(np.maximum(length / WEIGHT, 1), 2)
        new = np.maximum(x - tau * (scaled.T @ p + D.T @ q), 0) * support
        ahead, x = 2 * new - x, new
    return 0.5 * np.sum((scaled @ x - y) ** 2) + WEIGHT * np.hypot(*(D @ x).reshape(2, -1)).sum()


def test_the_objective_is_stated_as_it_is_minimised():
    """At any image, not only at a solution."""
    sinogram, matrix = scan()[1], inside()
    x = np.random.default_rng(1).random((N, N)).astype(np.float32) * np.asarray(problem().support)
    norm_squared = float(problem().norm_squared)
    assert abs(norm_squared / np.linalg.norm(everywhere(), 2) ** 2 - 1) < 0.01
    data = np.sum((matrix @ x.ravel() - sinogram.ravel()) ** 2) / (2 * norm_squared)
    down, right = np.diff(x, axis=0, append=x[-1:]), np.diff(x, axis=1, append=x[:, -1:])
    np.testing.assert_allclose(
        objective(problem(), x, WEIGHT), data + WEIGHT * np.hypot(down, right).sum(), rtol=1e-4
    )


@pytest.mark.parametrize("method", ["fista", "admm"])
def test_tv_methods_reach_the_minimum(method):
    A, sinogram = scan()
    if method == "fista":
        done = solvers.fista_tv(A, sinogram, weight=WEIGHT)
    else:
        done = solvers.admm_tv(A, sinogram, weight=WEIGHT, iterations=120)
    assert np.all(done.value >= 0)
    reached = float(objective(problem(), done.value, WEIGHT))
    assert abs(reached / minimum() - 1) < 1e-3


def test_fista_stops_close_to_the_minimum():
    A, sinogram = scan()
    done = solvers.fista_tv(A, sinogram, weight=WEIGHT, iterations=1000, tolerance=1e-4)
    assert done.stats["iterations"] < 1000
    assert float(objective(problem(), done.value, WEIGHT)) / minimum() - 1 < 5e-3


def test_a_larger_weight_gives_less_variation_and_a_larger_residual():
    A, sinogram = scan()
    light, heavy = (solvers.fista_tv(A, sinogram, weight=w, iterations=150) for w in (1e-4, 1e-2))
    assert total_variation(heavy.value) < 0.8 * total_variation(light.value)
    assert heavy.stats["residual"][-1] > light.stats["residual"][-1]


@pytest.mark.parametrize("iterations", [3, 12])
def test_cgls_agrees_with_lsqr(iterations):
    """Both are conjugate gradients on the normal equations: equal iterates in exact arithmetic."""
    (A, sinogram), matrix = scan(), inside()
    theirs = lsqr(matrix, sinogram.ravel(), iter_lim=iterations, atol=0, btol=0)[0]
    ours = np.asarray(solvers.cgls(A, sinogram, iterations=iterations).value).ravel()
    assert np.linalg.norm(ours - theirs) < 2e-3 * np.linalg.norm(theirs)


def test_cgls_from_an_initial_image_reaches_the_same_fit():
    A, sinogram = scan()
    start = jnp.asarray(np.random.default_rng(2).random((N, N)), jnp.float32)
    fits = [solvers.cgls(A, sinogram, iterations=60, x0=x0).stats["residual"][-1] for x0 in (None, start)]
    np.testing.assert_allclose(fits[1], fits[0], rtol=0.02)


def test_sirt_lowers_its_norm_at_every_step():
    """``|R^(1/2) (A x - y)|``; and it is the update it says, by the dense matrix."""
    (A, sinogram), matrix = scan(), inside()
    rows, columns = matrix.sum(axis=1), matrix.sum(axis=0)
    R = np.divide(1, rows, out=np.zeros_like(rows), where=rows > 1e-6 * rows.max())
    C = np.divide(1, columns, out=np.zeros_like(columns), where=columns > 0)
    y, x = sinogram.ravel().astype(float), np.zeros(N * N)
    norms = []
    for _ in range(10):
        x = x + C * (matrix.T @ (R * (y - matrix @ x)))
        norms.append(np.sqrt(R @ (matrix @ x - y) ** 2))
    ours = np.asarray(solvers.sirt(A, sinogram, iterations=10, nonnegative=False).value).ravel()
    assert np.linalg.norm(ours - x) < 1e-4 * np.linalg.norm(x)
    assert np.all(np.diff(norms) < 0)
    clipped = solvers.sirt(A, sinogram, iterations=10)
    assert np.all(clipped.value >= 0) and np.any(ours < 0)


@pytest.mark.parametrize("rho", [0.003, 0.1])
def test_data_step_meets_the_optimality_conditions(rho):
    """Where x > 0 the gradient is 0, where x = 0 it points inward."""
    p = problem()
    target = jnp.asarray(np.random.default_rng(3).random((N, N)) - 0.3, jnp.float32)

    @jax.jit
    def settle(x):
        return jax.lax.fori_loop(0, 30, lambda _, x: data_step(p, target, rho, x, iterations=15), x)

    x = settle(jnp.zeros((N, N)))
    slope = np.asarray(p.gradient(x) + rho * (x - target) * p.support)
    scale = float(jnp.max(jnp.abs(p.back(p.sinogram))))
    positive = np.asarray(x) > 0
    held = ~positive & (np.asarray(p.support) > 0)
    assert held.sum() > 50 and positive.sum() > 50
    assert np.abs(slope[positive]).max() < 1e-4 * scale
    assert slope[held].min() > -1e-4 * scale
    assert np.all(np.asarray(x)[np.asarray(p.support) == 0] == 0)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_conjugate_gradients_are_differentiable_after_convergence(scale):
    rng = np.random.default_rng(2)
    root = rng.standard_normal((12, 12))
    matrix = jnp.asarray(root @ root.T / 12 + np.eye(12), jnp.float32)
    b = jnp.asarray(scale * rng.standard_normal(12), jnp.float32)
    solve = lambda b: conjugate_gradients(lambda v: matrix @ v, b, 0 * b, iterations=60)  # noqa: E731
    gradient = jax.jit(jax.grad(lambda b: jnp.sum(solve(b))))(b)
    np.testing.assert_allclose(gradient, np.linalg.solve(np.asarray(matrix, float), np.ones(12)), rtol=1e-3)


def test_conjugate_gradients_converge_and_then_change_nothing():
    rng = np.random.default_rng(4)
    factor = rng.standard_normal((12, 12))
    matrix = jnp.asarray(factor @ factor.T + 5 * np.eye(12), jnp.float32)
    b = jnp.asarray(rng.standard_normal(12), jnp.float32)
    x = conjugate_gradients(lambda v: matrix @ v, b, jnp.zeros(12), iterations=200)
    np.testing.assert_allclose(x, np.linalg.solve(matrix, b), rtol=1e-3, atol=1e-5)
    zero = conjugate_gradients(lambda v: matrix @ v, 0 * b, 0 * b, iterations=5)
    np.testing.assert_array_equal(zero, 0)


def test_admm_with_only_a_constraint_is_non_negative_least_squares():
    (A, sinogram), matrix = scan(), inside()
    done = solvers.admm(A, sinogram, prior=Nonnegative(), rho=0.02, iterations=60)
    best = nnls(matrix, sinogram.ravel().astype(float), maxiter=20000)[1] / np.linalg.norm(sinogram)
    assert best * (1 - 1e-4) <= done.stats["residual"][-1] < best * 1.1


def test_original_is_the_published_loop():
    """Step by step with a direct solve, the prior an identity, in double precision."""

    class Identity(Prior):
        def denoise(self, v, *, correction, wedge, rho):
            return v

    jax.tree_util.register_static(Identity)
    A, sinogram = scan()
    matrix = everywhere()
    rho, y = 8.0, sinogram.ravel().astype(float)
    inverse = np.linalg.inv(matrix.T @ matrix + rho * np.eye(N * N))
    z = u = np.zeros(N * N)
    for _ in range(4):
        x = np.maximum(inverse @ (matrix.T @ y + rho * (z - u)), 0)
        z = np.maximum(x + u, 0)
        u = u + x - z
    done = published.pfitre_original(A, sinogram, prior=Identity(), rho=rho, iterations=4, cg_iterations=150)
    assert np.linalg.norm(np.asarray(done.value).ravel() - x) < 2e-3 * np.linalg.norm(x)


def test_original_smooths_the_proposal_on_request():
    def variation(strength):
        method = PublishedADMM(Nonnegative(), jnp.asarray(20.0), strength)
        _, state = jax.jit(lambda p: method.step(p, *method.init(p, jnp.zeros((N, N)))))(problem())
        return total_variation(state.z)

    assert variation(TV_STRENGTH) < 0.99 * variation(0.0)


@pytest.mark.parametrize(
    "method", [solvers.CGLS(), solvers.HQS(Nonnegative(), 0.05, 3, start_iterations=3)], ids=["cgls", "hqs"]
)
def test_a_converged_solution_has_finite_gradients(method):
    """Empty data: x stands still at 0, where the norms in residual and change have a kink."""
    p = problem()

    def loss(y):
        done = run(method, p.with_sinogram(y), jnp.zeros((N, N)), iterations=3, differentiate="unroll")
        return jnp.sum(done.value)

    assert np.all(np.isfinite(jax.jit(jax.grad(loss))(jnp.zeros_like(p.sinogram))))


def test_hqs_ends_with_one_data_step_towards_the_last_proposal():
    """The result's normal equations, with the final rho; and without one it is the loop's image."""
    p, rho, blank = problem(), 0.05, jnp.zeros((N, N))
    method = solvers.HQS(Nonnegative(), rho, 60, final_rho_factor=4.0, start_iterations=60)
    iterate, state = jax.jit(lambda p: method.step(p, *method.init(p, blank)))(p)
    done = jax.jit(lambda p: run(method, p, blank, iterations=1).value)(p)
    # Where the result is positive, the gradient of 1/2 |Ax-y|^2 / norm^2 + 4 rho / 2 |x - z|^2 vanishes.
    slope = 4 * rho * (done - state.z) + p.back(p.residual(done))
    free = np.asarray((done > 1e-3) & (p.support > 0))
    assert free.sum() > 20
    assert np.abs(np.asarray(slope))[free].max() < 1e-3 * np.abs(4 * rho * np.asarray(state.z)).max()
    assert np.abs(np.asarray(done - iterate.x)).max() > 1e-3
    left = dataclasses.replace(method, final_rho_factor=0.0)
    opened = jax.jit(lambda p: run(left, p, blank, iterations=1).value)(p)
    np.testing.assert_allclose(opened, iterate.x, atol=1e-5)
