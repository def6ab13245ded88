"""Anderson acceleration of fixed-point methods, and the deep equilibrium of the learned loop."""

from __future__ import annotations

import dataclasses
from typing import Any, TypedDict, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pfitre_jax.interfaces import DataTerm, Iterate, Prior, Problem, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import Differentiate, Solution, is_float
from pfitre_jax.solvers.solve import check_number, solve, with_options
from pfitre_jax.solvers.wrappers.reweighted import Reweighted

#: Added to the unit diagonal of the normal equations of the least-squares problem: in single precision the
#: difference of nearly parallel steps is noise.
REGULARISATION = 1e-5

#: Default number of stored differences. The inner conjugate gradients of the loop stop early, so that older
#: differences belong to another linear map.
MEMORY = 3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AndersonState:
    """Iterates of the solver and history of its steps. A "point" is a pair (iterate, state) of the solver.

    Attributes:
        inner: State of the solver after its last step.
        ahead: The point from which the next step starts.
        movement: (ny, nx), ``f = g(x) - x`` of the last step.
        mixed: The point that ``ahead`` would be without a history.
        movements: (memory, ny, nx), differences of ``movement`` between successive steps, the last first.
        mixtures: Differences of ``mixed``, points with a leading axis.
        count: (), number of steps done.
    """

    inner: Any
    ahead: tuple[Iterate, Any]
    movement: Float[Array, "ny nx"]
    mixed: tuple[Iterate, Any]
    movements: Float[Array, "memory ny nx"]
    mixtures: tuple[Iterate, Any]
    count: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Anderson(Solver[AndersonState]):
    """``x_(k+1) = m_k - sum_i c_i (m_(i+1) - m_i)``, ``m = damping g(x) + (1 - damping) x``, ``g`` a step.

    ``c`` minimises ``||f_k - sum_i c_i (f_(i+1) - f_i)||`` over the last ``memory`` steps, slightly
    regularised, with ``f = g(x) - x``. On a linear map it is equivalent to GMRES.

    It accelerates solvers whose step is always the same map of ``x``: half-quadratic splitting, gradient and
    SIRT steps, proximal steps without momentum. The other arrays of iterate and state are combined with the
    same ``c``, which is exact for those that are affine in ``x`` (residuals, gradients, constants). The
    reported iterate is that of the last step of the solver. Its change is the distance between the results of
    successive steps, which is 0 at a fixed point.

    Attributes:
        solver: A :class:`pfitre_jax.interfaces.Solver`.
        memory: Number of stored differences, each a copy of iterate and state; static.
        damping: (), 1 for none, smaller where the map is far from linear.
        implicit: Whether a step has the gradient of the plain one, for ``differentiate="implicit"``; static.
            The acceleration has no effect on the fixed point.

    References:
        Walker & Ni, Anderson acceleration for fixed-point iterations, SIAM J. Numer. Anal. 49, 2011.
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
            # Before the first step there is nothing to subtract.
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


def _coefficients(movements: Array, movement: Array) -> Float[Array, " memory"]:
    """``argmin_c ||movement - sum_i c_i movements[i]||``, regularised; 0 for a difference that is 0."""
    past = movements.reshape(len(movements), -1)
    squared = jnp.sum(past**2, axis=1)
    nonzero = squared > 0
    inverse = jnp.where(nonzero, jax.lax.rsqrt(jnp.where(nonzero, squared, 1)), 0)
    unit = inverse[:, None] * past
    matrix = unit @ unit.T + REGULARISATION * jnp.eye(len(past), dtype=past.dtype)
    return inverse * jnp.linalg.solve(matrix, unit @ movement.ravel())


class EquilibriumOptions(TypedDict, total=False):
    """Options of :func:`equilibrium`, as in :class:`pfitre_jax.solvers.solve.SolveOptions`."""

    mask: Float[Array, "views columns"] | None
    support: Float[Array, "ny nx"] | None
    x0: Float[Array, "ny nx"] | None
    data_term: DataTerm | None


@with_options(EquilibriumOptions)
def equilibrium(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    prior: Prior,
    rho: Any,
    iterations: int = 50,
    tolerance: float = 1e-4,
    memory: int = MEMORY,
    damping: Any = 1.0,
    cg_iterations: int = 5,
    differentiate: Differentiate = "implicit",
    **options: Unpack[EquilibriumOptions],
) -> Solution:
    """Reconstructs one slice as the fixed point of :class:`HQS`, with the acceleration :class:`Anderson`.

    With ``differentiate="implicit"`` it is a deep equilibrium: the gradient is that of the fixed point, by a
    Neumann series of ``iterations`` terms, and needs no memory for the iterations. It is valid where the
    plain loop contracts; the acceleration also finds fixed points of loops that do not.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1].
        prior: A :class:`pfitre_jax.interfaces.Prior`.
        rho: (), prior strength, relative to ``||A||^2 = 1``.
        iterations: Largest number of steps.
        tolerance: Relative change between the results of successive steps at which to stop.
        memory: Number of differences stored by the acceleration.
        damping: (), damping of the acceleration.
        cg_iterations: Conjugate gradient iterations in each data step.
        differentiate: See :func:`pfitre_jax.solvers.loop.run`.
        **options: See :class:`pfitre_jax.solvers.solve.SolveOptions`.

    References:
        Bai, Kolter & Koltun, Deep equilibrium models, NeurIPS 2019.
        Gilton, Ongie & Willett, Deep equilibrium architectures for inverse problems in imaging, IEEE Trans.
        Comput. Imaging 7, 2021.
    """
    check_number("rho", rho)
    check_number("damping", damping)
    if int(memory) != memory or memory < 1:
        raise ValueError(f"memory is {memory!r}; expected a whole number of at least 1")
    # A symmetric prior takes the mean over mirror images in each step, so that the step is one map.
    solver: Solver = HQS(prior, rho, cg_iterations, stationary=True)
    data_term = options.pop("data_term", None)
    if data_term is not None:
        # Inside the acceleration, so that the step remains a map of the image from which it starts.
        solver = Reweighted(solver, data_term)
    solver = Anderson(solver, int(memory), damping, differentiate == "implicit")
    return solve(
        solver,
        A,
        sinogram,
        iterations=iterations,
        tolerance=tolerance,
        differentiate=differentiate,
        **options,
    )
