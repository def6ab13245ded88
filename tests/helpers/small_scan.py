"""A limited-angle scan small enough for a dense matrix."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.interfaces import Prior
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.slice_problem import SliceProblem, disc_support

N = 24
THETA = np.deg2rad(np.linspace(-40, 40, 12))


@functools.cache
def scan():
    """The projector and a noisy sinogram."""
    A = Projector(ParallelGeometry.create(THETA, N, 11.2))
    image = np.zeros((N, N), np.float32)
    image[5:17, 8:11] = 1.0
    image[11:14, 9:19] = 0.7
    sinogram = np.asarray(jax.jit(lambda A, x: A(x))(A, jnp.asarray(image)))
    noise = np.random.default_rng(0).standard_normal(sinogram.shape)
    sinogram = (sinogram + 0.02 * sinogram.max() * noise).astype(np.float32)
    return A, sinogram


@functools.cache
def everywhere() -> np.ndarray:
    """The projector as a dense matrix (bins, pixels)."""
    rows = jax.jit(jax.vmap(scan()[0]))(jnp.eye(N * N).reshape(-1, N, N))
    return np.asarray(rows, float).reshape(N * N, -1).T


@functools.cache
def inside() -> np.ndarray:
    """The projector as a dense matrix that is 0 for pixels outside the support."""
    return everywhere() * np.asarray(disc_support(scan()[0])).ravel()


@functools.cache
def problem():
    return jax.jit(lambda A, y: SliceProblem.create(A, y, wedge=Wedge.from_angles(THETA)))(*scan())


def normal_equations() -> tuple[np.ndarray, np.ndarray]:
    """``H = S A^T A S/norm(A)^2`` and ``b = S A^T y/norm(A)^2``: the data term's gradient is ``H x - b``."""
    norm_squared = float(problem().norm_squared)
    matrix, y = inside(), scan()[1].ravel().astype(float)
    return matrix.T @ matrix / norm_squared, matrix.T @ y / norm_squared


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Smooth(Prior):
    """A linear denoiser: ``factor`` times the image smoothed over its four neighbours, periodic."""

    factor: Any

    def denoise(self, v, *, correction, wedge, rho):
        around = sum(jnp.roll(v, shift, axis) for shift in (1, -1) for axis in (0, 1))
        return self.factor * (0.6 * v + 0.1 * around)


def smoothing() -> np.ndarray:
    """``Smooth(1)`` as a dense matrix; eigenvalues from 0.2 to 1."""
    ring = 0.1 * (np.roll(np.eye(N), 1, 0) + np.roll(np.eye(N), -1, 0))
    return 0.6 * np.eye(N * N) + np.kron(ring, np.eye(N)) + np.kron(np.eye(N), ring)


def solve_nonnegative(matrix: np.ndarray, rhs: np.ndarray, near) -> np.ndarray:
    """``x >= 0`` with ``matrix x = rhs`` where ``x > 0``, ``matrix x >= rhs`` where it is 0 in the support.

    Which pixels are 0 is read off an image ``near`` it, and that this is right is asserted.
    """
    positive = np.ravel(near) > 0
    zero = ~positive & (np.asarray(disc_support(scan()[0])).ravel() > 0)
    x = np.zeros(N * N)
    x[positive] = np.linalg.solve(matrix[np.ix_(positive, positive)], rhs[positive])
    assert positive.sum() > 50 and zero.sum() > 10, "one kind of pixel is missing: nothing was checked"
    assert x.min() > -1e-4 and (matrix @ x - rhs)[zero].min() > -1e-4 * np.abs(rhs).max()
    return x
