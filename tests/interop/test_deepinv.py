"""The DeepInverse physics: same products, exact adjoint, gradients of autograd, shared memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax import ParallelGeometry, Projector
from pfitre_jax.interop.deepinv import differentiable_pair, linear_physics

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
deepinv = pytest.importorskip("deepinv", reason="DeepInverse is not installed")

SHAPE = (20, 24)


def projector():
    theta = np.deg2rad([2.0, 31.0, 76.0, 97.0, 131.0, 200.0, 283.0])
    return Projector(ParallelGeometry.create(theta, 33, 15.2), SHAPE)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_products_are_those_of_the_projector():
    A, physics = projector(), linear_physics(projector())
    x = random(2, 3, *SHAPE)
    y = physics.A(x)
    assert y.shape == (2, 3, 7, 33)
    np.testing.assert_array_equal(y, jax.jit(jax.vmap(jax.vmap(A)))(x.numpy()))
    np.testing.assert_array_equal(physics.A_adjoint(y), jax.jit(jax.vmap(jax.vmap(A.T)))(y.numpy()))


def test_the_adjoint_is_exact():
    torch.manual_seed(0)
    assert linear_physics(projector()).adjointness_test(random(1, 3, *SHAPE), num_samples=32) < 5e-6


def test_the_normalised_operator_has_norm_1():
    physics = linear_physics(projector(), normalize=True)
    norm_squared = physics.compute_sqnorm(random(1, 1, *SHAPE), max_iter=300, tol=1e-6, verbose=False)
    assert norm_squared == pytest.approx(1, abs=2e-3)


def test_autograd_uses_the_exact_adjoint_in_every_order():
    physics = linear_physics(projector())
    x, y = random(1, 1, *SHAPE).requires_grad_(), random(1, 1, 7, 33, seed=1)
    residual = physics.A(x) - y
    [gradient] = torch.autograd.grad(0.5 * (residual**2).sum(), x, create_graph=True)
    torch.testing.assert_close(gradient, physics.A_adjoint(residual))
    # The derivative of |gradient|^2 / 2 is the normal operator on the gradient.
    [second] = torch.autograd.grad(0.5 * (gradient**2).sum(), x)
    torch.testing.assert_close(second, physics.A_adjoint(physics.A(gradient)))


def test_arrays_share_the_memory_of_tensors():
    addresses = []
    original = jax.dlpack.from_dlpack

    def record(tensor):
        array = original(tensor)
        addresses.append((tensor.data_ptr(), array.unsafe_buffer_pointer()))
        return array

    # 64 x 64 values: PyTorch aligns them as JAX expects of an array that it does not copy.
    forward, _ = differentiable_pair(lambda x: x + 1, lambda y: y, jnp.dtype(jnp.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.dlpack, "from_dlpack", record)
        result = forward(torch.zeros(64, 64))
    [(tensor, array)] = addresses
    assert tensor == array and bool((result == 1).all())


def test_a_change_of_the_tensor_afterwards_does_not_change_the_result():
    physics = linear_physics(projector())
    x = random(4, 1, *SHAPE)
    expected = physics.A(x.clone())
    for _ in range(20):
        scratch = x.clone()
        y = physics.A(scratch)
        scratch.zero_()
        torch.testing.assert_close(y, expected, rtol=0, atol=0)


def test_another_type_is_refused():
    with pytest.raises(ValueError, match=r"type torch.float64; expected torch.float32.*tensor.to\("):
        linear_physics(projector()).A(torch.zeros(1, 1, *SHAPE, dtype=torch.float64))


def test_the_least_squares_solution_of_deepinv_fits_the_data():
    physics = linear_physics(projector(), normalize=True, max_iter=100, tol=1e-6)
    y = physics.A(random(1, 1, *SHAPE))
    residual = physics.A(physics.A_dagger(y)) - y
    assert residual.norm() < 1e-2 * y.norm()
