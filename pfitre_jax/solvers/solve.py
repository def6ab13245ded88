"""Reconstruction of one slice from a projector and a sinogram, shared by the public functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import DataTerm, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.loop import Differentiate, Solution, check_iterations, run
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.wrappers.coarse_to_fine import wrap_levels
from pfitre_jax.solvers.wrappers.reweighted import Reweighted

Function = TypeVar("Function", bound=Callable[..., Any])


class SliceOptions(TypedDict, total=False):
    """Options of every function that reconstructs one slice.

    Attributes:
        mask: (views, columns), 1 for a valid bin, 0 for one to ignore. None: all bins are valid.
        support: (ny, nx), 1 where the image may differ from 0. None: the disc that every view sees.
        x0: (ny, nx), start image. None: 0.
        tolerance: Relative change of the image at which to stop; 0: never.
        differentiate: None, "unroll", "checkpoint" or "implicit", see :func:`pfitre_jax.solvers.loop.run`.
    """

    mask: Float[Array, "views columns"] | None
    support: Float[Array, "ny nx"] | None
    x0: Float[Array, "ny nx"] | None
    tolerance: float
    differentiate: Differentiate


class SolveOptions(SliceOptions, total=False):
    """Options of the functions that also take a data term.

    Attributes:
        data_term: Data term such as :class:`pfitre_jax.solvers.Huber` ("auto") or
            :class:`pfitre_jax.solvers.Poisson`, applied by
            :class:`pfitre_jax.solvers.wrappers.reweighted.Reweighted`. None: least squares.
    """

    data_term: DataTerm | None


def solve(
    solver: Solver,
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    iterations: int,
    mask: Float[Array, "views columns"] | None = None,
    support: Float[Array, "ny nx"] | None = None,
    x0: Float[Array, "ny nx"] | None = None,
    tolerance: float = 0.0,
    data_term: DataTerm | None = None,
    differentiate: Differentiate = None,
) -> Solution:
    """Runs ``solver`` on one slice.

    Compiled once per shape: another sinogram, angle or centre does not retrace.

    Args:
        solver: A :class:`pfitre_jax.interfaces.Solver`, such as :class:`pfitre_jax.solvers.HQS`.
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1].
        iterations: Largest number of steps.
        mask: (views, columns), 1 for a valid bin, 0 for one to ignore. None: all bins are valid.
        support: (ny, nx), 1 where the image may differ from 0. None: the disc that every view sees.
        x0: (ny, nx), start image. None: 0.
        tolerance: Relative change of the image at which to stop; 0: never.
        data_term: Data term such as :class:`pfitre_jax.solvers.Huber`. None: least squares.
        differentiate: None, "unroll", "checkpoint" or "implicit", see :func:`pfitre_jax.solvers.loop.run`.

    Raises:
        ValueError: For a shape that does not fit, iterations below 1, or an unknown ``differentiate``.
    """
    check_iterations(iterations)
    sinogram = as_float(sinogram)
    if x0 is not None and jnp.shape(x0) != A.shape:
        raise ValueError(f"x0 has shape {jnp.shape(x0)}; expected {A.shape} (ny, nx)")
    if data_term is not None:
        solver = wrap_levels(solver, lambda inner: Reweighted(inner, data_term))
    wedge = Wedge.from_angles(A.geometry.theta_rad)
    return _solve(solver, A, sinogram, mask, support, wedge, x0, int(iterations), tolerance, differentiate)


def with_options(options: type) -> Callable[[Function], Function]:
    """Decorator that spells out ``**options`` of a public function in its signature.

    Args:
        options: The :class:`SliceOptions` or :class:`SolveOptions` that the function passes on.
    """
    defaults = inspect.signature(solve).parameters

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        extra = [defaults[name] for name in options.__annotations__ if name not in signature.parameters]
        full = signature.replace(parameters=[*named, *extra])

        @functools.wraps(function)
        def call(*args, **kwargs):
            # Raises TypeError for an argument that the function does not have.
            full.bind(*args, **kwargs)
            return function(*args, **kwargs)

        # ``inspect.signature`` reads ``__signature__``, which the type of a function does not declare.
        call.__signature__ = full  # type: ignore[attr-defined]
        return cast(Function, call)

    return decorate


def as_float(sinogram: Any) -> Float[Array, "views columns"]:
    """Converts a sinogram of integers to floating-point numbers; others keep their dtype."""
    sinogram = jnp.asarray(sinogram)
    floating = jnp.issubdtype(sinogram.dtype, jnp.floating)
    return sinogram if floating else sinogram.astype(jnp.result_type(float))


def check_number(name: str, value: Any, or_zero: bool = False) -> None:
    """Raises ``ValueError`` unless a number is finite and positive; traced values pass.

    Args:
        name: Name of the argument, for the message.
        value: Its value.
        or_zero: Whether 0 is allowed too.
    """
    if isinstance(value, jax.core.Tracer):
        return
    lowest = "0 or more" if or_zero else "more than 0"
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; expected a number, {lowest}") from None
    if not (0 < number < float("inf") or (or_zero and number == 0)):
        raise ValueError(f"{name} is {number:g}; expected a finite number, {lowest}")


@functools.partial(jax.jit, static_argnums=(7, 8, 9))
def _solve(solver, A, sinogram, mask, support, wedge, x0, iterations, tolerance, differentiate):
    problem = SliceProblem.create(A, sinogram, mask, support, wedge)
    dtype = problem.sinogram.dtype
    x0 = jnp.zeros(A.shape, dtype) if x0 is None else jnp.asarray(x0, dtype)
    return run(solver, problem, x0, iterations=iterations, tolerance=tolerance, differentiate=differentiate)
