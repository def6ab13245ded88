"""Compiled programs that compute the limits of the intervals of solved slices."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Prior
from pfitre_jax.reconstruction.calibrated_intervals import CalibratedIntervals
from pfitre_jax.reconstruction.data_model import DataModel
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.methods import METHODS
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.runtime.devices import jit_over_slices, replicate
from pfitre_jax.solvers.prior_step import expected_error
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.trust.bootstrap import SEED, bootstrap_angles, bootstrap_error, rotate_any
from pfitre_jax.trust.intervals import (
    combined_scale,
    interval,
    share_wider_than_contrast,
    sharpened_scale,
    smooth_scale,
)


@dataclasses.dataclass(frozen=True, eq=False)
class IntervalProgram:
    """Compiled programs that compute the limits of solved slices; made by :func:`make_interval_program`.

    Attributes:
        calibrated: The intervals of the scan.
        nonnegative: Whether the method returns no negative values.
        expected: Executable for the scale of slices by the expected error, or None.
        measure: Executable that rotates slices and measures them again, or None.
        rotate: Executable that rotates the support of the problem, or None.
        problem: The problem that all rows share, on the devices.
        mesh: The local devices; None for a single device.
        seconds_compile: Wall time of compilation.
    """

    calibrated: CalibratedIntervals
    nonnegative: bool
    expected: Callable | None
    measure: Callable | None
    rotate: Callable | None
    problem: SliceProblem
    mesh: Mesh | None
    seconds_compile: float

    def half_width(
        self,
        solve: Callable[[SliceProblem, Array], Array],
        sinograms: Float[np.ndarray, "slices views columns"],
        masks: Float[np.ndarray, "slices views columns"],
        images: Float[Array, "slices ny nx"],
        rows: np.ndarray,
    ) -> Float[Array, "slices ny nx"]:
        """Half width of the interval of each pixel, in units of the scale; 0 outside the support.

        Args:
            solve: Function from a problem and sinograms to the slices of the method.
            sinograms: (slices, views, columns), line integrals divided by the scale.
            masks: (slices, views, columns), 1 for a valid bin.
            images: (slices, ny, nx), the solved slices.
            rows: (slices,), their row numbers, on which the noise of the bootstrap depends.
        """
        expected = None if self.expected is None else self.expected(sinograms, masks, images)
        bootstrap = None
        if self.measure is not None:
            bootstrap = smooth_scale(self._bootstrap(solve, sinograms, masks, images, rows))
        scale = combined_scale(expected, bootstrap)
        return self.calibrated.factor * scale * self.problem.support[None]

    def _bootstrap(self, solve, sinograms, masks, images, rows) -> Array:
        """Mean error of the draws, (slices, ny, nx)."""
        measure, rotate = self.measure, self.rotate
        assert measure is not None and rotate is not None
        measured: dict[int, tuple[SliceProblem, Array]] = {}
        rows = np.asarray(rows, np.int32)

        def rotated(draw: int, angle: float) -> Array:
            problem = replicate(rotate(self.problem, np.float32(angle)), self.mesh)
            new, truth = measure(problem, np.float32(angle), np.int32(draw), sinograms, masks, images, rows)
            measured[draw] = problem, new
            return truth

        return bootstrap_error(
            bootstrap_angles(self.calibrated.intervals.draws),
            rotated,
            lambda draw, angle, truth: solve(*measured.pop(draw)),
        )

    def limits(self, images: np.ndarray, half_width: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        """Limits (rows, ny, nx) and statistics (rows,) of rows, see :class:`RowBlock`.

        Args:
            images: (rows, ny, nx), slices in any unit.
            half_width: (rows, ny, nx), in the same unit.
            valid: (rows,), whether a row has data and did not diverge; the limits of others are NaN.
        """
        half_width = np.where(valid[:, None, None], half_width, np.float32(np.nan))
        lower, upper = interval(images, half_width, self.nonnegative)
        support = np.asarray(self.problem.support) > 0
        shares = [
            share_wider_than_contrast(x, a, b, support) for x, a, b in zip(images, lower, upper, strict=True)
        ]
        return {
            "lower": lower.astype(np.float32),
            "upper": upper.astype(np.float32),
            "half_width": np.median(half_width[:, support], axis=1).astype(np.float32),
            "wider": np.where(valid, shares, np.nan).astype(np.float32),
        }


def make_interval_program(
    calibrated: CalibratedIntervals,
    settings: Settings,
    prior: Prior | None,
    problem: SliceProblem,
    *,
    scale: float,
    noise: float,
    slices: int,
    data_model: DataModel,
    mesh: Mesh | None,
) -> IntervalProgram:
    """Compiles the programs of the intervals of a scan for chunks of slices.

    Args:
        calibrated: The intervals.
        settings: Settings of the method, without "auto".
        prior: The prior as the solver uses it.
        problem: The problem that all rows share, on the devices.
        scale: Value by which sinograms are divided.
        noise: Standard deviation of the noise in a bin, in units of the scale.
        slices: Number of slices that are solved together.
        data_model: Data model of the method.
        mesh: The local devices; None for a single device.
    """
    method, seconds = METHODS[settings.method], 0.0
    blank = np.zeros((slices, *problem.A.sinogram_shape), np.float32)
    images = np.zeros((slices, *problem.support.shape), np.float32)
    number = np.float32(0)
    expected = measure = rotate = None
    if calibrated.intervals.kind != "bootstrap":
        assert prior is not None
        shared = replicate(as_arrays((prior, problem)), mesh)
        weight = np.float32(calibrated.intervals.gradient_weight)
        numbers = np.float32(settings.rho or 0), np.float32(scale), np.int32(settings.iterations - 1), weight
        function = jit_over_slices(_expected_scale, mesh, 6, 3, (("model", data_model),))
        executable, took = compiled(function, *shared, *numbers, blank, blank, images)
        expected, seconds = functools.partial(executable, *shared, *numbers), seconds + took
    if calibrated.intervals.kind != "expected-error":
        options = ("with_residual", method.fits_data), ("nonnegative", method.nonnegative)
        function, rows = jit_over_slices(_measure_rotated, mesh, 4, 4, options), np.zeros(slices, np.int32)
        executable, took = compiled(
            function, number, problem, number, np.int32(0), blank, blank, images, rows
        )
        measure = functools.partial(executable, np.float32(noise))
        rotate, more = compiled(_rotate_support, problem, number)
        seconds += took + more
    return IntervalProgram(calibrated, method.nonnegative, expected, measure, rotate, problem, mesh, seconds)


def _expected_scale(
    prior: Prior,
    problem: SliceProblem,
    rho: Array,
    scale: Array,
    iteration: Array,
    gradient_weight: Array,
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"],
    images: Float[Array, "slices ny nx"],
    *,
    model: DataModel,
) -> Float[Array, "slices ny nx"]:
    """Scale of the intervals of slices by their expected error; pure."""
    # One mirror image costs a single pass of the network.
    last = prior.at(iteration).at(0)

    def one(sinogram, mask, image):
        row = model.apply(dataclasses.replace(problem, sinogram=sinogram, mask=mask), image, scale)
        return sharpened_scale(expected_error(row, last, image, rho), image, gradient_weight)

    return jax.vmap(one)(sinograms, masks, images)


def _measure_rotated(
    noise: Array,
    problem: SliceProblem,
    angle: Array,
    draw: Array,
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"],
    images: Float[Array, "slices ny nx"],
    rows: Array,
    *,
    with_residual: bool,
    nonnegative: bool,
) -> tuple[Float[Array, "slices views columns"], Float[Array, "slices ny nx"]]:
    """New sinograms of rotated slices, and these slices; pure. ``problem`` has the rotated support."""

    def one(sinogram, mask, image, row):
        sigma = noise
        if with_residual:
            # What the data model does not explain counts as noise.
            residual = mask * (problem.A(image) - sinogram)
            rms = jnp.sqrt(jnp.sum(residual**2) / jnp.maximum(jnp.sum(mask), 1))
            sigma = jnp.maximum(sigma, jnp.where(jnp.isfinite(rms), rms, 0))
        truth = rotate_any(image, angle)
        truth = problem.support * (jnp.maximum(truth, 0) if nonnegative else truth)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(SEED), row), draw)
        return mask * (problem.A(truth) + sigma * jax.random.normal(key, mask.shape, image.dtype)), truth

    return jax.vmap(one)(sinograms, masks, images, rows)


@jax.jit
def _rotate_support(problem: SliceProblem, angle: Array) -> SliceProblem:
    """The problem of an object that is rotated by an angle."""
    return problem.with_support((rotate_any(problem.support, angle) > 0.5).astype(problem.support.dtype))
