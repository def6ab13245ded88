"""Weight 0 takes total variation away: what is left is non-negative least squares."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import nnls

from pfitre_jax import solvers
from pfitre_jax.engine import methods
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.loop import Status
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.problem import Problem

N = 12
ITERATIONS = 300


@pytest.fixture(scope="module")
def scan():
    """A projector, a noisy sinogram that no image fits, and the least-squares image and residual norm."""
    A = Projector(ParallelGeometry.create(np.linspace(0, np.pi, 24, endpoint=False), N))
    random = np.random.default_rng(0)
    image = np.maximum(random.standard_normal((N, N)), 0)
    columns = jax.jit(jax.vmap(A))(jnp.eye(N * N).reshape(-1, N, N))
    dense = np.asarray(columns, float).reshape(N * N, -1).T
    sinogram = dense @ image.ravel()
    sinogram = sinogram + 0.1 * random.standard_normal(sinogram.shape)
    best, residual = nnls(dense, sinogram)
    return A, sinogram.reshape(A.sinogram_shape).astype(np.float32), best.reshape(N, N), residual


def check(scan, image):
    A, sinogram, best, residual = scan
    np.testing.assert_allclose(image, best, atol=0.03 * best.max())
    assert np.linalg.norm(A(image) - sinogram) == pytest.approx(residual, rel=1e-3)


@pytest.mark.parametrize("method", [solvers.fista_tv, solvers.admm_tv])
@pytest.mark.parametrize("weight", [0.0, jnp.float32(0)])
def test_the_solvers_give_least_squares(scan, method, weight):
    A, sinogram, *_ = scan
    solution = method(A, sinogram, weight=weight, support=np.ones((N, N)), iterations=ITERATIONS)
    assert int(solution.status) != Status.DIVERGED
    check(scan, solution.value)


@pytest.mark.parametrize("method", ["fista-tv", "admm-tv"])
def test_the_methods_give_least_squares(scan, method):
    A, sinogram, *_ = scan
    settings = methods.with_numbers(methods.settings(method, weight=0), lambda: pytest.fail("not auto"))
    problem = Problem.create(A, sinogram, support=np.ones((N, N), np.float32))
    solver = methods.build(method, settings)
    solution = methods.solve_slice(solver, problem, iterations=ITERATIONS, tolerance=0.0)
    assert int(solution.status) != Status.DIVERGED
    check(scan, solution.value)


def test_rho_follows_the_weight_where_there_is_one():
    asked = methods.settings("admm-tv", weight="auto")
    low, high = (methods.with_numbers(asked, lambda w=w: w)["rho"] for w in (1e-3, 3e-3))
    assert high == pytest.approx(3 * low)
