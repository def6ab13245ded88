"""The one loop that every iterative method runs on, its result, and how it is differentiated.

A method is a frozen dataclass (a pytree) with pure functions::

    init(problem, x0) -> State           # State: a pytree with fields ``x``, ``residual``, ``change``
    step(problem, State) -> State

``residual`` is the relative data residual and ``change`` what the stopping rule compares with its
tolerance (usually the relative change of ``x``). Both are scalars. The result is the last ``x``, or what
``finish(problem, State)`` makes of the last state where the method has it.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

#: How a solution is differentiated: not at all (a while loop that stops early), through every iteration,
#: through every iteration with its intermediate values computed again, or at the fixed point.
DIFFERENTIATE = (None, "unroll", "checkpoint", "implicit")


class Status(enum.IntEnum):
    """What became of a solve. Failures are data: under ``vmap`` one bad slice does not stop the others."""

    ITERATIONS = 0  # ran all iterations asked for
    CONVERGED = 1  # the stopping rule was met
    DIVERGED = 2  # a value became NaN or infinite; the last finite iterate is returned
    UNSETTLED = 3  # asked for an implicit gradient, but not at a fixed point: that gradient does not hold

    @property
    def text(self) -> str:
        """In words, as summaries and messages have it."""
        return _TEXTS[int(self)]


_TEXTS = ("all iterations done", "converged", "diverged", "not at a fixed point: no implicit gradient")
#: The fixed point must be as near as this, relative, by what the changes of the last iterations tell.
SETTLED = 1e-2


class Method(Protocol):
    def init(self, problem, x0) -> Any: ...

    def step(self, problem, state) -> Any: ...


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Solution:
    """Result of an iterative solve.

    value: (ny, nx), the image
    status: (), a :class:`Status`
    stats: ``iterations`` (), and per iteration ``residual`` and ``change`` (iterations,), NaN where the
        loop had stopped; ``contraction`` () for an implicit gradient, and ``kept`` where asked for
    """

    value: jax.Array
    status: jax.Array
    stats: dict[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Carry:
    state: Any
    k: jax.Array
    status: jax.Array
    done: jax.Array
    residual: jax.Array
    change: jax.Array


def run(
    method,
    problem,
    x0,
    *,
    iterations: int,
    tolerance: float = 0.0,
    differentiate=None,
    state=None,
    keep: Callable[[Any], Any] | None = None,
) -> Solution:
    """Iterate ``method`` on ``problem`` from ``x0 (ny, nx)``.

    Stops after ``iterations`` steps, or when ``change <= tolerance`` (never, for 0), or when a value is not
    finite, in which case the last finite iterate is returned with status ``DIVERGED``.

    differentiate: ``None`` (fastest; no reverse mode), ``"unroll"``, ``"checkpoint"`` (unrolled; a step's
    inner values are recomputed, so memory holds one state per iteration) or ``"implicit"`` (the gradient of
    the fixed point the iteration converged to, by a Neumann series of ``iterations`` terms). That is right
    only where the map contracts and has converged: the status is ``UNSETTLED`` where the factor by which the
    terms of that series shrink, ``stats["contraction"]``, is 1 or more, or where with it the last change puts
    the fixed point further than ``SETTLED``.
    state: to go on from, in the place of the method's ``init``
    keep: what to keep of the state of each iteration, as ``stats["kept"]``, (iterations, ...); for "unroll"
        and "checkpoint"
    """
    check_iterations(iterations)
    if differentiate not in DIFFERENTIATE:
        raise ValueError(f"differentiate is {differentiate!r}; expected one of {DIFFERENTIATE}")
    if keep is not None and differentiate not in ("unroll", "checkpoint"):
        raise ValueError(f"keep with differentiate {differentiate!r}; expected 'unroll' or 'checkpoint'")
    if state is None:
        state = method.init(problem, x0)
    if differentiate == "implicit":
        # Where the iteration started does not matter to where it ends.
        state = jax.lax.stop_gradient(state)
        state, status, stats = _implicit(method, iterations, tolerance, problem, state)
        return _solution(method, problem, state, status, stats, x0)
    carry = _start(state, x0.dtype, iterations)
    advance = functools.partial(_advance, method, problem, tolerance)
    if differentiate is None:
        carry = jax.lax.while_loop(lambda c: ~c.done & (c.k < iterations), advance, carry)
        return _solution(method, problem, carry.state, carry.status, _stats(carry), x0)
    body = jax.checkpoint(advance) if differentiate == "checkpoint" else advance

    def record(carry, _):
        carry = body(carry)
        return carry, None if keep is None else keep(carry.state)

    carry, kept = jax.lax.scan(record, carry, length=iterations)
    stats = _stats(carry) | ({} if keep is None else {"kept": kept})
    return _solution(method, problem, carry.state, carry.status, stats, x0)


def _solution(method, problem, state, status, stats, x0) -> Solution:
    x = state.x
    if hasattr(method, "finish"):
        x = method.finish(problem, state)
        # The last residual is that of the result; a step that diverged keeps what it left.
        residual, last = stats["residual"], stats["iterations"] - 1
        ours = jnp.where(status == int(Status.DIVERGED), residual[last], problem.residual(x))
        stats = stats | {"residual": residual.at[last].set(ours)}
    # A method's first state may be the one that is not finite already: then x0 is the last finite iterate.
    return Solution(jnp.where(jnp.all(jnp.isfinite(x)), x, x0), status, stats)


def check_iterations(iterations: int) -> None:
    if int(iterations) != iterations or iterations < 1:
        raise ValueError(f"iterations is {iterations!r}; expected a whole number of at least 1")


def _stats(carry: _Carry) -> dict[str, jax.Array]:
    return {"iterations": carry.k, "residual": carry.residual, "change": carry.change}


def _start(state, dtype, iterations: int) -> _Carry:
    history = jnp.full((iterations,), jnp.nan, dtype)
    return _Carry(
        state,
        jnp.array(0),
        jnp.array(int(Status.ITERATIONS)),
        jnp.array(False),
        history,
        history,
    )


def _advance(method, problem, tolerance, carry: _Carry) -> _Carry:
    new = method.step(problem, carry.state)
    finite = functools.reduce(
        jnp.logical_and, [jnp.all(jnp.isfinite(v)) for v in jax.tree.leaves(new) if is_float(v)]
    )
    keep = carry.done | ~finite
    state = jax.tree.map(lambda old, value: jnp.where(keep, old, value), carry.state, new)
    converged = finite & (tolerance > 0) & (new.change <= tolerance)
    status = jnp.where(converged, int(Status.CONVERGED), carry.status)
    status = jnp.where(finite, status, int(Status.DIVERGED))
    record = lambda history, value: jnp.where(carry.done, history, history.at[carry.k].set(value))  # noqa: E731
    return _Carry(
        state,
        jnp.where(carry.done, carry.k, carry.k + 1),
        jnp.where(carry.done, carry.status, status),
        carry.done | converged | ~finite,
        record(carry.residual, new.residual),
        record(carry.change, new.change),
    )


def is_float(value) -> bool:
    """Whether an array has a floating-point or complex dtype, and so a derivative."""
    return jnp.issubdtype(jnp.result_type(value), jnp.inexact)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _implicit(method, iterations, tolerance, problem, state):
    carry = _start(state, state.x.dtype, iterations)
    advance = functools.partial(_advance, method, problem, tolerance)
    carry = jax.lax.while_loop(lambda c: ~c.done & (c.k < iterations), advance, carry)
    contraction = _contraction(method, problem, carry.state)
    lost = (carry.status != int(Status.DIVERGED)) & ~_settled(carry, contraction)
    status = jnp.where(lost, int(Status.UNSETTLED), carry.status)
    return carry.state, status, _stats(carry) | {"contraction": contraction}


def _contraction(method, problem, state, times: int = 6):
    """The factor by which ``(d step/d State)^T`` shrinks an image: the series of the gradient is made of it.

    By its powers on a random image; of the later half of them.
    """
    _, pull = jax.vjp(lambda s: method.step(problem, s), state)
    _, seed = jax.vjp(lambda s: s.x, state)

    def again(v, _):
        (v,) = pull(v)
        return v, jnp.linalg.norm(v.x)

    (start,) = seed(jax.random.normal(jax.random.key(0), state.x.shape, state.x.dtype))
    _, sizes = jax.lax.scan(again, start, length=times)
    first, last = sizes[times // 2 - 1], sizes[-1]
    shrunk = jnp.where(first > 0, last / jnp.where(first > 0, first, 1), 0)
    return shrunk ** (1 / (times - times // 2))


def _settled(carry: _Carry, contraction):
    """Whether what is left of the geometric series of the changes is short."""
    change = carry.change[carry.k - 1]
    rest = change * contraction / jnp.where(contraction < 1, 1 - contraction, 1)
    return (contraction < 1) & (rest <= SETTLED)


def _implicit_fwd(method, iterations, tolerance, problem, state):
    out = _implicit(method, iterations, tolerance, problem, state)
    return out, (method, problem, out[0])


def _implicit_bwd(iterations, tolerance, saved, cotangent):
    # State* = step(State*): w = v + (d step/d State)^T w, then pull w back to the problem and the method.
    method, problem, state = saved
    v = cotangent[0]
    _, pull_state = jax.vjp(lambda s: method.step(problem, s), state)
    _, pull_problem = jax.vjp(lambda m, p: m.step(p, state), method, problem)

    def refine(w, _):
        (dw,) = pull_state(w)
        return jax.tree.map(_add, v, dw), None

    w, _ = jax.lax.scan(refine, v, length=iterations)
    method_ct, problem_ct = pull_problem(w)
    return method_ct, problem_ct, jax.tree.map(_no_cotangent, state)


def _add(a, b):
    return a if a.dtype == jax.dtypes.float0 else a + b


def _no_cotangent(leaf):
    return jnp.zeros_like(leaf) if is_float(leaf) else np.zeros(jnp.shape(leaf), jax.dtypes.float0)


_implicit.defvjp(_implicit_fwd, _implicit_bwd)
