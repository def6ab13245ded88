"""The loop on a method whose every iterate is known: x <- a x + b, per pixel."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.interfaces import Iterate, Solver
from pfitre_jax.solvers.loop import SETTLED, Status, run

X0 = jnp.array([[1.0, -2.0]])
#: The relative changes of ``Affine()`` with ``b = 3`` from it fall below this at step 5.
TOLERANCE = 0.05


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Offset:
    """The problem: ``b``. Its residual has one bin, the sum of the image."""

    b: Any

    def relative_residual(self, residual):
        return residual[0, 0]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Affine(Solver):
    """``x <- a x + b``; not finite from step ``breaks`` on. The state is the number of steps."""

    a: Any = 0.5
    breaks: Any = 1000

    def init(self, problem, x0):
        return Iterate(x0, jnp.zeros((1, 1), x0.dtype)), jnp.array(0)

    def step(self, problem, iterate, state):
        x = self.a * iterate.x + problem.b
        x = jnp.where(state + 1 >= self.breaks, jnp.nan, x)
        return Iterate(x, jnp.sum(x)[None, None]), state + 1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Patient(Affine):
    """May not stop before step ``first``."""

    first: Any = 5

    def step(self, problem, iterate, state):
        new, state = super().step(problem, iterate, state)
        return dataclasses.replace(new, may_stop=state >= self.first), state


def relative(new, old):
    return np.linalg.norm(new - old) / np.linalg.norm(new)


def test_runs_all_iterations_and_records_them():
    done = run(Affine(), Offset(3.0), X0, iterations=4)
    # x_k = 6 + (x_0 - 6)/2^k
    path = [6 + (np.asarray(X0) - 6) / 2.0**k for k in range(5)]
    np.testing.assert_allclose(done.value, path[4])
    np.testing.assert_allclose(done.stats["residual"], [x.sum() for x in path[1:]])
    np.testing.assert_allclose(
        done.stats["change"], [relative(b, a) for a, b in itertools.pairwise(path)], rtol=1e-5
    )
    assert done.status == Status.ITERATIONS and done.stats["iterations"] == 4


def test_stops_at_the_tolerance():
    path = [6 + (np.asarray(X0) - 6) / 2.0**k for k in range(9)]
    changes = [relative(b, a) for a, b in itertools.pairwise(path)]
    last = next(k for k, change in enumerate(changes, 1) if change <= TOLERANCE)
    assert last == 5
    done = run(Affine(), Offset(3.0), X0, iterations=50, tolerance=TOLERANCE)
    assert done.status == Status.CONVERGED and done.stats["iterations"] == last
    np.testing.assert_allclose(done.value, path[last])
    assert np.all(np.isnan(done.stats["change"][last:])) and np.all(np.isfinite(done.stats["change"][:last]))


def test_a_solver_can_delay_the_stopping_criterion():
    for first, last in ((3, 5), (5, 5), (8, 8)):
        done = run(Patient(first=first), Offset(3.0), X0, iterations=50, tolerance=TOLERANCE)
        assert done.status == Status.CONVERGED and done.stats["iterations"] == last
    assert np.all(done.stats["change"][5:8] < TOLERANCE)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Still(Affine):
    """An image that does not change, with the residual ``1/k + floor`` after step ``k``."""

    floor: Any = 0.0

    def step(self, problem, iterate, state):
        residual = 1 / (state + 1.0) + self.floor
        return Iterate(iterate.x, residual[None, None]), state + 1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Later(Still):
    """May not stop before step ``first``."""

    first: Any = 2

    def step(self, problem, iterate, state):
        new, state = super().step(problem, iterate, state)
        return dataclasses.replace(new, may_stop=state >= self.first), state


@pytest.mark.parametrize("floor", [0.0, 1.0])
def test_a_falling_residual_has_not_converged(floor):
    """``1/k`` falls by 11% in each tenth of its iterations; above a floor it falls below 0.2% of it."""
    done = run(Still(floor=floor), Offset(3.0), X0, iterations=200, tolerance=1e-4)
    k = np.arange(1, 201)
    residual = 1 / k + floor
    fall = (residual[9 * (k - 1) // 10] - residual) / residual
    # The first step has nothing to compare with.
    expected = next((n for n in k[1:] if fall[n - 1] <= SETTLED), None)
    assert done.stats["iterations"] == 1
    patient = run(Later(first=2, floor=floor), Offset(3.0), X0, iterations=200, tolerance=1e-4)
    assert patient.status == (Status.ITERATIONS if expected is None else Status.CONVERGED)
    assert patient.stats["iterations"] == (expected or 200)
    assert (expected is None) == (floor == 0)


def test_zero_tolerance_never_stops():
    done = run(Affine(), Offset(0.0), jnp.zeros((1, 2)), iterations=6)
    assert done.stats["iterations"] == 6 and done.status == Status.ITERATIONS


def test_a_non_finite_value_stops_with_the_last_finite_iterate():
    done = run(Affine(breaks=3), Offset(3.0), X0, iterations=50)
    np.testing.assert_allclose(done.value, 6 + (np.asarray(X0) - 6) / 4)
    assert done.status == Status.DIVERGED and Status(int(done.status)).text == "diverged"


@pytest.mark.parametrize("differentiate", [None, "unroll", "checkpoint", "implicit"])
def test_all_differentiation_modes_give_the_same_solution(differentiate):
    stops = run(Affine(), Offset(3.0), X0, iterations=20, tolerance=TOLERANCE, differentiate=differentiate)
    plain = run(Affine(), Offset(3.0), X0, iterations=20, tolerance=TOLERANCE)
    np.testing.assert_array_equal(stops.value, plain.value)
    # So loose a tolerance is no fixed point.
    assert stops.status == (Status.NOT_AT_FIXED_POINT if differentiate == "implicit" else plain.status)
    for name, value in plain.stats.items():
        np.testing.assert_array_equal(stops.stats[name], value)


def test_a_non_finite_first_state_returns_the_initial_image():
    class Broken(Affine):
        def init(self, problem, x0):
            iterate, state = super().init(problem, x0)
            return dataclasses.replace(iterate, x=x0 * jnp.nan), state

    done = run(Broken(), Offset(3.0), X0, iterations=5)
    np.testing.assert_array_equal(done.value, X0)
    assert done.status == Status.DIVERGED and done.stats["iterations"] == 1


def test_slices_stop_independently_under_vmap():
    breaks = jnp.array([1000, 2, 1000])
    starts = jnp.stack([X0, X0, 6 + 0.01 * X0])
    done = jax.vmap(lambda b, x: run(Affine(breaks=b), Offset(3.0), x, iterations=4, tolerance=0.02))(
        breaks, starts
    )
    assert list(done.status) == [Status.ITERATIONS, Status.DIVERGED, Status.CONVERGED]
    assert list(done.stats["iterations"]) == [4, 2, 1]
    np.testing.assert_allclose(done.value[0], 6 + (np.asarray(X0) - 6) / 16)
    np.testing.assert_allclose(done.value[1], 6 + (np.asarray(X0) - 6) / 2)


def loss(a, b, x0, differentiate, iterations):
    done = run(Affine(a), Offset(b), x0, iterations=iterations, differentiate=differentiate)
    return jnp.sum(done.value)


@pytest.mark.parametrize("differentiate", ["unroll", "checkpoint"])
def test_unrolled_gradients(differentiate):
    by_a, by_b, by_x0 = jax.grad(loss, (0, 1, 2))(0.5, 3.0, X0, differentiate, 3)
    # sum x_3 = 0.5^3 sum x_0 + 2 b (1 + a + a^2)
    np.testing.assert_allclose(by_x0, 0.125)
    np.testing.assert_allclose(by_b, 2 * 1.75)
    np.testing.assert_allclose(by_a, 3 * 0.25 * -1 + 2 * 3 * (1 + 2 * 0.5), rtol=1e-6)


def test_implicit_gradient_agrees_with_the_fixed_point():
    by_a, by_b, by_x0 = jax.grad(loss, (0, 1, 2))(0.5, 3.0, X0, "implicit", 40)
    # x* = b/(1-a), two pixels
    np.testing.assert_allclose(by_b, 2 / 0.5, rtol=1e-5)
    np.testing.assert_allclose(by_a, 2 * 3.0 / 0.25, rtol=1e-5)
    np.testing.assert_array_equal(by_x0, 0)


@pytest.mark.parametrize(
    ("a", "iterations", "status"),
    [
        (0.5, 40, Status.ITERATIONS),  # at the fixed point
        (0.5, 12, Status.ITERATIONS),  # 0.001 from it
        (0.99, 5, Status.NOT_AT_FIXED_POINT),  # contracts, but is far from it
        (1.1, 10, Status.NOT_AT_FIXED_POINT),
        (-1.0, 10, Status.NOT_AT_FIXED_POINT),  # to and fro
        (0.5, 1, Status.NOT_AT_FIXED_POINT),
    ],
)
def test_implicit_reports_where_it_does_not_hold(a, iterations, status):
    done = run(Affine(a), Offset(3.0), X0, iterations=iterations, differentiate="implicit")
    assert done.status == status
    np.testing.assert_allclose(done.stats["contraction"], abs(a), rtol=1e-3)
    assert Status(int(done.status)).text


@pytest.mark.parametrize(
    ("tolerance", "status"), [(1.0, Status.NOT_AT_FIXED_POINT), (1e-5, Status.CONVERGED)]
)
def test_a_loose_tolerance_is_not_a_fixed_point(tolerance, status):
    done = run(Affine(0.9), Offset(3.0), X0, iterations=200, tolerance=tolerance, differentiate="implicit")
    assert done.status == status and done.stats["iterations"] < 200


def test_iterates_are_recorded_and_can_be_continued():
    keep = lambda iterate, state: (iterate, state)  # noqa: E731
    first = run(Affine(), Offset(3.0), X0, iterations=3, differentiate="unroll", keep=keep)
    path = [6 + (np.asarray(X0) - 6) / 2.0**k for k in range(6)]
    kept = first.stats["kept"]
    np.testing.assert_allclose(kept[0].x, path[1:4])
    np.testing.assert_array_equal(kept[1], [1, 2, 3])
    last = jax.tree.map(lambda a: a[-1], kept)
    for differentiate in (None, "implicit", "checkpoint"):
        more = run(Affine(), Offset(3.0), X0, iterations=2, start=last, differentiate=differentiate)
        np.testing.assert_allclose(more.value, path[5])
    with pytest.raises(ValueError, match="keep with differentiate 'implicit'; expected"):
        run(Affine(), Offset(3.0), X0, iterations=3, differentiate="implicit", keep=keep)


def test_gradients_stop_where_the_loop_stopped():
    """After convergence further iterations leave value and gradient alone."""

    def stopped(x0):
        return jnp.sum(
            run(Affine(), Offset(3.0), x0, iterations=20, tolerance=TOLERANCE, differentiate="unroll").value
        )

    np.testing.assert_allclose(jax.grad(stopped)(X0), 1 / 32)


@pytest.mark.parametrize("iterations", [0, -1, 2.5])
def test_iterations_are_checked(iterations):
    with pytest.raises(ValueError, match=r"expected a whole number of at least 1"):
        run(Affine(), Offset(3.0), X0, iterations=iterations)


def test_differentiate_is_checked():
    with pytest.raises(ValueError, match="differentiate is 'adjoint'; expected one of"):
        run(Affine(), Offset(3.0), X0, iterations=1, differentiate="adjoint")
