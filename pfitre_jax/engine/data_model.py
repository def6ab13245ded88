"""What a method can be told of the data: how bins are weighted, and what of them is the detector's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pfitre_jax.solvers.data_terms import Huber, Poisson, StudentT
from pfitre_jax.solvers.detector import Calibrated, calibrated, detector_errors
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.reweighted import Reweighted

#: Data terms in which a view or a bin that is far off pulls less than in least squares, by name; each finds
#: the noise of a row by itself.
ROBUST: dict[str, Callable[[], Any]] = {"huber": Huber, "student-t": StudentT}
#: The settings that belong here: of a method that can take them, none is there unless it is asked for.
SETTINGS = ("robust", "photons", "stripes", "gains")
#: Those of them that are on or off.
SWITCHES = ("stripes", "gains")


def check(asked: dict[str, Any]) -> None:
    """``ValueError`` for values of :data:`SETTINGS` that make no sense."""
    robust, photons = asked.get("robust"), asked.get("photons")
    for name in SWITCHES:
        if not isinstance(asked.get(name, True), bool):
            raise ValueError(f"{name} is {asked[name]!r}; expected True or False")
    if robust is not None and robust not in ROBUST:
        raise ValueError(
            f"robust is {robust!r}; expected {' or '.join(ROBUST)}, or nothing for least squares"
        )
    if photons is None:
        return
    if not isinstance(photons, (int, float)) or isinstance(photons, bool) or not 1 < photons < math.inf:
        raise ValueError(f"photons is {photons!r}; expected those of the flat beam in a bin, more than 1")
    if robust is not None:
        raise ValueError(f"both photons and robust={robust!r} say what a bin counts; expected one of them")


def told(solver, settings: dict[str, Any], scale: float, after: int):
    """``solver`` that goes by those of :data:`SETTINGS` that ``settings`` hold.

    scale: that sinograms are divided by before it sees them
    after: steps that it makes before a detector's errors are looked for
    """
    if "photons" in settings:
        solver = Reweighted(solver, Poisson(float(settings["photons"]), float(scale)))
    if "robust" in settings:
        solver = Reweighted(solver, ROBUST[settings["robust"]]())
    on = switched(settings)
    return Calibrated(solver, **{name: name in on for name in SWITCHES}, after=after) if on else solver


def mended(problem: Problem, image, on: tuple[str, ...]) -> Problem:
    """``problem`` with the data as a solver sees them at its result, an image or a volume.

    on: of :func:`switched`
    """
    if not on:
        return problem
    return calibrated(problem, problem.misfit(image), **{name: name in on for name in SWITCHES})


def found(problem: Problem, image, on: tuple[str, ...]):
    """The gain of each view of a row, (views,), and the stripe of each column, (columns,), by which the data
    at its result were mended; (0,) of what is not on."""
    flags = {name: name in on for name in SWITCHES}
    gain, offset = detector_errors(problem, problem.misfit(image), **flags)
    return gain[: gain.size * flags["gains"], 0], offset[0, : offset.size * flags["stripes"]]


def switched(settings: dict[str, Any]) -> tuple[str, ...]:
    """Those of :data:`SWITCHES` that are on."""
    return tuple(name for name in SWITCHES if settings.get(name))
