"""What a method can be told of the data: how bins are weighted, and what of them is the detector's."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from pfitre_jax.solvers.data_terms import Huber, Poisson, StudentT, WholeViews
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.wrappers.reweighted import Reweighted
from pfitre_jax.solvers.wrappers.self_calibration import Calibrated, calibrated, detector_errors

#: Data terms in which a view or a bin that is far off pulls less than in least squares, by name; each finds
#: the noise of a row by itself; in a joint volume those of bins find one noise of all rows.
ROBUST: dict[str, Callable[[], Any]] = {
    "huber": Huber,
    "student-t": StudentT,
    "views": WholeViews,
}
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
        *first, last = ROBUST
        raise ValueError(
            f"robust is {robust!r}; expected {', '.join(first)} or {last}, or nothing for least squares"
        )
    if photons is None:
        return
    if not isinstance(photons, (int, float)) or isinstance(photons, bool) or not 1 < photons < math.inf:
        raise ValueError(f"photons is {photons!r}; expected those of the flat beam in a bin, more than 1")
    if robust is not None:
        raise ValueError(f"both photons and robust={robust!r} say what a bin counts; expected one of them")


@dataclasses.dataclass(frozen=True)
class DataModel:
    """What a solver was told of the data, of :data:`SETTINGS`; hashable, for programs to be compiled by.

    The methods' ``scale``, (), is what sinograms are divided by before the solver sees them.
    """

    robust: str | None = None
    photons: float | None = None
    stripes: bool = False
    gains: bool = False

    @classmethod
    def of(cls, settings: dict[str, Any]) -> DataModel:
        """Of a method's settings, of which others count for nothing."""
        return cls(**{name: settings[name] for name in SETTINGS if settings.get(name) is not None})

    def term(self, scale):
        """The data term, None for least squares."""
        if self.photons is not None:
            return Poisson(float(self.photons), scale)
        return None if self.robust is None else ROBUST[self.robust]()

    def told(self, solver, scale, after: int):
        """``solver`` that goes by it.

        after: steps that it makes before bad bins or a detector's errors are looked for
        """
        term = self.term(float(scale))
        if term is not None:
            solver = Reweighted(solver, term, after)
        if self.stripes or self.gains:
            return Calibrated(solver, stripes=self.stripes, gains=self.gains, after=after)
        return solver

    def seen(self, problem: Problem, image, scale) -> Problem:
        """``problem`` as a solver sees it at its result, an image or a volume: data mended, bins weighted."""
        if self.stripes or self.gains:
            misfit = problem.misfit(image)
            problem = calibrated(problem, misfit, stripes=self.stripes, gains=self.gains)
        term = self.term(scale)
        return problem if term is None else dataclasses.replace(problem, weights=term.weights(problem, image))

    def found(self, problem: Problem, image, weights):
        """The gain of each view of a row, (views,), and the stripe of each column, (columns,), by which the
        data at its result were mended, and the mean weight of the valid bins of each view where ``robust``,
        (views,), 1 where there are none; (0,) of what was not looked for.

        weights: (views, columns), of :meth:`seen`
        """
        gain, offset = detector_errors(problem, problem.misfit(image), stripes=self.stripes, gains=self.gains)
        mended = gain[: gain.size * self.gains, 0], offset[0, : offset.size * self.stripes]
        if self.robust is None:
            return *mended, jnp.zeros(0, image.dtype)
        bins, kept = (jnp.sum(a, axis=-1) for a in (problem.mask, weights * problem.mask))
        return *mended, jnp.where(bins > 0, kept / jnp.maximum(bins, 1), 1)


#: Data as they are, by least squares.
LEAST_SQUARES = DataModel()
