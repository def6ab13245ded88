"""RED satisfies its fixed-point equation; RED-PRO finds the best fit among the denoiser's fixed points."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import nnls
from small_scan import N, Smooth, everywhere, normal_equations, scan, smoothing, solve_nonnegative

from pfitre_jax import contrib
from pfitre_jax.interfaces import Prior
from pfitre_jax.solvers.loop import Status

BLOCK = 6


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Blocks(Prior):
    """The nearest image that is constant on blocks: a projection, whose fixed points are these images."""

    block: Any = dataclasses.field(default=BLOCK, metadata={"static": True})

    def denoise(self, v, *, correction, wedge, rho):
        n = N // self.block
        means = v.reshape(n, self.block, n, self.block).mean(axis=(1, 3))
        return jnp.repeat(jnp.repeat(means, self.block, 0), self.block, 1)


def test_red_satisfies_its_fixed_point_equation():
    """``A^T(A x - y)/norm(A)^2 + weight (x - D x) = 0`` where ``x > 0``, solved densely."""
    weight, factor = 0.3, 0.8
    done = contrib.red(*scan(), prior=Smooth(factor), weight=weight, iterations=600, tolerance=1e-6)
    assert done.status == Status.CONVERGED
    (H, b), D = normal_equations(), factor * smoothing()
    expected = solve_nonnegative(H + weight * (np.eye(N * N) - D), b, done.value)
    np.testing.assert_allclose(np.ravel(done.value), expected, atol=1e-4)


def test_red_without_a_weight_is_least_squares():
    done = contrib.red(*scan(), prior=Smooth(0.5), weight=0.0, iterations=300)
    H, b = normal_equations()
    slope = H @ np.ravel(done.value).astype(float) - b
    assert np.abs(slope[np.ravel(done.value) > 1e-3]).max() < 0.02 * np.abs(b).max()


def test_red_pro_finds_the_best_fit_among_the_fixed_points():
    A, sinogram = scan()
    done = contrib.red_pro(
        A, sinogram, prior=Blocks(), relaxation=1.0, iterations=600, support=jnp.ones((N, N))
    )
    n = N // BLOCK
    blocks = np.stack(
        [np.kron(one.reshape(n, n), np.ones((BLOCK, BLOCK))).ravel() for one in np.eye(n * n)], axis=1
    )
    values, residual_norm = nnls(everywhere() @ blocks, sinogram.ravel().astype(float))
    assert residual_norm > 0.05 * np.linalg.norm(sinogram), (
        "the data are fitted exactly: there is no best fit"
    )
    np.testing.assert_allclose(np.ravel(done.value), blocks @ values, atol=0.01 * values.max())


def test_distance_of_red_pro_to_the_fixed_points_decays_as_documented():
    """With relaxation the distance is proportional to ``mu_k = step_length / k^power``."""
    A, sinogram = scan()
    # The image is positive everywhere, so that the constraint x >= 0 is inactive.
    sinogram = sinogram + 3 * np.asarray(jax.jit(lambda A: A(jnp.ones((N, N))))(A))

    def off(iterations):
        x = contrib.red_pro(
            A,
            sinogram,
            prior=Blocks(),
            power=0.5,
            relaxation=0.5,
            iterations=iterations,
            support=jnp.ones((N, N)),
        ).value
        assert np.all(x > 0)
        return np.linalg.norm(x - Blocks().denoise(x, correction=None, wedge=None, rho=None))

    assert abs(off(150) / off(600) / 2 - 1) < 0.1
