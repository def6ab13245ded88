"""Filtered backprojection as a solver."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Iterate, Problem, Solver
from pfitre_jax.operators.fbp import fbp
from pfitre_jax.solvers.slice_problem import SliceProblem


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FBP(Solver[tuple[()]]):
    """Filtered backprojection within the support. It needs one iteration, which changes nothing.

    Attributes:
        filter: Name of the filter, see :func:`pfitre_jax.operators.fbp.fbp`.
    """

    filter: str = dataclasses.field(default="shepp-logan", metadata={"static": True})

    # It needs the projector of one slice.
    def init(self, problem: SliceProblem, x0: Array) -> tuple[Iterate, tuple[()]]:  # type: ignore[override]
        image = fbp(problem.A, fill_invalid(problem.sinogram, problem.mask), self.filter)
        x = problem.support * image
        return Iterate(x, problem.residual(x)), ()

    def step(self, problem: Problem, iterate: Iterate, state: tuple[()]) -> tuple[Iterate, tuple[()]]:
        return iterate, state


def fill_invalid(
    sinogram: Float[Array, "views columns"], mask: Float[Array, "views columns"]
) -> Float[Array, "views columns"]:
    """Interpolates invalid bins linearly between the valid ones of their view.

    Filtered backprojection cannot leave a bin out. Beyond the outermost valid bin its value is repeated; a
    view without a valid bin is 0.
    """
    columns = sinogram.shape[1]
    index = jnp.arange(columns)[None, :]
    before = jax.lax.cummax(jnp.where(mask > 0, index, -1), axis=1)
    after = jax.lax.cummin(jnp.where(mask > 0, index, columns), axis=1, reverse=True)
    left = jnp.where(before < 0, jnp.minimum(after, columns - 1), before)
    right = jnp.where(after >= columns, left, after)
    part = jnp.clip((index - left) / jnp.maximum(right - left, 1), 0, 1).astype(sinogram.dtype)
    values = sinogram * mask
    below, above = (jnp.take_along_axis(values, k, axis=1) for k in (left, right))
    return (1 - part) * below + part * above
