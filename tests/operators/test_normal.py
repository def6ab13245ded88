"""The FFT form of the normal operator against the exact one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.normal import NormalKernel, cubic_b_spline
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import conjugate_gradients
from pfitre_jax.solvers.slice_problem import disc_support

N = 40


def projector(theta_deg, n=N, center=None) -> Projector:
    return Projector(ParallelGeometry.create(np.deg2rad(theta_deg), n, center))


@jax.jit
def exact(A, support, x):
    return support * A.normal(support * x)


@jax.jit
def by_fft(A, support, x):
    return NormalKernel.create(A, support)(x)


@pytest.mark.parametrize(
    "theta_deg", [np.linspace(-40, 130, 40), [20.0, 70.0, 110.0], [0.0], [45.0]], ids=["40", "3", "0", "45"]
)
def test_fft_form_is_the_exact_operator_averaged_over_bin_offsets(theta_deg):
    """On any image: what the exact one adds is the aliasing of the bins, which depends on where they lie."""
    center = (N - 1) / 2
    support = disc_support(projector(theta_deg))
    distance = np.hypot(*(np.indices((N, N)) - center))
    inside = np.random.default_rng(0).random((N, N)) * (distance < N / 2 - 4)
    for x in (inside, gaussian_filter(inside, 2)):
        x = jnp.asarray(x, jnp.float32)
        moved = [projector(theta_deg, center=center + offset) for offset in np.arange(-0.5, 0.5, 0.125)]
        want = sum(exact(A, support, x) for A in moved) / len(moved)
        got = by_fft(moved[0], support, x)
        # The transfer function is held at 0 or more, which costs a kernel of few views 3%.
        assert jnp.linalg.norm(got - want) < 0.03 * jnp.linalg.norm(want)


def test_fft_form_is_close_to_the_exact_operator_on_smooth_images():
    A = projector(np.linspace(-40, 130, 40))
    support = disc_support(A)
    distance = np.hypot(*(np.indices((N, N)) - (N - 1) / 2))
    blobs = np.random.default_rng(0).random((N, N)) * (distance < N / 2 - 8)
    x = jnp.asarray(gaussian_filter(blobs, 2), jnp.float32)
    want = exact(A, support, x)
    assert jnp.linalg.norm(by_fft(A, support, x) - want) < 0.015 * jnp.linalg.norm(want)


def test_a_single_view_smears_along_its_rays():
    """At 0 degrees rays run along y: every row of ``A^T A`` of a point is the same.

    But for what the transfer function loses where it is held at 0 or more.
    """
    point = jnp.zeros((N, N)).at[17, 23].set(1.0)
    out = by_fft(projector([0.0]), jnp.ones((N, N)), point)
    np.testing.assert_allclose(out, jnp.broadcast_to(out[:1], (N, N)), atol=1e-3)
    assert jnp.argmax(out[0]) == 23
    diagonal = by_fft(projector([45.0]), jnp.ones((N, N)), point)
    # x cos 45 + y sin 45 = const: one to the right is one down.
    np.testing.assert_allclose(diagonal[5:15, 11:21], diagonal[6:16, 12:22], atol=2e-2)
    assert diagonal[17 + 8, 23 + 8] > 10 * abs(diagonal[17 - 8, 23 + 8])


def test_the_centre_of_rotation_does_not_matter():
    theta = np.deg2rad([10.0, 80.0])
    kernels = [NormalKernel.create(Projector(ParallelGeometry.create(theta, N, c))) for c in (19.5, 17.0)]
    np.testing.assert_array_equal(kernels[0].transfer, kernels[1].transfer)


def test_output_is_zero_outside_the_support():
    A = projector([10.0, 80.0, 120.0])
    support = disc_support(A)
    kernel = NormalKernel.create(A, support)
    noise = jnp.asarray(np.random.default_rng(1).standard_normal((N, N)), jnp.float32)
    for apply in (kernel, lambda x: kernel.precondition(x, 2.0)):
        assert jnp.all(jnp.where(support > 0, 0, apply(noise)) == 0)
        np.testing.assert_allclose(apply(noise), apply(noise * support), atol=1e-4)


@pytest.mark.parametrize("damping", [0.01, 10.0])
def test_preconditioner_is_symmetric_and_positive(damping):
    n = 10
    A = projector(np.linspace(0, 80, 5), n)
    kernel = NormalKernel.create(A)
    columns = jax.vmap(lambda e: kernel.precondition(e, damping))(jnp.eye(n * n).reshape(-1, n, n))
    matrix = np.asarray(columns, float).reshape(n * n, n * n)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5 * np.abs(matrix).max())
    assert np.linalg.eigvalsh((matrix + matrix.T) / 2).min() > 0


def test_conjugate_gradients_need_fewer_iterations_with_it():
    A = projector(np.linspace(0, 84, 51, endpoint=False), 64)
    support = disc_support(A)
    rho = 0.02 * A.norm_squared()
    kernel = NormalKernel.create(A, support)
    b = support * jnp.asarray(np.random.default_rng(2).standard_normal((64, 64)), jnp.float32)
    operator = lambda x: support * A.normal(support * x) + rho * x  # noqa: E731

    @jax.jit
    def error(x):
        return jnp.linalg.norm(operator(x) - b) / jnp.linalg.norm(b)

    def solve(k, **options):
        return jax.jit(lambda: conjugate_gradients(operator, b, 0 * b, iterations=k, **options))()

    preconditioned = error(solve(6, precondition=lambda r: kernel.precondition(r, rho)))
    assert preconditioned < 0.3 * error(solve(6))
    assert preconditioned < error(solve(12))


def test_b_spline_is_the_autocorrelation_of_the_tent():
    x = np.linspace(-4, 4, 1601)
    tent = np.maximum(1 - np.abs(x), 0)
    correlation = np.convolve(tent, tent, mode="same") * (x[1] - x[0])
    np.testing.assert_allclose(cubic_b_spline(jnp.asarray(x)), correlation, atol=1e-4)
