"""Anderson acceleration against GMRES, dense solves and the plain loop."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.linalg import gmres

from pfitre_jax import contrib, solvers
from pfitre_jax.contrib.anderson import Anderson
from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.interfaces import Iterate, Prior, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import Status, run
from pfitre_jax.solvers.slice_problem import SliceProblem

N = 12
THETA = np.deg2rad(np.linspace(-50, 50, 10))
RHO = 0.05


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Vector:
    """The problem: ``b``."""

    b: Any

    def relative_residual(self, residual):
        return jnp.sum(residual)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Linear(Solver):
    """``x <- matrix x + b``; the state is the number of steps."""

    matrix: Any

    def init(self, problem, x0):
        return Iterate(x0, jnp.zeros_like(x0)), jnp.array(0)

    def step(self, problem, iterate, state):
        x = self.matrix @ iterate.x + problem.b
        return Iterate(x, x - iterate.x), state + 1


@functools.cache
def linear():
    """A matrix whose powers grow (spectral radius 1.3), a vector, and the fixed point."""
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((6, 6))
    matrix = basis @ np.diag([1.3, -0.9, 0.7, 0.5, 0.2, -0.1]) @ np.linalg.inv(basis)
    b = rng.standard_normal(6)
    return matrix, b, np.linalg.solve(np.eye(6) - matrix, b)


def iterates(method, problem, x0, iterations):
    keep = lambda iterate, state: iterate.x  # noqa: E731
    solve = functools.partial(run, iterations=iterations, differentiate="unroll", keep=keep)
    return np.asarray(jax.jit(solve)(method, problem, x0).stats["kept"])


def test_linear_map_agrees_with_gmres():
    """A step starts from the map of GMRES' iterate (Walker & Ni, theorem 2.2); the plain loop diverges."""
    matrix, b, fixed = linear()
    with jax.enable_x64(True):
        method = Linear(jnp.asarray(matrix))
        ours, plain = (
            iterates(m, Vector(jnp.asarray(b)), jnp.zeros(6), 9) for m in (Anderson(method, 6), method)
        )
    for k in (1, 2, 3):
        theirs, _ = gmres(np.eye(6) - matrix, b, restart=k, maxiter=1, rtol=1e-14)
        expected = matrix @ (matrix @ theirs + b) + b
        np.testing.assert_allclose(ours[k + 1], expected, atol=0.01 * np.abs(expected).max())
    error = lambda path: np.linalg.norm(path[-1] - fixed) / np.linalg.norm(fixed)  # noqa: E731
    assert error(ours) < 1e-3 and error(plain) > 1


def test_a_fixed_point_is_kept():
    matrix, b, fixed = linear()
    with jax.enable_x64(True):
        method = Anderson(Linear(jnp.asarray(matrix)), 3)
        path = iterates(method, Vector(jnp.asarray(b)), jnp.asarray(fixed), 5)
    np.testing.assert_allclose(path, np.tile(fixed, (5, 1)), rtol=1e-8)


def test_damping_interpolates_between_iterate_and_map():
    """Without a history yet: the second step starts from ``damping g(x) + (1 - damping) x``."""
    matrix, b, _ = linear()
    with jax.enable_x64(True):
        method = Anderson(Linear(jnp.asarray(matrix)), 3, 0.3)
        step = jax.jit(lambda p, x: method.step(p, *method.init(p, x)))
        iterate, state = step(Vector(jnp.asarray(b)), jnp.ones(6))
        np.testing.assert_allclose(state.ahead[0].x, 0.3 * (matrix @ np.ones(6) + b) + 0.7)
        np.testing.assert_allclose(iterate.x, matrix @ np.ones(6) + b)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Smooth(Prior):
    """A linear denoiser that keeps the mean: the loop then contracts slowly where no ray passes."""

    factor: Any

    def denoise(self, v, *, correction, wedge, rho):
        near = sum(jnp.roll(v, s, axis) for s in (1, -1) for axis in (0, 1))
        return self.factor * (0.6 * v + 0.1 * near)


@functools.cache
def scan():
    """A projector and the sinogram of an image without air; float64."""
    A = Projector(ParallelGeometry.create(THETA, N))
    ramp = np.linspace(0, 1, N)
    image = 1 + 0.3 * np.outer(np.sin(5 * ramp), np.cos(4 * ramp))
    return A, jax.jit(lambda A, x: A(x))(A, jnp.asarray(image))


@pytest.mark.slow
def test_acceleration_reaches_the_fixed_point_of_hqs_in_fewer_iterations():
    """The fixed point is ``(H + rho (1 - D))^-1 b``, by a dense solve; no pixel is held at 0."""
    with jax.enable_x64(True):
        prior = Smooth(0.98)
        problem = jax.jit(lambda A, y: SliceProblem.create(A, y, wedge=Wedge.from_angles(THETA)))(*scan())
        inside = np.asarray(problem.support).ravel() > 0

        @jax.jit
        def columns(problem, prior):
            smooth = lambda v: prior.denoise(v, correction=None, wedge=None, rho=RHO)  # noqa: E731
            units = jnp.eye(N * N).reshape(-1, N, N)
            return jax.vmap(problem.normal)(units), jax.vmap(smooth)(units)

        H, D = (np.asarray(c).reshape(N * N, -1).T[np.ix_(inside, inside)] for c in columns(problem, prior))
        b = np.asarray(problem.back(problem.sinogram)).ravel()[inside]
        fixed = np.linalg.solve(H + RHO * (np.eye(len(H)) - D), b)
        assert fixed.min() > 0.1

        method = HQS(prior, jnp.asarray(RHO), 25, final_rho_factor=0.0, start_iterations=25)

        def errors(method):
            path = iterates(method, problem, jnp.zeros((N, N)), 40).reshape(40, -1)[:, inside]
            return np.linalg.norm(path - fixed, axis=1) / np.linalg.norm(fixed)

        plain, ours = errors(method), errors(Anderson(method))
        needed = np.argmax(ours < 1e-4)
        assert 0 < needed < 20 and plain[2 * needed] > 1e-4


@pytest.mark.slow
def test_the_implicit_gradient_agrees_with_the_plain_loop():
    with jax.enable_x64(True):
        A, y = scan()
        y = y.at[3:6].multiply(0.8)

        def loss(call, rho, factor, y):
            return jnp.sum(jnp.sin(3 * call(A, y, prior=Smooth(factor), rho=rho).value))

        def slope(call):
            return jax.jit(jax.value_and_grad(functools.partial(loss, call), (0, 1, 2)))(RHO, 0.7, y)

        plain = functools.partial(solvers.hqs, iterations=40, cg_iterations=6, differentiate="unroll")
        ours = functools.partial(contrib.equilibrium, iterations=40, tolerance=1e-8, cg_iterations=6)
        for a, b in zip(jax.tree.leaves(slope(ours)), jax.tree.leaves(slope(plain)), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-3 * np.abs(b).max())
        done = ours(A, y, prior=Smooth(0.7), rho=RHO)
        assert done.status == Status.CONVERGED and done.stats["iterations"] < 30


def test_invalid_memory_is_refused():
    A, y = scan()
    for memory in (0, 2.5):
        with pytest.raises(ValueError, match=f"memory is {memory}; expected a whole number of at least 1"):
            contrib.equilibrium(A, y, prior=Smooth(0.7), rho=RHO, memory=memory)
