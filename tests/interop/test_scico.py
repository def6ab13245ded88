"""The SCICO operator: same products, exact adjoint, gradients and optimisers of SCICO."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pfitre_jax import ParallelGeometry, Projector
from pfitre_jax.interop.scico import linear_operator

# SCICO 0.0.7 warns of names that newer versions of JAX no longer have.
pytestmark = pytest.mark.filterwarnings("ignore:In call to wrap_recursively:UserWarning")


@pytest.fixture(scope="module", name="scico", autouse=True)
def _scico():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("scico", reason="SCICO is not installed")


THETA = np.deg2rad([2.0, 31.0, 76.0, 97.0, 131.0, 200.0, 283.0])


def projector(center=19.2):
    return Projector(ParallelGeometry.create(THETA, 41, center), (24, 24))


def image():
    """An image without any symmetry."""
    return jnp.asarray(gaussian_filter(np.random.default_rng(0).random((24, 24)), 2), jnp.float32)


def test_products_are_those_of_the_projector():
    A, x = projector(), image()
    H = linear_operator(A)
    y = jax.jit(A)(x)
    np.testing.assert_array_equal(H @ x, y)
    np.testing.assert_array_equal(H.T @ y, jax.jit(A.T)(y))
    np.testing.assert_allclose(H.gram(x), jax.jit(A.normal)(x), rtol=1e-5)


@pytest.mark.parametrize("rows", [None, 3])
def test_the_adjoint_is_exact(rows):
    from scico.linop import valid_adjoint

    H = linear_operator(projector(), rows)
    assert valid_adjoint(H, H.T) < 1e-5
    assert H.output_shape == (*(() if rows is None else (rows,)), 7, 41)


def test_the_gradient_of_a_loss_is_that_of_the_projector():
    from scico.loss import SquaredL2Loss

    A, x = projector(), image()
    y = jnp.ones((7, 41))
    loss = SquaredL2Loss(y=y, A=linear_operator(A), scale=0.5)
    gradient = jax.jit(lambda x: A.T(A(x) - y))(x)
    np.testing.assert_allclose(loss.grad(x), gradient, atol=1e-4 * np.abs(gradient).max())


def test_the_angles_of_scico_are_larger_by_a_right_angle():
    from scico.linop.xray import XRayTransform2D

    # Its rays through the middle of the detector pass through the middle of the image.
    x, y = image(), jax.jit(projector(center=20.0))(image())
    with jax.numpy_rank_promotion("allow"), pytest.warns(UserWarning, match="projected pixel"):
        theirs = XRayTransform2D((24, 24), jnp.asarray(THETA + np.pi / 2), dx=1.0, det_count=41) @ x
        mirrored = XRayTransform2D((24, 24), jnp.asarray(np.pi / 2 - THETA), dx=1.0, det_count=41) @ x
    assert jnp.linalg.norm(theirs - y) < 0.03 * jnp.linalg.norm(y)
    assert jnp.linalg.norm(mirrored - y) > 0.045 * jnp.linalg.norm(y)


def test_an_optimiser_of_scico_solves_the_least_squares_problem():
    from scico.linop import Identity
    from scico.solver import cg

    H, x = linear_operator(projector()), image()
    normal = H.gram_op + 10.0 * Identity(H.input_shape)
    solution, info = cg(normal, H.T @ (H @ x), tol=1e-5, maxiter=200)
    # The same system as a dense matrix, of the projector.
    columns = jax.jit(jax.vmap(projector()))(jnp.eye(576).reshape(576, 24, 24)).reshape(576, -1)
    matrix = np.asarray(columns, float).T
    direct = np.linalg.solve(matrix.T @ matrix + 10 * np.eye(576), matrix.T @ (matrix @ np.ravel(x)))
    np.testing.assert_allclose(np.ravel(solution), direct, atol=1e-3)
    assert info["rel_res"] < 1e-4
