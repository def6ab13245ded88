"""Contract of every linear operator, applied to one list."""

from __future__ import annotations

import dataclasses

import documented
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contract import check_close, check_gradient, random_like

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.dot_test import dot_test
from pfitre_jax.operators.fbp import fbp
from pfitre_jax.operators.finite_differences import gradient, gradient_adjoint
from pfitre_jax.operators.normal import NormalKernel
from pfitre_jax.operators.projector import Projector

IMAGE, SINOGRAM, FIELD = (12, 14), (5, 15), (2, 12, 14)
BATCH = 3


@dataclasses.dataclass(frozen=True)
class Entry:
    """apply(A, data) for data of this shape; adjoint: its exact transpose; geometry: has a centre."""

    apply: callable
    shape: tuple
    adjoint: callable = None
    geometry: bool = False


Blurred = documented.run("add/operator.md", "blurred.py")["Blurred"]
blurred = lambda A: Blurred(A.geometry, A.shape, jnp.array([0.25, 0.5, 0.25]))  # noqa: E731

OPERATORS = {
    "project": Entry(lambda A, x: A(x), IMAGE, lambda A, y: A.T(y), True),
    "backproject": Entry(lambda A, y: A.T(y), SINOGRAM, lambda A, x: A(x), True),
    "normal": Entry(lambda A, x: A.normal(x), IMAGE, lambda A, x: A.normal(x), True),
    "kernel": Entry(lambda A, x: NormalKernel.create(A)(x), IMAGE, lambda A, x: NormalKernel.create(A)(x)),
    "preconditioner": Entry(
        lambda A, x: NormalKernel.create(A).precondition(x, 3.0),
        IMAGE,
        lambda A, x: NormalKernel.create(A).precondition(x, 3.0),
    ),
    "fbp": Entry(lambda A, y: fbp(A, y, "hann"), SINOGRAM, None, True),
    "gradient": Entry(lambda A, x: gradient(x), IMAGE, lambda A, p: gradient_adjoint(p)),
    "gradient adjoint": Entry(lambda A, p: gradient_adjoint(p), FIELD, lambda A, x: gradient(x)),
    "blurred of the docs": Entry(lambda A, x: blurred(A)(x), IMAGE, lambda A, y: blurred(A).T(y), True),
}


@pytest.fixture(params=OPERATORS, name="entry")
def _entry(request):
    return OPERATORS[request.param]


def projector(center=6.6) -> Projector:
    return Projector(ParallelGeometry.create([0.1, 0.7, 1.3, 2.0, 2.9], 15, center), IMAGE)


def data(entry, count=None):
    shape = entry.shape if count is None else (count, *entry.shape)
    return random_like(jnp.zeros(shape, jnp.result_type(float)), 1)


def test_jit_equals_eager_and_traces_once(entry):
    traces = []

    @jax.jit
    def apply(A, x):
        traces.append(1)
        return entry.apply(A, x)

    first = apply(projector(), data(entry))
    apply(projector(7.2), 2 * data(entry))
    assert len(traces) == 1
    check_close(first, entry.apply(projector(), data(entry)), 1e-5)


def test_vmap_equals_loop(entry):
    batch = data(entry, BATCH)
    one = jax.jit(entry.apply)
    mapped = jax.jit(jax.vmap(entry.apply, in_axes=(None, 0)))(projector(), batch)
    check_close(mapped, jnp.stack([one(projector(), x) for x in batch]), 1e-5)


def test_operator_is_linear(entry):
    apply = jax.jit(entry.apply)
    a, b = data(entry, 2)
    A = projector()
    check_close(apply(A, 2 * a - 3 * b), 2 * apply(A, a) - 3 * apply(A, b), 1e-5)


def test_gradient_agrees_with_finite_differences(entry):
    with jax.enable_x64(True):
        A = projector()

        def loss(arguments):
            x, center = arguments
            moved = dataclasses.replace(A, geometry=dataclasses.replace(A.geometry, center=center))
            return jnp.sum(jnp.sin(entry.apply(moved if entry.geometry else A, x)))

        check_gradient(loss, (data(entry), A.geometry.center))


@pytest.mark.parametrize("x64", [False, True])
def test_dtype_is_kept(entry, x64):
    with jax.enable_x64(x64):
        out = jax.eval_shape(entry.apply, projector(), data(entry))
        assert out.dtype == (jnp.float64 if x64 else jnp.float32)


def test_adjoint_is_exact(entry):
    if entry.adjoint is None:
        pytest.skip("FBP has no transpose of its own")
    A = projector()
    forward = jax.jit(lambda x: entry.apply(A, x))
    adjoint = jax.jit(lambda y: entry.adjoint(A, y))
    out = jax.eval_shape(forward, data(entry))
    assert dot_test(forward, adjoint, entry.shape, out.shape) <= 1e-6


def test_the_dot_test_can_fail():
    A = projector()
    moved = projector(7.0)
    assert dot_test(A, moved.T, IMAGE, SINOGRAM, key=jax.random.key(np.int32(1))) > 1e-3
