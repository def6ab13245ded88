"""The reconstruction methods by name: what each is, what it can be told, and its defaults."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from pfitre_jax.baselines.published.loop import Original
from pfitre_jax.estimation.calibrate import Parameter
from pfitre_jax.operators.fbp import fbp
from pfitre_jax.priors.directional_tv import RATIO
from pfitre_jax.priors.tv import TV
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.reconstruction import data_model
from pfitre_jax.solvers.admm import ADMM, tv_rho
from pfitre_jax.solvers.cgls import CGLS
from pfitre_jax.solvers.fista import FISTATV
from pfitre_jax.solvers.loop import Solution, Status, run
from pfitre_jax.solvers.parameters.tv_weight import learned_rho
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.sirt import SIRT
from pfitre_jax.solvers.solve import check_number
from pfitre_jax.solvers.unrolled import loop_of
from pfitre_jax.solvers.wrappers.symmetrised import in_turns


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One method.

    summary: what it does, in a line
    build: ``build(**settings)`` -> the solver, a pytree for :func:`solve_slice`
    defaults: every setting the method takes, with its default
    tolerance: the relative change of the image at which it has converged; 0: it makes all its iterations
    joint: whether rows can be solved together: whether there is anything by which they meet
    joint_defaults: defaults that are others where they are
    data_may_change: between two of its steps, as :mod:`pfitre_jax.reconstruction.data_model` does it
    image_first: steps before bad bins or a detector's errors are looked for; 0 for one that starts with a
        reconstruction
    """

    summary: str
    build: Callable[..., Any]
    defaults: dict[str, Any]
    tolerance: float = 0.0
    joint: bool = False
    joint_defaults: dict[str, Any] = dataclasses.field(default_factory=dict)
    data_may_change: bool = True
    image_first: int = 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FBP:
    """Filtered backprojection in the place of an iterative method."""

    filter: str = dataclasses.field(default="shepp-logan", metadata={"static": True})


METHODS: dict[str, Recipe] = {
    "fbp": Recipe("filtered backprojection", lambda: FBP(), {}, data_may_change=False),
    "sirt": Recipe("non-negative SIRT", lambda: SIRT(), {"iterations": 200}, image_first=30),
    "cgls": Recipe(
        "conjugate gradients, stopped early", lambda: CGLS(), {"iterations": 20}, data_may_change=False
    ),
    "fista-tv": Recipe(
        "non-negative, total variation, FISTA",
        lambda weight: FISTATV(weight),
        {"iterations": 300, "weight": "auto"},
        tolerance=2e-4,
        joint=True,
        image_first=30,
    ),
    "fista-dtv": Recipe(
        f"fista-tv in which edges that the views see count {RATIO:g} times",
        lambda weight: FISTATV(weight, ratio=RATIO),
        {"iterations": 300, "weight": "auto"},
        tolerance=2e-4,
        joint=True,
        image_first=30,
    ),
    "admm-tv": Recipe(
        "non-negative, total variation, ADMM",
        lambda weight, rho: ADMM(TV(weight), rho),
        {"iterations": 50, "weight": "auto", "rho": "auto"},
        joint=True,
        image_first=5,
    ),
    "pfitre": Recipe(
        "half-quadratic splitting with a learned prior",
        lambda prior, rho: in_turns(loop_of(prior, rho)),
        {"iterations": 10, "rho": "auto", "prior": "circuits"},
        joint=True,
        joint_defaults={"prior": "volume"},
    ),
    "pfitre-original": Recipe(
        "the published ADMM loop, rho not relative to norm(A)^2",
        lambda prior, rho: Original(prior, rho),
        {"iterations": 10, "rho": 10.0, "prior": "circuits"},
        image_first=2,
    ),
}


def recipe(method: str) -> Recipe:
    """The recipe called ``method``; ``ValueError`` that lists the names for any other."""
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; expected one of {', '.join(METHODS)}")
    return METHODS[method]


def settings(method: str, *, joint: bool = False, **asked) -> dict[str, Any]:
    """The settings of ``method``: its defaults, replaced by those ``asked`` that are not None.

    joint: whether all rows are to be solved together

    A prior is loaded where it is a name or a path (``.pth``: the published network's). One that was trained
    through the loop with its own rho, and perhaps for so many iterations, brings them along. What is told of
    the data (:data:`pfitre_jax.reconstruction.data_model.SETTINGS`) is there only where it was asked for.

    Raises ``ValueError`` for an unknown method, for one that cannot be ``joint`` or be told so, for a prior
    that sees neighbouring rows where it is not, for a setting that the method does not take, for iterations,
    a rho or a weight that make no sense or are not the prior's, and ``ValueError`` or ``FileNotFoundError``
    where there is no such prior.
    """
    chosen = recipe(method)
    if joint and not chosen.joint:
        able = ", ".join(name for name, other in METHODS.items() if other.joint)
        raise ValueError(
            f"{method} solves every row for itself, no prior of it joins them; expected for a joint "
            f"reconstruction one of {able}"
        )
    off = [name for name in data_model.SWITCHES if asked.get(name) is False]
    given = {name: value for name, value in asked.items() if value is not None and name not in off}
    _check_data(method, given)
    taken = chosen.defaults | dict.fromkeys(data_model.SETTINGS if chosen.data_may_change else ())
    stray = [name for name in given if name not in taken]
    if stray:
        takes = f"it takes {', '.join(taken)}" if taken else "it takes none"
        raise ValueError(f"method {method!r} takes no {', '.join(stray)}; {takes}: leave the others out")
    if "iterations" in given:
        iterations = given["iterations"]
        if isinstance(iterations, bool) or int(iterations) != iterations or iterations < 1:
            raise ValueError(f"iterations is {iterations!r}; expected a whole number of at least 1")
    for name in ("rho", "weight"):
        if name in given and not given[name] == taken[name] == "auto":
            check_number(name, given[name], or_zero=name == "weight")
    settings = {**chosen.defaults, **(chosen.joint_defaults if joint else {}), **given}
    if isinstance(settings.get("prior"), (str, os.PathLike)):
        settings["prior"] = _load(settings["prior"])
    if isinstance(settings.get("prior"), UnrolledPrior):
        settings |= _own(method, settings["prior"], given)
    if not joint and getattr(settings.get("prior"), "reach", 0):
        raise ValueError(
            "the prior sees the neighbours of every row; expected another prior, or a joint reconstruction "
            "(--joint; joint=True)"
        )
    return settings


def _check_data(method: str, given: dict[str, Any]) -> None:
    data_model.check(given)
    told = [name for name in data_model.SETTINGS if name in given]
    if told and not METHODS[method].data_may_change:
        able = ", ".join(name for name, other in METHODS.items() if other.data_may_change)
        raise ValueError(f"{method} takes the data as they are; expected with {told[0]} one of {able}")


def _own(method: str, prior: UnrolledPrior, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that an unrolled prior brings along; of several rho the last."""
    if method != "pfitre":
        raise ValueError(f"the prior was trained through the loop of pfitre; {method} cannot use it")
    own = {"rho": float(prior.rho[-1])}
    if prior.iterations is not None:
        own["iterations"] = prior.iterations
    for name, value in own.items():
        if given.get(name, value) not in (value, "auto"):
            raise ValueError(
                f"{name} is {given[name]:g}; the prior was trained with its own, {value:.4g}: leave it out"
            )
    return own


def _load(asked):
    # Flax is slow to import and only this needs it.
    from pfitre_jax.baselines.published import checkpoint as original
    from pfitre_jax.priors import files

    load = original.load if str(asked).lower().endswith(original.SUFFIXES) else files.pretrained
    return load(asked)


def automatic(method: str) -> list[str]:
    """The settings of ``method`` that are found from the noise, where they are not given."""
    return [name for name, value in recipe(method).defaults.items() if value == "auto"]


def needed_parameter(settings: dict[str, Any]) -> Parameter:
    """The last parameter of a scan's calibration that ``settings`` need for their "auto"."""
    if settings.get("weight") == "auto":
        return "tv_weight"
    # With a TV weight of its own, rho belongs to that.
    return "rho" if settings.get("rho") == "auto" and "weight" not in settings else "noise"


def with_numbers(settings: dict[str, Any], weight: float | None = None) -> dict[str, Any]:
    """``settings`` with numbers for "auto": ``weight``, which is the scan's
    :func:`pfitre_jax.solvers.parameters.tv_weight.automatic_weight`, and the rho that belongs to the weight.

    Raises ``ValueError`` where it is needed and not there.
    """
    if weight is None and needed_parameter(settings) != "noise":
        raise ValueError("weight or rho is 'auto' and the scan's automatic weight is not given")
    numbers = dict(settings)
    if numbers.get("weight") == "auto":
        numbers["weight"] = weight
    if numbers.get("rho") == "auto":
        numbers["rho"] = float(tv_rho(numbers["weight"]) if "weight" in numbers else learned_rho(weight))
    return numbers


def build(method: str, settings: dict[str, Any], scale: float = 1.0):
    """The solver of ``method`` with ``settings`` of :func:`settings` and :func:`with_numbers`.

    scale: that sinograms are divided by before it sees them
    """
    chosen = METHODS[method]
    own = {name: settings[name] for name in chosen.defaults if name != "iterations"}
    after = min(chosen.image_first, settings.get("iterations", 0) // 2)
    return data_model.DataModel.of(settings).told(chosen.build(**own), scale, after)


def describe(value):
    """A setting as it is recorded: numbers and text as they are, a prior by its name and the hash of its
    weights."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    card = getattr(value, "card", {})
    name = " ".join(str(card[key])[:most] for key, most in (("name", 40), ("sha256", 12)) if key in card)
    return name or (str(value) if isinstance(value, os.PathLike) else type(value).__name__)


def solve_slice(solver, problem: Problem, *, iterations: int, tolerance) -> Solution:
    """One slice by an iterative method, started from 0, or by :class:`FBP`. Pure."""
    if isinstance(solver, FBP):
        return _solve_fbp(solver, problem)
    zero = jnp.zeros(problem.A.shape, problem.sinogram.dtype)
    return run(solver, problem, zero, iterations=iterations, tolerance=tolerance)


def _solve_fbp(solver: FBP, problem: Problem) -> Solution:
    image = fbp(problem.A, fill_invalid(problem.sinogram, problem.mask), solver.filter)
    image = problem.support * image
    stats = {
        "iterations": jnp.array(1),
        "residual": problem.residual(image)[None],
        "change": jnp.full((1,), jnp.nan, image.dtype),
    }
    return Solution(image, jnp.array(int(Status.ITERATIONS)), stats)


def fill_invalid(sinogram, mask):
    """Invalid bins of ``sinogram (views, columns)`` by linear interpolation between the valid ones of a view.

    For FBP, which cannot leave a bin out. Beyond the last valid bin its value goes on; without any it is 0.
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
