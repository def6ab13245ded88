"""Data model of a reconstruction: statistical weights of the bins, and self-calibration of the detector."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import DataTerm, Problem, Solver
from pfitre_jax.solvers.data_terms import Huber, Poisson, StudentT, WholeViews
from pfitre_jax.solvers.wrappers.coarse_to_fine import wrap_levels
from pfitre_jax.solvers.wrappers.reweighted import Reweighted
from pfitre_jax.solvers.wrappers.self_calibration import SelfCalibration, correct_detector, detector_errors

#: Robust data terms by name. Each estimates the noise of a row itself; in a joint volume the terms of bins
#: estimate one noise of all rows.
ROBUST: dict[str, Callable[[], Any]] = {
    "huber": Huber,
    "student-t": StudentT,
    "views": WholeViews,
}


@dataclasses.dataclass(frozen=True)
class DataModel:
    """How a method weights and corrects the data; hashable, so that programs can be compiled for it.

    Attributes:
        robust: Name of a robust data term of :data:`ROBUST`, or None for least squares.
        photons: Photons per bin in the flat beam, for Poisson weights, or None.
        stripes: Whether column offsets are estimated and corrected.
        gains: Whether view gains are estimated and corrected.

    Raises:
        ValueError: A value is invalid, or both ``robust`` and ``photons`` are set.
    """

    robust: str | None = None
    photons: float | None = None
    stripes: bool = False
    gains: bool = False

    def __post_init__(self) -> None:
        for name in ("stripes", "gains"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected True or False")
        if self.robust is not None and self.robust not in ROBUST:
            *first, last = ROBUST
            raise ValueError(
                f"robust is {self.robust!r}; expected {', '.join(first)} or {last}, or None for least squares"
            )
        photons = self.photons
        if photons is None:
            return
        if not isinstance(photons, (int, float)) or isinstance(photons, bool) or not 1 < photons < math.inf:
            raise ValueError(
                f"photons is {photons!r}; expected the photons per bin in the flat beam, more than 1"
            )
        if self.robust is not None:
            raise ValueError(f"photons and robust={self.robust!r} both weight the bins; expected one of them")

    def record(self) -> dict[str, Any]:
        """The settings that differ from least squares on uncorrected data."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if value is not None and value is not False}

    def term(self, scale: float | Array) -> DataTerm | None:
        """The data term, or None for least squares.

        Args:
            scale: Value by which the sinograms were divided.
        """
        if self.photons is not None:
            return Poisson(float(self.photons), scale)
        return None if self.robust is None else ROBUST[self.robust]()

    def wrap(self, solver: Solver, scale: float, first_steps: int) -> Solver:
        """``solver`` with this data model, at all levels of a solver that starts from coarser ones.

        Args:
            solver: A solver for least squares.
            scale: Value by which the sinograms are divided.
            first_steps: Number of steps before robust weights and detector errors are estimated.
        """
        term = self.term(float(scale))

        def wrap(inner: Solver) -> Solver:
            if term is not None:
                inner = Reweighted(inner, term, first_steps)
            if self.stripes or self.gains:
                inner = SelfCalibration(
                    inner, stripes=self.stripes, gains=self.gains, first_steps=first_steps
                )
            return inner

        return wrap_levels(solver, wrap)

    def apply(self, problem: Any, image: Array, scale: float | Array) -> Any:
        """``problem`` with the corrected data and the weights for a result.

        Args:
            problem: Problem of a slice or a volume, with the measured data.
            image: (ny, nx) or (rows, ny, nx), the result.
            scale: Value by which the sinograms were divided.
        """
        if self.stripes or self.gains:
            residual = problem.residual(image)
            problem = correct_detector(problem, residual, stripes=self.stripes, gains=self.gains)
        term = self.term(scale)
        return problem if term is None else dataclasses.replace(problem, weights=term.weights(problem, image))

    def corrections(
        self, problem: Problem, image: Float[Array, "ny nx"], weights: Float[Array, "views columns"] | None
    ) -> tuple[Array, Array, Array]:
        """View gains, column offsets and view weights for the result of a row.

        Args:
            problem: Problem of the row, with the measured data.
            image: (ny, nx), the result.
            weights: (views, columns), the weights of the bins of :meth:`apply`.

        Returns:
            The gain of each view, (views,); the offset of each column, (columns,), in units of the scale; the
            mean weight of the valid bins of each view, (views,), 1 for a view without any. An array that was
            not estimated is (0,).
        """
        gain, offset = detector_errors(
            problem, problem.residual(image), stripes=self.stripes, gains=self.gains
        )
        detector = gain[: gain.size * self.gains, 0], offset[0, : offset.size * self.stripes]
        if self.robust is None:
            return *detector, jnp.zeros(0, image.dtype)
        assert weights is not None
        bins, kept = (jnp.sum(a, axis=-1) for a in (problem.mask, weights * problem.mask))
        return *detector, jnp.where(bins > 0, kept / jnp.maximum(bins, 1), 1)


#: Least squares on the data as they were measured.
LEAST_SQUARES = DataModel()
