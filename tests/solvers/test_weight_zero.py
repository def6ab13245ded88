"""Weight 0 takes total variation away: what is left is non-negative least squares."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import nnls

from pfitre_jax import solvers
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.solvers.admm import tv_rho
from pfitre_jax.solvers.loop import Status

N = 12


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


@pytest.mark.parametrize(("method", "iterations"), [(solvers.fista_tv, 1000), (solvers.admm_tv, 300)])
def test_weight_0_gives_least_squares(scan, method, iterations):
    A, sinogram, best, residual = scan
    solution = method(A, sinogram, weight=0.0, support=np.ones((N, N)), iterations=iterations)
    assert int(solution.status) != Status.DIVERGED
    np.testing.assert_allclose(solution.value, best, atol=0.03 * best.max())
    assert np.linalg.norm(A(solution.value) - sinogram) == pytest.approx(residual, rel=1e-3)


def test_rho_follows_the_weight_but_not_to_0():
    rho = lambda weight: Settings.create("admm-tv", weight=weight).resolve().rho  # noqa: E731
    assert rho(3e-3) == pytest.approx(3 * rho(1e-3))
    assert rho(0) > 0
    for weight in (0.0, 1e-3):
        assert float(jax.jit(tv_rho)(weight)) == pytest.approx(rho(weight))
