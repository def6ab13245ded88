"""The iteration loop that every solver runs in, its result, and its differentiation.

A solver (:class:`pfitre_jax.interfaces.Solver`) supplies ``init`` and ``step``. The loop computes the
relative residual and the relative change of every iterate, tests convergence and finiteness, and records the
history.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pfitre_jax.interfaces import Iterate, Problem, Solver
from pfitre_jax.solvers.norms import relative_change

#: How a solution is differentiated: not at all (a while loop that stops early), through every iteration,
#: through every iteration with recomputed intermediate values, or at the fixed point.
DIFFERENTIATE = (None, "unroll", "checkpoint", "implicit")
Differentiate = Literal["unroll", "checkpoint", "implicit"] | None
#: Largest relative distance from the fixed point, estimated from the last change, at which an implicit
#: gradient is valid.
MAX_FIXED_POINT_DISTANCE = 1e-2
#: A residual has settled if it changed by at most this fraction, or ten times the tolerance, over the last
#: tenth of the iterations. Without noise it falls for long after the image hardly changes from step to step.
SETTLED = 2e-3
#: Steps of the power iteration that measures the contraction of a solver's step.
POWER_ITERATIONS = 6


class Status(enum.IntEnum):
    """Outcome of a solve. Failures are values: under ``vmap`` one bad slice does not stop the others."""

    ITERATIONS = 0  # ran all iterations
    CONVERGED = 1  # the relative change fell to the tolerance and the residual settled
    DIVERGED = 2  # a value became NaN or infinite; the last finite iterate is returned
    NOT_AT_FIXED_POINT = 3  # the implicit gradient is not valid

    @property
    def text(self) -> str:
        """Description for summaries and messages."""
        return _TEXTS[int(self)]


_TEXTS = ("all iterations done", "converged", "diverged", "not at a fixed point: no implicit gradient")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Solution:
    """Result of an iterative solve.

    Attributes:
        value: (ny, nx), the image.
        status: (), a :class:`Status`.
        stats: ``iterations`` (), number of iterations done; ``residual`` (iterations,),
            ``||M(A x - y)|| / ||M y||`` of each iterate, except that the last value is that of the result;
            ``change`` (iterations,), the relative change in each iteration. Both are NaN after the loop has
            stopped. Also ``contraction`` () for an implicit gradient, and ``kept``, see :func:`run`.
    """

    value: Float[Array, "*rows ny nx"]
    status: Int[Array, ""]
    stats: dict[str, Any]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Carry:
    point: tuple[Iterate, Any]
    k: Int[Array, ""]
    status: Int[Array, ""]
    done: Bool[Array, ""]
    residual: Float[Array, " iterations"]
    change: Float[Array, " iterations"]


def run(
    solver: Solver,
    problem: Problem,
    x0: Float[Array, "*rows ny nx"],
    *,
    iterations: int,
    tolerance: float | Float[Array, ""] = 0.0,
    differentiate: Differentiate = None,
    start: tuple[Iterate, Any] | None = None,
    keep: Callable[[Iterate, Any], Any] | None = None,
) -> Solution:
    """Iterates ``solver`` on ``problem``.

    Stops after ``iterations`` steps, or when it has converged: the relative change of the image is at most
    ``tolerance``, the iterate ``may_stop``, and the relative residual has settled (:data:`SETTLED`) or is at
    most ``tolerance`` itself. Also stops when a value is not finite; the last finite iterate is then returned
    with status ``DIVERGED``.

    Args:
        solver: The method.
        problem: The data term.
        x0: (ny, nx), initial image.
        iterations: Largest number of steps.
        tolerance: (), relative change at which the solver has converged; 0: never.
        differentiate: None (fastest; no reverse mode); "unroll"; "checkpoint" (unrolled, the inner values of
            a step are recomputed, so that memory holds one iterate per iteration); or "implicit", the
            gradient of the fixed point by a Neumann series of ``iterations`` terms. An implicit gradient is
            valid only if the step is a contraction and the loop has converged. Otherwise the status is
            ``NOT_AT_FIXED_POINT``: the factor by which the terms of the series shrink,
            ``stats["contraction"]``, is 1 or more, or the estimated relative distance from the last iterate
            to the fixed point exceeds :data:`MAX_FIXED_POINT_DISTANCE`.
        start: Iterate and state to continue from, instead of ``solver.init(problem, x0)``.
        keep: Function of (iterate, state) whose values are recorded as ``stats["kept"]``, (iterations, ...);
            only with "unroll" and "checkpoint".

    Raises:
        ValueError: For iterations below 1, an unknown ``differentiate``, or ``keep`` with None or
            "implicit".
    """
    check_iterations(iterations)
    if differentiate not in DIFFERENTIATE:
        raise ValueError(f"differentiate is {differentiate!r}; expected one of {DIFFERENTIATE}")
    if keep is not None and differentiate not in ("unroll", "checkpoint"):
        raise ValueError(f"keep with differentiate {differentiate!r}; expected 'unroll' or 'checkpoint'")
    point = solver.init(problem, x0) if start is None else start
    if differentiate == "implicit":
        # The fixed point does not depend on the start.
        point, status, stats = _implicit(solver, iterations, tolerance, problem, jax.lax.stop_gradient(point))
        return _solution(solver, problem, point, status, stats, x0)
    carry = _start(point, iterations)
    advance = functools.partial(_advance, solver, problem, tolerance)
    if differentiate is None:
        carry = jax.lax.while_loop(lambda c: ~c.done & (c.k < iterations), advance, carry)
        return _solution(solver, problem, carry.point, carry.status, _stats(carry), x0)
    body = jax.checkpoint(advance) if differentiate == "checkpoint" else advance

    def record(carry, _):
        carry = body(carry)
        return carry, None if keep is None else keep(*carry.point)

    carry, kept = jax.lax.scan(record, carry, length=iterations)
    stats = _stats(carry) | ({} if keep is None else {"kept": kept})
    return _solution(solver, problem, carry.point, carry.status, stats, x0)


def _solution(solver, problem, point, status, stats, x0) -> Solution:
    iterate, state = point
    x = solver.finish(problem, iterate, state)
    # The residual of the last iterate is already recorded.
    if x is not iterate.x:
        residual, last = stats["residual"], stats["iterations"] - 1
        final = jnp.where(status == int(Status.DIVERGED), residual[last], problem.residual_norm(x))
        stats = stats | {"residual": residual.at[last].set(final)}
    # If the first iterate is not finite, x0 is the last finite image.
    return Solution(jnp.where(jnp.all(jnp.isfinite(x)), x, x0), status, stats)


def check_iterations(iterations: int) -> None:
    """Raises ``ValueError`` unless ``iterations`` is a whole number of at least 1."""
    if int(iterations) != iterations or iterations < 1:
        raise ValueError(f"iterations is {iterations!r}; expected a whole number of at least 1")


def _stats(carry: _Carry) -> dict[str, Any]:
    return {"iterations": carry.k, "residual": carry.residual, "change": carry.change}


def _start(point: tuple[Iterate, Any], iterations: int) -> _Carry:
    history = jnp.full((iterations,), jnp.nan, point[0].x.dtype)
    status = jnp.array(int(Status.ITERATIONS))
    return _Carry(point, jnp.array(0), status, jnp.array(False), history, history)


def _advance(solver, problem, tolerance, carry: _Carry) -> _Carry:
    new = solver.step(problem, *carry.point)
    change = relative_change(new[0].x, carry.point[0].x)
    residual = problem.relative_residual(new[0].residual)
    checked = [leaf for leaf in jax.tree.leaves((new, change, residual)) if is_float(leaf)]
    finite = functools.reduce(jnp.logical_and, [jnp.all(jnp.isfinite(leaf)) for leaf in checked])
    keep = carry.done | ~finite
    point = jax.tree.map(lambda old, value: jnp.where(keep, old, value), carry.point, new)
    # NaN before the first iteration, where nothing contradicts that the residual has settled.
    earlier = carry.residual[9 * carry.k // 10]
    settled = (residual <= tolerance) | ~(
        jnp.abs(earlier - residual) > jnp.maximum(SETTLED, 10 * tolerance) * residual
    )
    converged = finite & (tolerance > 0) & new[0].may_stop & (change <= tolerance) & settled
    status = jnp.where(converged, int(Status.CONVERGED), carry.status)
    status = jnp.where(finite, status, int(Status.DIVERGED))
    record = lambda history, value: jnp.where(carry.done, history, history.at[carry.k].set(value))  # noqa: E731
    return _Carry(
        point,
        jnp.where(carry.done, carry.k, carry.k + 1),
        jnp.where(carry.done, carry.status, status),
        carry.done | converged | ~finite,
        record(carry.residual, residual),
        record(carry.change, change),
    )


def is_float(value: Any) -> bool:
    """Whether an array has a floating-point or complex dtype, and so a derivative."""
    return jnp.issubdtype(jnp.result_type(value), jnp.inexact)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _implicit(solver, iterations, tolerance, problem, point):
    advance = functools.partial(_advance, solver, problem, tolerance)
    carry = _start(point, iterations)
    carry = jax.lax.while_loop(lambda c: ~c.done & (c.k < iterations), advance, carry)
    contraction = _contraction(solver, problem, carry.point)
    not_at_fixed_point = (carry.status != int(Status.DIVERGED)) & ~_at_fixed_point(carry, contraction)
    status = jnp.where(not_at_fixed_point, int(Status.NOT_AT_FIXED_POINT), carry.status)
    return carry.point, status, _stats(carry) | {"contraction": contraction}


def _contraction(solver, problem, point):
    """Factor by which ``(d step / d (iterate, state))^T`` shrinks a cotangent, by a power iteration.

    The terms of the Neumann series shrink by this factor: the geometric mean over the later half of the power
    iteration.
    """
    _, pull = jax.vjp(lambda p: solver.step(problem, *p), point)
    _, seed = jax.vjp(lambda p: p[0].x, point)

    def power_step(v, _):
        (v,) = pull(v)
        squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(v) if leaf.dtype != jax.dtypes.float0]
        return v, jnp.sqrt(sum(squares))

    x = point[0].x
    (start,) = seed(jax.random.normal(jax.random.key(0), x.shape, x.dtype))
    _, sizes = jax.lax.scan(power_step, start, length=POWER_ITERATIONS)
    half = POWER_ITERATIONS // 2
    first, last = sizes[half - 1], sizes[-1]
    shrunk = jnp.where(first > 0, last / jnp.where(first > 0, first, 1), 0)
    return shrunk ** (1 / (POWER_ITERATIONS - half))


def _at_fixed_point(carry: _Carry, contraction):
    """Whether the rest of the geometric series of the changes is at most the largest distance."""
    change = carry.change[carry.k - 1]
    rest = change * contraction / jnp.where(contraction < 1, 1 - contraction, 1)
    return (contraction < 1) & (rest <= MAX_FIXED_POINT_DISTANCE)


def _implicit_fwd(solver, iterations, tolerance, problem, point):
    out = _implicit(solver, iterations, tolerance, problem, point)
    return out, (solver, problem, out[0])


def _implicit_bwd(iterations, tolerance, saved, cotangent):
    # p = step(p): w = v + (d step / d p)^T w; then w is pulled back to the problem and the solver.
    solver, problem, point = saved
    v = cotangent[0]
    _, pull_point = jax.vjp(lambda p: solver.step(problem, *p), point)
    _, pull_problem = jax.vjp(lambda s, p: s.step(p, *point), solver, problem)

    def refine(w, _):
        (dw,) = pull_point(w)
        return jax.tree.map(_add, v, dw), None

    w, _ = jax.lax.scan(refine, v, length=iterations)
    solver_ct, problem_ct = pull_problem(w)
    return solver_ct, problem_ct, jax.tree.map(_no_cotangent, point)


def _add(a, b):
    return a if a.dtype == jax.dtypes.float0 else a + b


def _no_cotangent(leaf):
    return jnp.zeros_like(leaf) if is_float(leaf) else np.zeros(jnp.shape(leaf), jax.dtypes.float0)


_implicit.defvjp(_implicit_fwd, _implicit_bwd)
