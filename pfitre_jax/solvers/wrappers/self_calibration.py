"""Self-calibration: wraps a solver and corrects column offsets (stripes) and view gains before each step."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pfitre_jax.interfaces import Iterate, Problem, Solver
from pfitre_jax.solvers.parameters.noise import MAD

#: Number of columns of the running median that is subtracted from the offsets; smoother offsets may come from
#: the object.
MEDIAN_COLUMNS = 9
#: Estimates below this number of their standard deviations are set to 0, because they may be noise.
MIN_DEVIATIONS = 3.0
#: Smallest number of valid bins of a column or a view for an estimate of its standard deviation.
MIN_BINS = 10

AnyProblem = TypeVar("AnyProblem", bound=Problem)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SelfCalibrationState:
    """State of the wrapped solver and residual of the corrected data.

    Attributes:
        inner: State of the wrapped solver.
        residual: (views, columns), residual of the iterate with the corrected data.
        steps: (), number of steps done.
    """

    inner: Any
    residual: Float[Array, "*rows views columns"]
    steps: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SelfCalibration(Solver[SelfCalibrationState]):
    """``solver`` on data corrected by :func:`correct_detector`, estimated from its iterate before each step.

    The first ``first_steps`` steps use the uncorrected data: early residuals still contain structure of the
    object, which could be mistaken for stripes. Reported residuals are those of the uncorrected data.

    Attributes:
        solver: The :class:`pfitre_jax.interfaces.Solver`.
        stripes: Whether to correct column offsets.
        gains: Whether to correct view gains.
        first_steps: Number of steps with uncorrected data; 0 for a solver with an initial estimate.
    """

    solver: Solver
    stripes: bool = dataclasses.field(default=False, metadata={"static": True})
    gains: bool = dataclasses.field(default=False, metadata={"static": True})
    first_steps: int = dataclasses.field(default=0, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, SelfCalibrationState]:
        iterate, inner = self.solver.init(problem, x0)
        return self._wrap(problem, problem, iterate, inner, jnp.array(0))

    def step(
        self, problem: Problem, iterate: Iterate, state: SelfCalibrationState
    ) -> tuple[Iterate, SelfCalibrationState]:
        corrected = self._corrected(problem, iterate, state)
        new, inner = self.solver.step(corrected, self._with_inner_residual(iterate, state), state.inner)
        return self._wrap(problem, corrected, new, inner, state.steps + 1)

    def finish(self, problem: Problem, iterate: Iterate, state: SelfCalibrationState) -> Array:
        corrected = self._corrected(problem, iterate, state)
        return self.solver.finish(corrected, self._with_inner_residual(iterate, state), state.inner)

    def proposal(self, iterate: Iterate, state: SelfCalibrationState) -> Array:
        return self.solver.proposal(self._with_inner_residual(iterate, state), state.inner)

    def coarser(self) -> SelfCalibration:
        """The wrapper for bins and pixels of twice the size."""
        return dataclasses.replace(self, solver=self.solver.coarser())

    def _wrap(self, problem, corrected, iterate, inner, steps):
        # A x is the same in both residuals.
        residual = iterate.residual + problem.mask * (corrected.sinogram - problem.sinogram)
        may_stop = iterate.may_stop & (steps > self.first_steps)
        return Iterate(iterate.x, residual, may_stop), SelfCalibrationState(inner, iterate.residual, steps)

    def _with_inner_residual(self, iterate, state):
        """The iterate with the residual of the corrected data, as the wrapped solver expects it."""
        return dataclasses.replace(iterate, residual=state.residual)

    def _corrected(self, problem, iterate, state):
        corrected = correct_detector(problem, iterate.residual, stripes=self.stripes, gains=self.gains)
        sinogram = jnp.where(state.steps >= self.first_steps, corrected.sinogram, problem.sinogram)
        return dataclasses.replace(problem, sinogram=sinogram)


def correct_detector(
    problem: AnyProblem, residual: Float[Array, "*rows views columns"], *, stripes: bool, gains: bool
) -> AnyProblem:
    """``problem`` with the data ``y/g - c``, ``g`` and ``c`` the :func:`detector_errors`."""
    gain, offset = detector_errors(problem, residual, stripes=stripes, gains=gains)
    corrected = problem.mask * (problem.sinogram / gain - offset)
    # Every problem is a dataclass, which a protocol cannot declare.
    return dataclasses.replace(problem, sinogram=corrected)  # type: ignore[type-var]


def detector_errors(
    problem: Problem, residual: Float[Array, "*rows views columns"], *, stripes: bool, gains: bool
) -> tuple[Float[Array, "*rows views 1"], Float[Array, "*rows 1 columns"]]:
    """View gains and column offsets ``(g, c)``, so that ``A x`` is about ``y/g - c``.

    Args:
        problem: The data term.
        residual: (views, columns), ``M(A x - y)``.
        stripes: Whether to estimate column offsets, after the gains are corrected; otherwise they are 0.
        gains: Whether to estimate view gains; otherwise they are 1.
    """
    sinogram, mask = problem.sinogram, problem.mask
    gain, offset = jnp.ones_like(sinogram[..., :1]), jnp.zeros_like(sinogram[..., :1, :])
    if gains:
        predicted = sinogram + residual
        gain = view_gains(residual, mask * predicted, mask)
        residual = mask * (predicted - sinogram / gain)
    return gain, column_offsets(residual, mask) if stripes else offset


def column_offsets(
    residual: Float[Array, "*rows views columns"], mask: Float[Array, "*rows views columns"]
) -> Float[Array, "*rows 1 columns"]:
    """Offset that the detector adds to each column in every view, in the units of the line integrals.

    A detector element whose flat field is wrong by a factor adds a constant to all its line integrals: a
    stripe in the sinogram, an arc in the image. The offset is the median over the views of ``M(y - A x)``,
    minus its running median over :data:`MEDIAN_COLUMNS` columns; 0 below :data:`MIN_DEVIATIONS`.

    Args:
        residual: (views, columns), ``M(A x - y)``.
        mask: (views, columns), 1 for a valid bin.
    """
    valid = jnp.where(mask > 0, -residual, jnp.nan)
    median = jnp.nanmedian(valid, axis=-2, keepdims=True)
    spread = jnp.nanmedian(jnp.abs(valid - median), axis=-2, keepdims=True) / MAD
    views = jnp.sum(mask, axis=-2, keepdims=True)
    # Standard deviation of the median of this number of normal values.
    deviation = spread * jnp.sqrt(jnp.pi / 2 / jnp.maximum(views, 1))
    return jnp.where(views >= MIN_BINS, _threshold(median - _running_median(median), deviation), 0)


def view_gains(
    residual: Float[Array, "*rows views columns"],
    predicted: Float[Array, "*rows views columns"],
    mask: Float[Array, "*rows views columns"],
) -> Float[Array, "*rows views 1"]:
    """Gain of each view relative to the median view.

    For beams that fluctuate, dwell times that differ, and views that were normalised. The gain is 1 plus the
    factor of ``M A x`` in ``M(y - A x)``, less the median of that factor over the views; 1 below
    :data:`MIN_DEVIATIONS`.

    Args:
        residual: (views, columns), ``M(A x - y)``.
        predicted: (views, columns), ``M A x``.
        mask: (views, columns), 1 for a valid bin.
    """
    energy = jnp.sum(predicted**2, axis=-1, keepdims=True)
    slope = jnp.sum(predicted * -residual, axis=-1, keepdims=True) / jnp.where(energy > 0, energy, jnp.inf)
    rest = jnp.sum((residual + slope * predicted) ** 2, axis=-1, keepdims=True)
    bins = jnp.sum(mask, axis=-1, keepdims=True)
    deviation = jnp.sqrt(rest / jnp.maximum(bins - 1, 1) / jnp.where(energy > 0, energy, jnp.inf))
    valid = jnp.where(energy > 0, slope, jnp.nan)
    excess = slope - jnp.nan_to_num(jnp.nanmedian(valid, axis=-2, keepdims=True))
    measurable = (energy > 0) & (bins >= MIN_BINS)
    return 1 + jnp.where(measurable, jnp.maximum(_threshold(excess, deviation), -0.9), 0)


def _threshold(values, deviation):
    """``values``, and 0 where they are at most :data:`MIN_DEVIATIONS` deviations, or NaN."""
    return jnp.where(jnp.abs(values) > MIN_DEVIATIONS * deviation, values, 0)


def _running_median(values):
    """Running median along the last axis, without NaN, mirrored at the ends."""
    columns = np.pad(np.arange(values.shape[-1]), MEDIAN_COLUMNS // 2, mode="reflect")
    index = np.lib.stride_tricks.sliding_window_view(columns, MEDIAN_COLUMNS)
    return jnp.nanmedian(values[..., index], axis=-1)
