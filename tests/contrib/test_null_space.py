"""The correction agrees with the data as far as any image can, and changes nothing else."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.linalg import lsqr

from pfitre_jax import contrib
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.interfaces import Prior
from pfitre_jax.operators.projector import Projector

N = 20
# Each view twice, with other noise: no image fits all.
A = Projector(ParallelGeometry.create(np.tile(np.linspace(-0.7, 0.7, 5), 2), N, 9.2))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Always(Prior):
    """A prior that proposes one image for every input."""

    image: Any

    def denoise(self, v, *, correction, wedge, rho):
        return self.image


@functools.cache
def scan() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The projector as a dense matrix, a noisy sinogram, and an image that has nothing to do with it."""
    with jax.enable_x64(True):
        rows = jax.jit(jax.vmap(A))(jnp.eye(N * N).reshape(-1, N, N))
    matrix = np.asarray(rows).reshape(N * N, -1).T
    rng = np.random.default_rng(5)
    image = np.zeros((N, N))
    image[5:14, 7:12] = 1.0
    y = matrix @ image.ravel()
    return matrix, y + 0.03 * y.max() * rng.standard_normal(y.shape), rng.random(N * N)


def reconstruct(**settings) -> np.ndarray:
    """In double precision: many conjugate gradients would accumulate rounding errors in the null space."""
    _, y, z = scan()
    with jax.enable_x64(True):
        prior, sinogram = Always(jnp.asarray(z.reshape(N, N))), jnp.asarray(y.reshape(A.sinogram_shape))
        support = jnp.ones((N, N))
        done = contrib.null_space(A, sinogram, prior=prior, iterations=1, support=support, **settings)
        return np.ravel(done.value)


@pytest.mark.slow
def test_prior_contributes_only_in_the_null_space():
    matrix, y, z = scan()
    x = reconstruct(damping=0.0, cg_iterations=100)
    least = np.linalg.norm(matrix @ np.linalg.lstsq(matrix, y, rcond=1e-6)[0] - y)
    assert np.linalg.norm(matrix @ z - y) > 10 * least > 0.01 * np.linalg.norm(y)
    assert np.linalg.norm(matrix @ x - y) < 1.01 * least
    # Basis of the null space; the rows of the matrix span its complement.
    _, values, directions = np.linalg.svd(matrix)
    unseen = directions[np.sum(values > 1e-6 * values[0]) :]
    assert len(unseen) > 100
    assert np.linalg.norm(unseen @ (x - z)) < 1e-6 * np.linalg.norm(x - z)
    assert np.linalg.norm(unseen @ z) > 0.1 * np.linalg.norm(z), "the data see all of it"


def test_damped_correction_is_the_regularised_inverse():
    """``x = z + (A^T A/norm(A)^2 + damping)^-1 A^T(y - A z)/norm(A)^2``, a dense solve."""
    matrix, y, z = scan()
    damping, norm_squared = 0.01, np.linalg.norm(matrix, 2) ** 2
    H = matrix.T @ matrix / norm_squared + damping * np.eye(N * N)
    expected = z + np.linalg.solve(H, matrix.T @ (y - matrix @ z) / norm_squared)
    np.testing.assert_allclose(reconstruct(damping=damping, cg_iterations=60), expected, atol=1e-6)


def test_early_stopping_agrees_with_lsqr():
    """Both are conjugate gradients on the normal equations: equal iterates in exact arithmetic."""
    matrix, y, z = scan()
    expected = z + lsqr(matrix, y - matrix @ z, iter_lim=4, atol=0, btol=0)[0]
    np.testing.assert_allclose(reconstruct(damping=0.0, cg_iterations=4), expected, atol=1e-6)
