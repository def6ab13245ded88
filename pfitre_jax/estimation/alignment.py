"""Alignment: the motion of the views, estimated together with the reconstruction that it blurs.

The loop proceeds from coarse bins to fine ones. It alternates between a few iterations of a total-variation
reconstruction from the views, corrected for their estimated motion, and a step of the motion towards the
projections of that volume (joint reprojection), here also along the rows, in gain and in offset, see
:mod:`pfitre_jax.estimation.motion_step`. The roll is the one whose new reconstruction has the smallest
smoothed residual. The reconstruction is restarted, because a continued one would adapt to any roll: a roll is
nearly a tilt of the object.

**Undetermined components** are fixed at zero: shifts along ``cos(theta)`` and ``sin(theta)`` move the object
in its plane, a constant shift along the rows moves it along the axis, and a constant gain changes the unit. A
constant shift along the columns changes the centre. Over much less than half a turn it is nearly a
combination of these components; the remainder stays in the shifts, and below :data:`SPAN_DEG` the centre is
not changed.

References:
    Guersoy et al., Rapid alignment of nanotomography data using joint iterative reconstruction and
    reprojection, Sci. Rep. 7, 2017.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy import fft, ndimage

from pfitre_jax.data.motion import Motion
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.binning import bin_down, binned_index, unbinned_index
from pfitre_jax.estimation.calibrate import calibrate
from pfitre_jax.estimation.curve_minimum import minimum_position
from pfitre_jax.estimation.motion_step import advance_motion, fit_motion
from pfitre_jax.geometry import Wedge, remove_object_shift
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.admm import ADMM
from pfitre_jax.solvers.parameters.noise import noise_from_differences
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Largest number of columns on the coarsest and on the finest level.
COARSEST, FINEST = 48, 256
#: Largest number of rows; neighbouring rows with the strongest signal are used.
ROWS = 32
#: Steps of the motion on each level, iterations of the volume between two of them, and the rms change of the
#: shifts in a step, in bins of the level, at which a level ends.
STEPS, ITERATIONS, SETTLED = 20, 3, 0.005
#: Trial rolls relative to the present one, degrees: on the coarsest level, on the others, and finally.
ROLLS = (np.linspace(-4, 4, 9), np.linspace(-1, 1, 5), np.linspace(-0.6, 0.6, 5))
#: Iterations of the volume for each trial roll, and the smallest number of rows of a level with trial rolls.
ROLL_ITERATIONS, ROLL_ROWS = 12, 8
#: Smallest relative rise of the residual over the trial rolls that determines the roll.
ROLL_RISE = 0.003
#: Method of the volume, with as much smoothing as misaligned views allow.
METHOD = ADMM(TV(1e-3, iterations=10), rho=0.01, cg_iterations=2, start_iterations=8)
#: Number of cosines, over the order of the views, of a slow drift; the first one is a constant.
DRIFT_TERMS = 6
#: Smallest correlation of neighbouring rows at which shifts along the rows are determined: unrelated slices
#: have 0.03, circuits and the real chip more than 0.8.
SIMILAR = 0.4
#: Smallest share of the fine structure that is attributed to the object instead of the noise.
FINE_SHARE = 0.1
#: Smallest angular range that determines the centre, degrees.
SPAN_DEG = 150.0


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """Estimated motion of a scan; made by :func:`align`.

    Attributes:
        motion: The motion.
        residual: (steps,), relative residual of the volume against the corrected views, over all levels.
        levels: (steps,), number of detector columns per bin in each step.
        rolls: For each search the trial rolls and their relative residuals, (2, trials).
        pinned: Components that the scan does not determine and that are fixed at zero, in words.
    """

    motion: Motion
    residual: Float[np.ndarray, " steps"]
    levels: Int[np.ndarray, " steps"]
    rolls: list[np.ndarray]
    pinned: list[str]


def align(
    scan: Scan,
    start: Motion | None = None,
    *,
    roll: bool = True,
    rows: bool = True,
    gain: bool = True,
    drift: bool = False,
    steps: int = STEPS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Alignment:
    """Estimates the motion of the views of a scan.

    Args:
        scan: The measured scan, with an at least approximate centre.
        start: Initial motion; by default none. Gains and offsets of another element are left out.
        roll: Whether the roll is estimated.
        rows: Whether shifts along the rows are estimated.
        gain: Whether gain and offset are estimated.
        drift: Whether the shifts drift slowly in the order of the views, described by :data:`DRIFT_TERMS`
            numbers in each direction instead of one for each view; the shifts of ``start`` are added. For
            views that are too noisy to be aligned one by one.
        steps: Largest number of steps on each level.
        progress: Called with the number of steps done and the number of steps.
    """
    motion = Motion.none(scan.theta_rad, float(scan.geometry().center)) if start is None else start
    # The gains of another element are no initial estimate; those that are estimated belong to this one.
    element = scan.provenance.get("element")
    motion = dataclasses.replace(motion.of_element(element)[0], element=element)
    # The initial shifts are relative to the centre of the initial motion.
    scan, factors = scan.with_center(motion.center), _factors(scan.columns)
    pinned = ["shifts along cos(theta) and sin(theta)"]
    if (rows or roll) and row_similarity(_binned(scan, factors[-1])) < SIMILAR:
        rows = roll = False
        pinned.append("shifts along the rows and the roll, as neighbouring rows are not similar")
    pinned += ["mean shift along the rows"] * rows + ["mean gain and offset"] * gain
    residuals: list[float] = []
    levels: list[int] = []
    searches: list[np.ndarray] = []
    # The shifts come first, as a roll is hardly visible in misaligned views; and again after each search, as
    # they belonged to the previous roll.
    offsets = [ROLLS[0], *[ROLLS[1]] * (len(factors) - 1)]
    plan = [*zip(factors, offsets, strict=True), (factors[-1], ROLLS[2])]
    level, current = None, motion
    total = steps * (len(plan) + 1)
    for number, (factor, offset) in enumerate(plan):
        if level is None or factor != plan[number - 1][0]:
            level = _Level(_binned(scan, factor), rows=rows, gain=gain, drift=drift)
            current = _to_level(motion, factor)

        def refine(current, level=level, factor=factor):
            for _ in range(steps):
                before = current
                current, residual = level.advance(current)
                residuals.append(residual)
                levels.append(factor)
                progress(len(residuals), total)
                moved = [current.shifts - before.shifts, current.row_shifts - before.row_shifts]
                if np.sqrt(np.mean(np.square(moved))) < SETTLED:
                    break
            return current

        current = refine(current) if number == 0 else current
        if roll and level.scan.rows >= ROLL_ROWS:
            rolls = current.roll_deg + (offset if searches else ROLLS[0])
            residual = np.array([level.residual(dataclasses.replace(current, roll_deg=r)) for r in rolls])
            searches.append(np.stack([rolls, residual]))
            determined = residual.max() > (1 + ROLL_RISE) * residual.min()
            if determined and len(searches) == 1 and np.argmin(residual) in (0, len(residual) - 1):
                # There is no minimum inside the range.
                roll = False
                pinned.append(
                    f"the roll: of {rolls[0]:g} to {rolls[-1]:g} degrees an end fits best; start from a "
                    "known roll if it is larger"
                )
            elif determined:
                current = dataclasses.replace(current, roll_deg=minimum_position(rolls, residual))
        current = refine(current)
        motion = _from_level(current, factor)
    progress(total, total)
    if _span_deg(scan.theta_rad) >= SPAN_DEG:
        # The fit includes cos and sin, which were removed from the shifts.
        basis = np.stack([np.ones(scan.views), np.cos(scan.theta_rad), np.sin(scan.theta_rad)], axis=1)
        constant = float(np.linalg.lstsq(basis, motion.shifts, rcond=None)[0][0])
        shifts = remove_object_shift(scan.theta_rad, motion.shifts - constant)
        motion = dataclasses.replace(motion, shifts=shifts, center=motion.center + constant)
    else:
        pinned.append("centre")
    return Alignment(motion, np.array(residuals), np.array(levels), searches, pinned)


def register(
    scan: Scan,
    predicted: Float[np.ndarray, "views rows columns"],
    start: Motion,
    *,
    gain: bool = False,
    steps: int = 15,
) -> Motion:
    """Estimates the motion of views relative to fixed predicted views.

    For held-out views, before they are compared with a reconstruction. No component is fixed at zero.

    Args:
        scan: The measured views.
        predicted: (views, rows, columns), line integrals; NaN where they are unknown.
        start: Initial motion; its roll and centre are kept.
        gain: Whether gain and offset are estimated.
        steps: Number of steps.
    """
    motion = start
    for _ in range(steps):
        values, mask = motion.correct(scan.projections, scan.mask)
        mask &= np.isfinite(predicted)
        fit = fit_motion(values, np.where(mask, predicted, 0), mask, rows=scan.rows > 1, gain=gain)
        motion = advance_motion(motion, fit)
    return motion


def row_similarity(scan: Scan) -> float:
    """Correlation of the fine structure of neighbouring rows of the views, corrected for noise.

    1 where all rows are equal, 0 where they are unrelated or there is one row.
    """

    def fine(values):
        smooth = lambda width: ndimage.gaussian_filter1d(values, width)  # noqa: E731
        return smooth(1) - smooth(4)

    structure = fine(scan.projections)
    valid = scan.mask[:, 1:] & scan.mask[:, :-1]
    above, below = np.where(valid, structure[:, 1:], 0), np.where(valid, structure[:, :-1], 0)
    # The share of white noise that passes as fine structure.
    passed = np.sum(fine(np.eye(1, 65, 32)) ** 2)
    sigma = float(noise_from_differences(jnp.asarray(scan.projections), jnp.asarray(scan.mask)))
    noise = np.sum(valid) * passed * sigma**2
    energy = [max(np.sum(a.astype(float) ** 2) - noise, FINE_SHARE * np.sum(a**2)) for a in (above, below)]
    size = np.sqrt(energy[0] * energy[1])
    return float(min(np.sum(above * below) / size, 1)) if size > 0 else 0.0


def _span_deg(theta_rad: Float[np.ndarray, " views"]) -> float:
    """Angular range of the views modulo half a turn, degrees."""
    return 180.0 - Wedge.from_angles(theta_rad).width_deg


def _factors(columns: int) -> list[int]:
    """Number of columns per bin on each level, coarsest first."""
    finest = -(-columns // FINEST)
    factors = [finest]
    while columns / (2 * factors[0]) >= COARSEST:
        factors.insert(0, 2 * factors[0])
    return factors


def _binned(scan: Scan, factor: int) -> Scan:
    """The scan in coarser bins along rows and columns, with lengths in bins; few rows become one."""
    assert scan.center is not None
    values, mask = bin_down(scan.projections, scan.mask, factor, min(factor, scan.rows))
    return scan.with_projections(
        np.where(mask, values / factor, 0).astype(np.float32),
        mask,
        center=binned_index(scan.center, factor),
        row0=0,
        raw_rows=mask.shape[1],
    )


def _to_level(motion: Motion, factor: int) -> Motion:
    """The motion in bins of ``factor`` columns."""
    return dataclasses.replace(
        motion,
        shifts=motion.shifts / factor,
        row_shifts=motion.row_shifts / factor,
        offset=motion.offset / factor,
        center=binned_index(motion.center, factor),
    )


def _from_level(motion: Motion, factor: int) -> Motion:
    """The motion in detector columns, from bins of ``factor`` columns."""
    return dataclasses.replace(
        motion,
        shifts=motion.shifts * factor,
        row_shifts=motion.row_shifts * factor,
        offset=motion.offset * factor,
        center=unbinned_index(motion.center, factor),
    )


class _Level:
    """The loop on bins of one size; keeps the volume between steps."""

    def __init__(self, scan: Scan, *, rows: bool, gain: bool, drift: bool):
        self.scan, self.rows, self.gain, self.drift = scan, rows and scan.rows > 1, gain, drift
        calibration = calibrate(scan, "scale")
        self.problem, self.scale = calibration.problem, calibration.scale
        energy = np.sum(scan.projections.astype(float) ** 2, axis=(0, 2))
        count = min(ROWS, scan.rows)
        first = int(np.argmax(np.convolve(energy, np.ones(count), mode="valid")))
        self.band = slice(first, first + count)
        self.state = None

    def advance(self, motion: Motion) -> tuple[Motion, float]:
        """The motion after a step, and the relative residual of the volume before it."""
        values, mask = self._corrected(motion)
        predicted, self.state = self._predicted(values, mask, self.state, ITERATIONS)
        residual = np.where(mask, predicted - values, 0)
        relative = float(np.linalg.norm(residual) / np.linalg.norm(values))
        fit = fit_motion(values, predicted, mask, rows=self.rows, gain=self.gain)
        advanced = advance_motion(motion, fit)
        return _pin(_smooth_step(motion, advanced) if self.drift else advanced), relative

    def residual(self, motion: Motion) -> float:
        """Relative residual of a new volume, smoothed and after one step of the motion.

        The outermost rows, which a rotation moves out of the frame, are left out.
        """
        values, mask = self._corrected(motion)
        predicted, _ = self._predicted(values, mask, None, ROLL_ITERATIONS)
        fit = fit_motion(values, predicted, mask, rows=self.rows, gain=self.gain)
        margin, rows = min(int(np.ceil(0.05 * self.scan.columns)), mask.shape[1] // 4), mask.shape[1]
        inner = mask & ((np.arange(rows) >= margin) & (np.arange(rows) < rows - margin))[None, :, None]
        return float(np.linalg.norm(fit.remainder[inner]) / np.linalg.norm(values[inner]))

    def _corrected(self, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
        """Corrected line integrals (views, rows, columns) of the rows in use, and which are valid."""
        # The rotation is about the middle of the whole view.
        values, mask = motion.correct(self.scan.projections, self.scan.mask)
        return values[:, self.band], mask[:, self.band]

    def _predicted(self, values: np.ndarray, mask: np.ndarray, state: Any, iterations: int):
        """Projections (views, rows, columns) of the volume after more iterations, and the state of these."""
        sinograms = np.moveaxis(values, 1, 0) / np.float32(self.scale)
        masks = np.moveaxis(mask, 1, 0).astype(np.float32)
        state, predicted = _iterate(self.problem, sinograms, masks, state, iterations)
        return np.moveaxis(np.asarray(predicted), 0, 1) * np.float32(self.scale), state


def _smooth_step(before: Motion, after: Motion) -> Motion:
    """The motion after only the slowly varying part of a step."""

    def smooth(old, new):
        terms = fft.dct(new - old, norm="ortho")
        return old + fft.idct(np.where(np.arange(terms.size) < DRIFT_TERMS, terms, 0), norm="ortho")

    return dataclasses.replace(
        after,
        shifts=smooth(before.shifts, after.shifts),
        row_shifts=smooth(before.row_shifts, after.row_shifts),
    )


def _pin(motion: Motion) -> Motion:
    """The motion without the components that no scan determines."""
    return dataclasses.replace(
        motion,
        shifts=remove_object_shift(motion.theta_rad, motion.shifts),
        row_shifts=motion.row_shifts - np.mean(motion.row_shifts),
        gain=motion.gain / np.exp(np.mean(np.log(motion.gain))),
        offset=motion.offset - np.mean(motion.offset),
    )


@functools.partial(jax.jit, static_argnames="iterations")
def _iterate(
    problem: SliceProblem,
    sinograms: Float[Array, "rows views columns"],
    masks: Float[Array, "rows views columns"],
    state: Any,
    iterations: int,
) -> tuple[Any, Float[Array, "rows views columns"]]:
    """Iterate and state after more iterations of all rows, and the projections of the volume."""

    def one(sinogram, mask, state):
        row = problem.with_sinogram(sinogram, mask)
        state = METHOD.init(row, jnp.zeros(row.A.shape, sinogram.dtype)) if state is None else state
        state = jax.lax.fori_loop(0, iterations, lambda _, s: METHOD.step(row, *s), state)
        return state, row.A(state[0].x)

    return jax.vmap(one, in_axes=(0, 0, None if state is None else 0))(sinograms, masks, state)
