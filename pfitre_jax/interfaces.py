"""Interfaces of the parts that users may write themselves: solvers, priors, proxes, data terms, problems.

A class satisfies an interface by having its methods. Inheriting from the interface also brings the default
methods, so that a prior needs only :meth:`Prior.denoise` and a solver only :meth:`Solver.init` and
:meth:`Solver.step`::

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Smooth(Prior):
        strength: float

        def denoise(self, v, *, correction, wedge, rho):
            return (1 - self.strength) * v + self.strength * jnp.roll(v, 1, axis=-1)

All of them are pytrees: arrays are leaves, everything else is static.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Protocol, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pfitre_jax.geometry import Wedge

State = TypeVar("State")


class Problem(Protocol):
    """Data term ``1/2 ||M(A x - y)||_W^2 / ||A||^2`` of a slice or of a volume.

    ``M`` is the mask of valid bins, ``W`` the weights of the bins, ``S`` the support. A volume has one more
    leading axis (rows) in every array.
    """

    @property
    def sinogram(self) -> Array:
        """(views, columns), ``y``, line integrals divided by the scale of the scan."""
        ...

    @property
    def mask(self) -> Array:
        """(views, columns), 1 for a valid bin, else 0."""
        ...

    @property
    def weights(self) -> Array | None:
        """(views, columns), ``W``, 0 to 1, or None for 1 everywhere."""
        ...

    @property
    def support(self) -> Array:
        """(ny, nx), 1 where the image may differ from 0."""
        ...

    @property
    def wedge(self) -> Wedge:
        """The missing wedge."""
        ...

    @property
    def norm_squared(self) -> Array:
        """(), ``||A||^2``."""
        ...

    def project(self, x: Array) -> Array:
        """``M A x``: (ny, nx) -> (views, columns)."""
        ...

    def residual(self, x: Array) -> Array:
        """``M(A x - y)``: (ny, nx) -> (views, columns)."""
        ...

    def relative_residual(self, residual: Array) -> Array:
        """``||M(A x - y)|| / ||M y||`` from :meth:`residual`: (views, columns) -> ()."""
        ...

    def residual_norm(self, x: Array) -> Array:
        """``||M(A x - y)|| / ||M y||``: (ny, nx) -> ()."""
        ...

    def weighted(self, sinogram: Array) -> Array:
        """``M W y``: (views, columns) -> (views, columns)."""
        ...

    def back(self, sinogram: Array) -> Array:
        """``S A^T M W y / ||A||^2``: (views, columns) -> (ny, nx)."""
        ...

    def gradient(self, x: Array) -> Array:
        """Gradient of the data term, ``S A^T M W (A x - y) / ||A||^2``: (ny, nx) -> (ny, nx)."""
        ...

    def normal(self, x: Array) -> Array:
        """``S A^T M W A S x / ||A||^2``: (ny, nx) -> (ny, nx)."""
        ...

    def precondition(self, x: Array, rho: Array | float) -> Array:
        """Approximates ``(S A^T A S / ||A||^2 + rho)^-1 x``, symmetric and positive: (ny, nx) -> (ny, nx)."""
        ...

    def dot(self, a: Array, b: Array) -> Array:
        """Inner product ``<a, b>``: () of two images; (rows, 1, 1), one for each row, of two volumes."""
        ...

    def coarser(self) -> Problem:
        """The same problem with bins and pixels of twice the size; image values keep their unit.

        A pair of bins with a single valid one has half the weight of two valid ones.
        """
        ...


class Card(dict):
    """A JSON-able dict that may be a static field: hashed and compared by content. Do not modify it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._hash = hash(json.dumps(self, sort_keys=True))

    # A dict has no hash, because it may change; a card does not change.
    def __hash__(self) -> int:  # type: ignore[override]
        return self._hash


@dataclasses.dataclass(frozen=True)
class PriorInfo:
    """Properties of a prior that solvers and reports use.

    Attributes:
        reach: Number of neighbouring rows that it uses on each side of a row; 0 for a prior of single
            slices.
        alternates: Whether :meth:`Prior.at` gives another mirror image of the prior at each iteration; a
            solver then averages its last two proposals.
        initial_iterations: Iterations of the initial estimate (TV warm start) that it was trained with.
        rho: (iterations,), prior strengths that were trained with it; None if the solver sets the strength.
        iterations: Number of iterations that it was trained for; None for any number.
        is_prox: Whether it is the proximal map of a convex function, see :class:`Prox`.
        card: Its model card (name, hash, ``trained_on`` ranges, scores); empty where it has none.
    """

    reach: int = 0
    alternates: bool = False
    initial_iterations: int = 0
    rho: Array | None = None
    iterations: int | None = None
    is_prox: bool = False
    card: Card = dataclasses.field(default_factory=Card)


class Prior(Protocol):
    """A denoiser, or another map from the current image to a proposed image."""

    def denoise(self, v: Array, *, correction: Array, wedge: Wedge, rho: Array | float) -> Array:
        """The proposed image.

        Args:
            v: (ny, nx) or (rows, ny, nx), the current image or volume, values of about [0, 1].
            correction: Same shape as ``v``, the data correction ``A^T M W (y - A v) / (rho ||A||^2)``.
            wedge: The missing wedge; may be traced.
            rho: (), prior strength, relative to ``||A||^2 = 1``.
        """
        ...

    @property
    def info(self) -> PriorInfo:
        """Properties of the prior."""
        return PriorInfo()

    @property
    def has_expected_error(self) -> bool:
        """Whether it has :meth:`expected_error`; by default not."""
        return False

    def expected_error(self, v: Array, *, correction: Array, wedge: Wedge, rho: Array | float) -> Array:
        """The absolute error to expect in each pixel of an image; the arguments are those of :meth:`denoise`.

        Raises:
            ValueError: For a prior without it.
        """
        raise ValueError(
            f"{type(self).__name__} predicts no expected error; expected a prior that was trained with "
            "expected_error = true in [network]"
        )

    def at(self, iteration: Array | int) -> Prior:
        """Returns the prior of an iteration; by default the same prior in all iterations.

        Args:
            iteration: (), counted from 0; may be traced.
        """
        return self


class Prox(Prior, Protocol):
    """A prior that is the proximal map of a convex function ``g``."""

    @property
    def info(self) -> PriorInfo:
        """Properties of the prior."""
        return PriorInfo(is_prox=True)

    def prox(self, v: Array, strength: Array | float) -> Array:
        """``argmin_x 1/2 ||x - v||^2 + strength g(x)``: (ny, nx) -> (ny, nx)."""
        ...

    def value(self, x: Array) -> Array:
        """``g(x)`` times the weight of the prior, ()."""
        ...


class DataTerm(Protocol):
    """A data term ``sum phi(r) / ||A||^2`` that is minimised by iteratively reweighted least squares."""

    def value(self, problem: Problem, x: Array) -> Array:
        """``sum phi(M(A x - y)) / ||A||^2``, ()."""
        ...

    def weights(self, problem: Problem, x: Array) -> Array:
        """``phi'(r)/r`` at ``r = M(A x - y)``, (views, columns), 0 to 1; 0 where the mask is 0."""
        ...

    def coarser(self) -> DataTerm:
        """The term for :meth:`Problem.coarser`; by default the same term."""
        return self


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Iterate:
    """The public part of an iteration; the loop derives residual norm, change and convergence from it.

    Attributes:
        x: (ny, nx), the image.
        residual: (views, columns), ``M(A x - y)`` of the image, without the weights ``W``.
        may_stop: (), whether convergence may be tested yet.
    """

    x: Float[Array, "*rows ny nx"]
    residual: Float[Array, "*rows views columns"]
    may_stop: Bool[Array, ""] = dataclasses.field(default_factory=lambda: jnp.array(True))


class Solver(Protocol[State]):
    """An iterative method: pure functions on a problem, an :class:`Iterate` and a private state.

    The state is a pytree of arrays whose structure and dtypes do not change; ``()`` where there is none.
    """

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, State]:
        """Iterate and state before the first step, from ``x0 (ny, nx)``."""
        ...

    def step(self, problem: Problem, iterate: Iterate, state: State) -> tuple[Iterate, State]:
        """Iterate and state after one iteration."""
        ...

    def finish(self, problem: Problem, iterate: Iterate, state: State) -> Array:
        """The image (ny, nx) to return; by default the last iterate."""
        return iterate.x

    def proposal(self, iterate: Iterate, state: State) -> Array:
        """The image (ny, nx) whose residual sets robust weights and detector corrections.

        The prior's proposal in a solver with a prior; by default the iterate.
        """
        return iterate.x

    def coarser(self) -> Solver[State]:
        """The solver for :meth:`Problem.coarser`; by default the same solver."""
        return self


def data_correction(problem: Problem, residual: Array, rho: Array | float) -> Array:
    """``A^T M W (y - A x) / (rho ||A||^2)`` from ``residual = M(A x - y)``, the input of a prior."""
    return -problem.back(residual) / rho
