"""Alignment: the views' displacements, found in one loop with the reconstruction that they blur.

The loop goes from coarse bins to fine ones. In turns, the volume takes a few iterations of total variation
towards the measured views, mended by what is known of their motion, and the motion a Gauss-Newton step
towards the volume's projections (joint reprojection: Guersoy et al., Sci. Rep. 7, 2017; here with rows, gain
and offset too). With ``P`` the predicted view and ``D`` the mended one less ``P``, both smoothed,

    D ~ -ds dP/dk - dr dP/di + dg P + do

is solved for ``ds, dr, dg, do`` of each view, damped by what is expected of them, with Huber's weights. The
roll is the one whose fresh reconstruction leaves the least smooth misfit: it is nearly a tilt of the object,
to which a volume that is carried on would bend.

**What no scan tells** is pinned to nothing: shifts along ``cos(theta)`` and ``sin(theta)`` move the object in
its plane, a constant one along the rows moves it along the axis, a constant gain is another unit. A constant
shift along the columns is another centre; over much less than half a turn that is nearly such a combination,
and what is left of it stays with the shifts: below :data:`SPAN_DEG` the centre is not moved.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy import fft, ndimage

from pfitre_jax.data.motion import Motion
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.binning import binned_index, shrink, unbinned_index
from pfitre_jax.estimation.calibrate import calibrate
from pfitre_jax.estimation.opposite_views import vertex
from pfitre_jax.geometry import Wedge, remove_object_shift
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.admm import ADMM
from pfitre_jax.solvers.parameters.noise import MAD, noise_from_differences
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Largest number of columns that are looked at, coarsest and finest; bins are put together until it holds.
COARSEST, FINEST = 48, 256
#: Most rows that are looked at: neighbours, where the signal is strongest.
ROWS = 32
#: Steps of the motion on each level, iterations of the volume between two of them, and the rms of a step's
#: shifts, bins of the level, at which no more are made.
STEPS, ITERATIONS, SETTLED = 20, 3, 0.005
#: Rolls that are tried on the coarsest level, on the others, and once more on the last, degrees, about the
#: one that is known so far; iterations of the volume for each, and the least rows of a level that is asked.
ROLLS = (np.linspace(-4, 4, 9), np.linspace(-1, 1, 5), np.linspace(-0.6, 0.6, 5))
ROLL_ITERATIONS, ROLL_ROWS = 12, 8
#: By less than this part the misfit does not tell one roll from another.
ROLL_RISE = 0.003
#: The volume's method; as smooth as can be told from misaligned views.
METHOD = ADMM(TV(1e-3, iterations=10), rho=0.01, cg_iterations=2, start_iterations=8)
#: What is expected of the motion: rms of the shifts, bins of the level, of gain, and of offset over the
#: largest line integral. Steps are damped by it as by so much noise.
EXPECTED_SHIFT, EXPECTED_GAIN, EXPECTED_OFFSET = 3.0, 0.1, 0.02
#: A slow drift is so many cosines over the order in which the views were taken, the first a constant.
DRIFT_TERMS = 6
#: Largest step of a shift, bins of the level.
LARGEST_STEP = 1.5
#: Below this likeness of neighbouring rows there is nothing between them that a view could be moved along:
#: 0.03 of slices that are unrelated, above 0.8 on circuits and on the real chip.
ALIKE = 0.4
#: At least so much of the fine structure counts as no noise: more of it cannot be told from its estimate.
FINE_SHARE = 0.1
#: Both sides are smoothed by so many bins, so that the step sees further than a bin.
SMOOTHING = 1.0
#: Bins with a larger misfit than so many robust deviations count less (Huber).
HUBER = 2.0
#: Views over less than this do not tell the centre from a place in the plane.
SPAN_DEG = 150.0


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """motion: found
    residual: (steps,), of the volume against the mended views, over all levels
    levels: (steps,), bins that were put together in each step
    rolls: of each search the rolls that were tried and their misfits, relative, (2, tried)
    pinned: what the scan does not tell, in words
    """

    motion: Motion
    residual: np.ndarray
    levels: np.ndarray
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
    """The motion of a scan whose centre is known at least nearly; the scan as it was measured.

    start: to begin with, default none but a centre
    roll, rows, gain: whether to look for the roll, the shifts along the rows, and gain and offset too
    drift: whether the shifts from one view to the next are those of something that moves slowly, of
        :data:`DRIFT_TERMS` numbers in each direction instead of one for each view; what ``start`` has
        stays beside it. Views count in the order that they lie in. For views too noisy to be placed one by
        one
    steps: on each level
    progress: called with steps done and steps in all
    """
    motion = Motion.none(scan.theta_rad, scan.geometry().center) if start is None else start
    # A start's shifts belong to its centre.
    scan, factors = scan.with_center(motion.center), _factors(scan.columns)
    pinned = ["shifts along cos(theta) and sin(theta)"]
    if (rows or roll) and likeness_of_rows(_binned(scan, factors[-1])) < ALIKE:
        rows = roll = False
        pinned.append("shifts along the rows and the roll, as neighbouring rows are not alike")
    pinned += ["mean shift along the rows"] * rows + ["mean gain and offset"] * gain
    residuals, levels, searches = [], [], []
    # Where the views lie comes first: a roll is hardly seen in views that are not where they should be; and
    # again after each search, as they lay where the roll before it wanted them.
    reach = [ROLLS[0], *[ROLLS[1]] * (len(factors) - 1)]
    plan = [(factor, tried) for factor, tried in zip(factors, reach, strict=True)] + [(factors[-1], ROLLS[2])]
    level, current = None, motion
    total = steps * (len(plan) + 1)
    for number, (factor, tried) in enumerate(plan):
        if level is None or factor != plan[number - 1][0]:
            level = _Level(_binned(scan, factor), rows=rows, gain=gain, drift=drift)
            current = _to_level(motion, factor)

        def walk(current, level=level, factor=factor):
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

        current = walk(current) if number == 0 else current
        if roll and level.scan.rows >= ROLL_ROWS:
            rolls = current.roll_deg + (tried if searches else ROLLS[0])
            misfits = np.array([level.misfit(dataclasses.replace(current, roll_deg=r)) for r in rolls])
            searches.append(np.stack([rolls, misfits]))
            told = misfits.max() > (1 + ROLL_RISE) * misfits.min()
            if told and len(searches) == 1 and np.argmin(misfits) in (0, len(misfits) - 1):
                # A minimum was not seen.
                roll = False
                pinned.append(
                    f"the roll: of {rolls[0]:g} to {rolls[-1]:g} degrees an end fits best; give one to start "
                    "from if the axis leans by more"
                )
            elif told:
                current = dataclasses.replace(current, roll_deg=vertex(rolls, misfits))
        current = walk(current)
        motion = _from_level(current, factor)
    progress(total, total)
    if _span_deg(scan.theta_rad) >= SPAN_DEG:
        # With cos and sin beside it, as these were taken off the shifts.
        basis = np.stack([np.ones(scan.views), np.cos(scan.theta_rad), np.sin(scan.theta_rad)], axis=1)
        constant = float(np.linalg.lstsq(basis, motion.shifts, rcond=None)[0][0])
        shifts = remove_object_shift(scan.theta_rad, motion.shifts - constant)
        motion = dataclasses.replace(motion, shifts=shifts, center=motion.center + constant)
    else:
        pinned.append("centre")
    return Alignment(motion, np.array(residuals), np.array(levels), searches, pinned)


def register(scan: Scan, predicted, start: Motion, *, gain: bool = False, steps: int = 15) -> Motion:
    """The motion of views towards ``predicted (views, rows, columns)``, ideal ones that stay as they are.

    For views that took no part in a reconstruction, before they are compared with it. Roll and centre are
    those of ``start``; nothing is pinned.
    """
    motion = start
    for _ in range(steps):
        values, mask = motion.correct(scan.projections, scan.mask)
        mask &= np.isfinite(predicted)
        fit = _fit(values, np.where(mask, predicted, 0), mask, rows=scan.rows > 1, gain=gain)
        motion = _moved(motion, fit)
    return motion


def likeness_of_rows(scan: Scan) -> float:
    """Correlation of neighbouring rows of the views, their fine structure alone, without what noise takes:
    1 where all are the same, 0 where they have nothing in common or there is one row."""

    def fine(values):
        smooth = lambda width: ndimage.gaussian_filter1d(values, width)  # noqa: E731
        return smooth(1) - smooth(4)

    structure = fine(scan.projections)
    valid = scan.mask[:, 1:] & scan.mask[:, :-1]
    above, below = np.where(valid, structure[:, 1:], 0), np.where(valid, structure[:, :-1], 0)
    # Of white noise so much is fine structure.
    passed = np.sum(fine(np.eye(1, 65, 32)) ** 2)
    noise = np.sum(valid) * passed * float(noise_from_differences(scan.projections, scan.mask)) ** 2
    energy = [max(np.sum(a.astype(float) ** 2) - noise, FINE_SHARE * np.sum(a**2)) for a in (above, below)]
    size = np.sqrt(energy[0] * energy[1])
    return float(min(np.sum(above * below) / size, 1)) if size > 0 else 0.0


def _span_deg(theta_rad) -> float:
    """Of the directions seen, modulo half a turn."""
    return 180.0 - Wedge.from_angles(theta_rad).width_deg


def _factors(columns: int) -> list[int]:
    finest = -(-columns // FINEST)
    factors = [finest]
    while columns / (2 * factors[0]) >= COARSEST:
        factors.insert(0, 2 * factors[0])
    return factors


def _binned(scan: Scan, factor: int) -> Scan:
    """The scan in coarser bins along rows and columns, lengths in those; few rows become one."""
    values, mask = shrink(scan.projections, scan.mask, factor, min(factor, scan.rows))
    return scan.with_projections(
        np.where(mask, values / factor, 0).astype(np.float32),
        mask,
        center=binned_index(scan.center, factor),
        row0=0,
        raw_rows=mask.shape[1],
    )


def _to_level(motion: Motion, factor: int) -> Motion:
    return dataclasses.replace(
        motion,
        shifts=motion.shifts / factor,
        row_shifts=motion.row_shifts / factor,
        offset=motion.offset / factor,
        center=binned_index(motion.center, factor),
    )


def _from_level(motion: Motion, factor: int) -> Motion:
    return dataclasses.replace(
        motion,
        shifts=motion.shifts * factor,
        row_shifts=motion.row_shifts * factor,
        offset=motion.offset * factor,
        center=unbinned_index(motion.center, factor),
    )


class _Level:
    """The loop on bins of one size; holds the volume between steps."""

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
        """The motion after a step, and the residual of the volume that it was made with."""
        values, mask = self._mended(motion)
        predicted, self.state = self._predicted(values, mask, self.state, ITERATIONS)
        misfit = np.where(mask, values - predicted, 0)
        residual = float(np.linalg.norm(misfit) / np.linalg.norm(values))
        fit = _fit(values, predicted, mask, rows=self.rows, gain=self.gain)
        moved = _moved(motion, fit)
        return _pinned(_slow(motion, moved) if self.drift else moved), residual

    def misfit(self, motion: Motion) -> float:
        """Relative norm of what a fresh volume leaves of the views, smoothed, once each view has moved.

        Without the outermost rows, which a turn takes out of the frame.
        """
        values, mask = self._mended(motion)
        predicted, _ = self._predicted(values, mask, None, ROLL_ITERATIONS)
        fit = _fit(values, predicted, mask, rows=self.rows, gain=self.gain)
        margin, rows = min(int(np.ceil(0.05 * self.scan.columns)), mask.shape[1] // 4), mask.shape[1]
        inner = mask & ((np.arange(rows) >= margin) & (np.arange(rows) < rows - margin))[None, :, None]
        return float(np.linalg.norm(fit.left[inner]) / np.linalg.norm(values[inner]))

    def _mended(self, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
        """Line integrals (views, rows, columns) of the rows that are looked at, and which are valid."""
        # A turn is about the middle of the whole view.
        values, mask = motion.correct(self.scan.projections, self.scan.mask)
        return values[:, self.band], mask[:, self.band]

    def _predicted(self, values, mask, state, iterations: int):
        """The volume's projections (views, rows, columns) after more iterations, and their state."""
        sinograms = np.moveaxis(values, 1, 0) / np.float32(self.scale)
        masks = np.moveaxis(mask, 1, 0).astype(np.float32)
        state, predicted = _iterate(self.problem, sinograms, masks, state, iterations)
        return np.moveaxis(np.asarray(predicted), 0, 1) * np.float32(self.scale), state


@dataclasses.dataclass(frozen=True, eq=False)
class _Fit:
    """step: (views,) of each part of the motion; left: (views, rows, columns), the smoothed misfit that it
    does not explain"""

    step: dict[str, np.ndarray]
    left: np.ndarray


def _fit(values, predicted, mask, *, rows: bool, gain: bool) -> _Fit:
    """What of a misfit, (views, rows, columns), each view's motion explains."""
    spread = (0, SMOOTHING * rows, SMOOTHING)
    weight = ndimage.gaussian_filter(mask.astype(np.float32), spread)
    smooth = lambda a: ndimage.gaussian_filter(np.where(mask, a, 0), spread) / np.maximum(weight, 1e-3)  # noqa: E731
    P, D = smooth(predicted), smooth(values - predicted)
    inner = mask & (weight > 0.99)
    # What the misfit is made of, how much of it is expected, and whether it is looked for.
    largest = float(np.max(P, where=inner, initial=1e-12))
    parts = {
        "shifts": (-np.gradient(P, axis=2), EXPECTED_SHIFT, True),
        "row_shifts": (-np.gradient(P, axis=1) if rows else None, EXPECTED_SHIFT, rows),
        "gain": (P, EXPECTED_GAIN, gain),
        "offset": (np.ones_like(P), EXPECTED_OFFSET * largest, gain),
    }
    names = [name for name, (_, _, on) in parts.items() if on]
    X = np.stack([parts[name][0] for name in names], axis=-1)
    expected = np.array([parts[name][1] for name in names])
    # Without a valid bin nothing moves.
    deviation = (np.median(np.abs(D[inner])) if inner.any() else 0.0) / MAD + 1e-12
    weighted = (inner * np.minimum(1, HUBER * deviation / np.maximum(np.abs(D), 1e-12)))[..., None] * X
    # Smoothed noise is shared by about so many neighbours.
    noise = 4 * np.pi * SMOOTHING**2 * deviation**2
    normal = np.einsum("vrka,vrkb->vab", weighted, X) + noise * np.diag(expected**-2.0)
    right = np.einsum("vrka,vrk->va", weighted, D)
    solved = np.linalg.solve(normal, right[..., None])[..., 0]
    step = {name: np.zeros(len(values)) for name in parts} | dict(zip(names, solved.T, strict=True))
    return _Fit(step, D - np.einsum("vrka,va->vrk", X, solved))


def _moved(motion: Motion, fit: _Fit) -> Motion:
    """The motion after a step, nothing pinned."""
    at_most = lambda name, size: np.clip(fit.step[name], -size, size)  # noqa: E731
    return dataclasses.replace(
        motion,
        shifts=motion.shifts + at_most("shifts", LARGEST_STEP),
        row_shifts=motion.row_shifts + at_most("row_shifts", LARGEST_STEP),
        gain=motion.gain * (1 + at_most("gain", 2 * EXPECTED_GAIN)),
        offset=motion.offset + motion.gain * fit.step["offset"],
    )


def _slow(before: Motion, after: Motion) -> Motion:
    """The motion after a step of which only what drifts slowly was made."""

    def made(old, new):
        terms = fft.dct(new - old, norm="ortho")
        return old + fft.idct(np.where(np.arange(terms.size) < DRIFT_TERMS, terms, 0), norm="ortho")

    return dataclasses.replace(
        after,
        shifts=made(before.shifts, after.shifts),
        row_shifts=made(before.row_shifts, after.row_shifts),
    )


def _pinned(motion: Motion) -> Motion:
    """The motion without what no scan tells."""
    return dataclasses.replace(
        motion,
        shifts=remove_object_shift(motion.theta_rad, motion.shifts),
        row_shifts=motion.row_shifts - np.mean(motion.row_shifts),
        gain=motion.gain / np.exp(np.mean(np.log(motion.gain))),
        offset=motion.offset - np.mean(motion.offset),
    )


@functools.partial(jax.jit, static_argnames="iterations")
def _iterate(problem: SliceProblem, sinograms, masks, state, iterations: int):
    """``(state, predicted (rows, views, columns))`` of all rows after more iterations.

    The state is a pair of iterate and state of the solver.
    """

    def one(sinogram, mask, state):
        row = problem.with_sinogram(sinogram, mask)
        state = METHOD.init(row, jnp.zeros(row.A.shape, sinogram.dtype)) if state is None else state
        state = jax.lax.fori_loop(0, iterations, lambda _, s: METHOD.step(row, *s), state)
        return state, row.A(state[0].x)

    return jax.vmap(one, in_axes=(0, 0, None if state is None else 0))(sinograms, masks, state)
