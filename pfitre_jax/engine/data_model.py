"""What a method can be told of the data: how bins are weighted, and what of them is the detector's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pfitre_jax.solvers.data_terms import Huber, Poisson, StudentT
from pfitre_jax.solvers.detector import Calibrated
from pfitre_jax.solvers.reweighted import Reweighted

#: Data terms in which a view or a bin that is far off pulls less than in least squares, by name; each finds
#: the noise of a row by itself.
ROBUST: dict[str, Callable[[], Any]] = {"huber": Huber, "student-t": StudentT}
#: The settings that belong here: of a method that can take them, none is there unless it is asked for.
SETTINGS = ("robust", "photons", "stripes", "gains")
#: Part of the iterations before a detector's errors are looked for; of few, as of a method that starts with a
#: reconstruction, none.
FIRST_SHARE = 0.1


def check(asked: dict[str, Any]) -> None:
    """``ValueError`` for values of :data:`SETTINGS` that make no sense."""
    robust, photons = asked.get("robust"), asked.get("photons")
    if robust is not None and robust not in ROBUST:
        raise ValueError(
            f"robust is {robust!r}; expected {' or '.join(ROBUST)}, or nothing for least squares"
        )
    if photons is None:
        return
    if isinstance(photons, bool) or not 1 < photons < math.inf:
        raise ValueError(f"photons is {photons!r}; expected those of the flat beam in a bin, more than 1")
    if robust is not None:
        raise ValueError(f"both photons and robust={robust!r} say what a bin counts; expected one of them")


def told(solver, settings: dict[str, Any], scale: float):
    """``solver`` that goes by those of :data:`SETTINGS` that ``settings`` hold.

    scale: that sinograms are divided by before it sees them
    """
    if "photons" in settings:
        solver = Reweighted(solver, Poisson(float(settings["photons"]), float(scale)))
    if "robust" in settings:
        solver = Reweighted(solver, ROBUST[settings["robust"]]())
    looked_for = {name: True for name in ("stripes", "gains") if settings.get(name)}
    if not looked_for:
        return solver
    return Calibrated(solver, **looked_for, after=int(settings["iterations"] * FIRST_SHARE))
