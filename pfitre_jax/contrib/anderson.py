"""Anderson acceleration of any fixed-point method, and the deep-equilibrium form of the learned loop."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.interfaces import Iterate, Problem, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import Solution, is_float
from pfitre_jax.solvers.solve import check_number, solve
from pfitre_jax.solvers.wrappers.reweighted import Reweighted

#: Added to the unit diagonal of the least squares' normal equations: what single precision leaves of steps
#: that are nearly parallel is noise.
REGULARISATION = 1e-5

#: Differences that are kept. Of the loop with the shipped prior, whose inner conjugate gradients stop early,
#: older ones are of another linear map.
MEMORY = 3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AndersonState:
    """Iterates of the solver and history of its steps. A "point" is a pair (iterate, state) of the solver.

    Attributes:
        inner: State of the solver after its last step.
        ahead: The point from which its next step starts.
        movement: (ny, nx), ``f = g(x) - x`` of the last step.
        mixed: The point that ``ahead`` would be without a history.
        movements: (memory, ny, nx), differences of ``movement`` between successive steps, the last first.
        mixtures: Differences of ``mixed``, points with a leading axis.
        count: (), steps made.
    """

    inner: Any
    ahead: tuple[Iterate, Any]
    movement: jax.Array
    mixed: tuple[Iterate, Any]
    movements: jax.Array
    mixtures: tuple[Iterate, Any]
    count: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Anderson(Solver[AndersonState]):
    """``x_(k+1) = m_k - sum_i c_i (m_(i+1) - m_i)``, ``m = damping g(x) + (1 - damping) x``, ``g`` a step.

    ``c`` makes ``|f_k - sum_i c_i (f_(i+1) - f_i)|`` smallest, ``f = g(x) - x``, over the last ``memory``
    steps; a little regularised. Type II of Walker & Ni (SIAM J. Numer. Anal. 49, 2011): on a linear map it
    does what GMRES does.

    It is for methods whose step is one and the same map of ``x``: half-quadratic splitting, gradient and SIRT
    steps, proximal ones without momentum. The other arrays of the state are combined with the same ``c``,
    which is exact for those that are affine in ``x`` (misfits, gradients, constants). ``x``, residual and
    change that are reported are those of the last step of ``method``: an image that it made, and its distance
    from where that step started, which is 0 at a fixed point.

    solver: a :class:`pfitre_jax.interfaces.Solver`
    memory: differences that are kept; a copy of the method's state for each
    damping: (), 1 for none, smaller where the map is far from linear
    implicit: a step has the gradient of the plain one, for ``differentiate="implicit"``: what was
        accelerated does not matter at the fixed point
    """

    solver: Solver
    memory: int = dataclasses.field(default=MEMORY, metadata={"static": True})
    damping: Any = 1.0
    implicit: bool = dataclasses.field(default=False, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, AndersonState]:
        point = self.solver.init(problem, x0)
        iterate, inner = point
        empty = lambda leaf: jnp.zeros((self.memory, *leaf.shape), leaf.dtype)  # noqa: E731
        movement = jnp.zeros_like(iterate.x)
        mixtures = jax.tree.map(empty, point)
        return iterate, AndersonState(inner, point, movement, point, empty(movement), mixtures, jnp.array(0))

    def step(self, problem: Problem, iterate: Iterate, state: AndersonState) -> tuple[Iterate, AndersonState]:
        start = state.ahead
        plain = self.solver.step(problem, *start)
        damping = jnp.asarray(self.damping, plain[0].x.dtype)
        movement = plain[0].x - start[0].x
        mixed = jax.tree.map(lambda a, b: damping * a + (1 - damping) * b if is_float(a) else a, plain, start)

        def push(history, new, old):
            if not is_float(new):
                return history
            # Before the first step there was none to differ from.
            difference = jnp.where(state.count > 0, new - old, 0)
            return jnp.concatenate([difference[None], history[:-1]])

        movements = push(state.movements, movement, state.movement)
        mixtures = jax.tree.map(push, state.mixtures, mixed, state.mixed)
        c = _coefficients(movements, movement)
        ahead = jax.tree.map(
            lambda m, past: m - jnp.tensordot(c, past, 1) if is_float(m) else m, mixed, mixtures
        )
        if self.implicit:
            ahead = jax.tree.map(
                lambda a, p: p + jax.lax.stop_gradient(a - p) if is_float(p) else p, ahead, plain
            )
        new = AndersonState(plain[1], ahead, movement, mixed, movements, mixtures, state.count + 1)
        return plain[0], new

    def finish(self, problem: Problem, iterate: Iterate, state: AndersonState) -> Array:
        return self.solver.finish(problem, iterate, state.inner)

    def proposal(self, iterate: Iterate, state: AndersonState) -> Array:
        return self.solver.proposal(iterate, state.inner)


def _coefficients(movements, movement):
    """``argmin_c |movement - sum_i c_i movements[i]|``, regularised; 0 for a difference that is 0."""
    past = movements.reshape(len(movements), -1)
    squared = jnp.sum(past**2, axis=1)
    known = squared > 0
    inverse = jnp.where(known, jax.lax.rsqrt(jnp.where(known, squared, 1)), 0)
    unit = inverse[:, None] * past
    matrix = unit @ unit.T + REGULARISATION * jnp.eye(len(past), dtype=past.dtype)
    return inverse * jnp.linalg.solve(matrix, unit @ movement.ravel())


def equilibrium(
    A: Projector,
    sinogram,
    *,
    prior,
    rho,
    iterations: int = 50,
    tolerance: float = 1e-4,
    memory: int = MEMORY,
    damping=1.0,
    mask=None,
    support=None,
    x0=None,
    cg_iterations: int = 5,
    data_term=None,
    differentiate="implicit",
) -> Solution:
    """Reconstruct one slice by the fixed point of :class:`HQS`, found by :class:`Anderson`'s acceleration.

    With ``differentiate="implicit"`` it is a deep equilibrium (Bai et al., NeurIPS 2019; Gilton, Ongie &
    Willett, IEEE TCI 7, 2021): the gradient is that of the fixed point, by a Neumann series of ``iterations``
    terms, whatever way led to it. It needs no memory for the iterations and holds where the plain loop
    contracts; the acceleration also finds fixed points of loops that do not. The other arguments are those
    of :func:`solve`.

    prior: has ``denoise(v, *, correction, wedge, rho)``
    rho: (), relative to ``norm(A)^2 = 1``
    iterations: at most
    tolerance: of ``norm(g(x) - x)/norm(g(x))``, ``g`` one turn of prior and data step
    memory, damping: of the acceleration
    cg_iterations: conjugate gradients in each data step
    """
    check_number("rho", rho)
    check_number("damping", damping)
    if int(memory) != memory or memory < 1:
        raise ValueError(f"memory is {memory!r}; expected a whole number of at least 1")
    # The mean over mirror images in each step, which makes the step one map.
    solver = HQS(prior, rho, cg_iterations, stationary=True)
    if data_term is not None:
        # Inside, so that the step stays a map of the image it starts from.
        solver = Reweighted(solver, data_term)
    return solve(
        Anderson(solver, int(memory), damping, differentiate == "implicit"),
        A,
        sinogram,
        iterations=iterations,
        mask=mask,
        support=support,
        x0=x0,
        tolerance=tolerance,
        differentiate=differentiate,
    )
