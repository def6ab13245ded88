"""Intervals of a reconstruction: scale and calibrated table of a method, and the limits of slices."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import Calibration, sample_rows
from pfitre_jax.interfaces import Prior
from pfitre_jax.priors.interval_table import IntervalCell, IntervalTable, Kind, tables_from_record
from pfitre_jax.reconstruction.data_model import DataModel
from pfitre_jax.reconstruction.methods import METHODS, Settings
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.runtime.devices import jit_over_slices, replicate
from pfitre_jax.solvers.prior_step import expected_error
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.trust.bootstrap import SEED, bootstrap_angles, bootstrap_error, rotate_any
from pfitre_jax.trust.intervals import (
    GRADIENT_WEIGHT,
    combined_scale,
    interval,
    share_wider_than_contrast,
    sharpened_scale,
    smooth_scale,
)

#: "quick": from the error that the prior expects, at the cost of one pass of its network. "full": with a
#: bootstrap, too. "off": no intervals.
Mode = Literal["quick", "full", "off"]
#: Number of bootstrap draws of "full".
DRAWS = 20
#: Tables of the methods without a prior, by method and kind.
CLASSICAL = Path(__file__).with_name("intervals.json")
#: Quantile of a sinogram that stands for its maximum, because single bins may be outliers; smallest share of
#: the largest of them with which a row has signal.
PEAK_QUANTILE, SIGNAL_SHARE = 0.999, 0.25


@dataclasses.dataclass(frozen=True)
class Intervals:
    """What the intervals of a method are made of.

    Attributes:
        kind: What the scale is made of.
        draws: Number of bootstrap draws; 0 for the kind "expected-error".
        table: Calibrated factors of the scale; None for the factor 1, to calibrate the scale.
    """

    kind: Kind
    draws: int = 0
    table: IntervalTable | None = None

    @classmethod
    def choose(cls, settings: Settings, mode: str) -> tuple[Intervals | None, str]:
        """The intervals of a method, and why there are none, in words.

        Without a learned prior there are none but in the mode "full", and no reason is given.

        Args:
            settings: Settings of the method.
            mode: "quick", "full" or "off".

        Raises:
            ValueError: For another mode, or a malformed table.
        """
        if mode not in get_args(Mode):
            raise ValueError(f"intervals is {mode!r}; expected {', '.join(map(repr, get_args(Mode)))}")
        prior = settings.prior
        if mode == "off" or (mode == "quick" and prior is None):
            return None, ""
        learned = prior is not None and settings.method == "pfitre"
        expected = learned and prior.has_expected_error and not prior.info.reach
        of = (
            f"the prior {prior.info.card.get('name', '')!r}" if learned else f"the method {settings.method!r}"
        )
        if mode == "quick" and not expected:
            return None, f"{of} does not predict its error"
        kind: Kind = "expected-error" if mode == "quick" else "combined" if expected else "bootstrap"
        if learned:
            tables = tables_from_record(prior.info.card.get("intervals") or {})
        else:
            tables = classical_tables().get(settings.method, {}) if prior is None else {}
        if kind not in tables:
            return None, f"{of} has no calibrated table of the kind {kind!r}"
        table = tables[kind]
        return cls(kind, table.draws, table), ""

    def of_settings(self, settings: Settings) -> Intervals | None:
        """The intervals of the same mode of other settings; None if they have none."""
        return Intervals.choose(settings, "full" if self.draws else "quick")[0]

    @property
    def gradient_weight(self) -> float:
        """Weight of the gradient beside the expected error: that of the table, or of one to be calibrated."""
        if self.table is not None:
            return self.table.gradient_weight
        return 0.0 if self.kind == "bootstrap" else GRADIENT_WEIGHT

    @property
    def digest(self) -> str:
        """A short hash of kind, draws and table."""
        table = None if self.table is None else self.table.record()
        text = json.dumps([self.kind, self.draws, self.gradient_weight, table], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache
def classical_tables() -> dict[str, dict[str, IntervalTable]]:
    """The tables of the methods without a prior, by method and kind."""
    content = json.loads(CLASSICAL.read_text(encoding="utf-8")) if CLASSICAL.is_file() else {}
    return {method: tables_from_record(record) for method, record in content.items()}


def save_classical_table(method: str, table: IntervalTable, path: Path = CLASSICAL) -> None:
    """Writes the bootstrap table of a method without a prior; another one of this method is replaced.

    Args:
        method: Name in :data:`pfitre_jax.reconstruction.METHODS`.
        table: The table.
        path: The file; by default that of the package.
    """
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    text = json.dumps(content | {method: {"bootstrap": table.record()}}, indent=1) + "\n"
    write_files(path.parent, {path.name: lambda partial: partial.write_text(text, encoding="utf-8")})
    classical_tables.cache_clear()


def noise_level(scan: Scan, calibration: Calibration) -> float:
    """Estimated noise of a bin over the maximum of the sinogram, the median of the rows with signal.

    Args:
        scan: The scan.
        calibration: Its calibration, with the noise.
    """
    projections, mask = scan.source.take_rows(sample_rows(scan.rows))
    peaks = np.quantile(np.where(mask, projections, 0), PEAK_QUANTILE, axis=(0, 2))
    peak = float(np.median(peaks[peaks >= SIGNAL_SHARE * np.max(peaks)]))
    return (calibration.noise or 0.0) * calibration.scale / peak if peak > 0 else 0.0


@dataclasses.dataclass(frozen=True)
class CalibratedIntervals:
    """Intervals with the cell of a scan.

    Attributes:
        intervals: What they are made of.
        wedge_deg: Width of the missing wedge, degrees.
        noise: Noise of a bin over the maximum of the sinogram.
        cell: The cell of the table; None without a table.
        reasons: Why the intervals do not hold for this scan, in words; empty if they do.
    """

    intervals: Intervals
    wedge_deg: float
    noise: float
    cell: IntervalCell | None
    reasons: tuple[str, ...]

    @classmethod
    def create(
        cls, intervals: Intervals, scan: Scan, calibration: Calibration, settings: Settings
    ) -> CalibratedIntervals:
        """Intervals of a calibrated scan.

        Args:
            intervals: What they are made of.
            scan: The scan.
            calibration: Its calibration.
            settings: Settings of the method, without "auto".
        """
        wedge_deg, noise, table = scan.wedge.width_deg, noise_level(scan, calibration), intervals.table
        if table is None:
            return cls(intervals, wedge_deg, noise, None, ())
        reasons = []
        (low, high), (least, most) = table.wedge_deg, table.noise
        if not low <= wedge_deg <= high:
            reasons.append(
                f"the missing wedge is {wedge_deg:.0f} degrees wide, and the table covers {low:.0f} to "
                f"{high:.0f}"
            )
        if not least <= noise <= most:
            reasons.append(
                f"the noise is {100 * noise:.2g}% of the largest line integral, and the table covers "
                f"{100 * least:.2g} to {100 * most:.2g}%"
            )
        stated = _stated(settings, calibration)
        if stated:
            reasons.append(f"the table was made with the automatic value of {', '.join(stated)}")
        fixed = table.calibration.get("settings")
        if fixed:
            values = ", ".join(f"{name} = {value}" for name, value in fixed.items())
            reasons.append(f"the table was made with {values} and not with automatic values")
        if settings.data_model != DataModel():
            reasons.append("the table was made for least squares without corrections of views and columns")
        if settings.joint:
            reasons.append("the table was made for rows that are reconstructed separately")
        if settings.prior is not None and settings.prior.info.card.get("adapted", {}).get("chosen"):
            reasons.append("the prior was adapted to the scan after its calibration")
        if calibration.truncated.any():
            reasons.append("the sample extends beyond the field of view")
        return cls(intervals, wedge_deg, noise, table.find(wedge_deg, noise), tuple(reasons))

    @property
    def factor(self) -> float:
        """Factor of the scale."""
        return 1.0 if self.cell is None else self.cell.factor

    @property
    def digest(self) -> str:
        """A short hash of what the limits depend on beside the slices."""
        return f"{self.intervals.digest}-{self.factor:.6g}"

    def record(self, half_width: np.ndarray, wider: np.ndarray, domain_score: float | None) -> dict[str, Any]:
        """The intervals as JSON values, see the page "Files".

        Args:
            half_width: (rows,), median half width in the support of each row.
            wider: (rows,), share of the pixels near structure whose interval is wider than the contrast.
            domain_score: Out-of-distribution score of the result, or None.
        """
        reasons, table = list(self.reasons), self.intervals.table
        if table is None:
            reasons.append("the scale is not calibrated")
        if domain_score is not None and domain_score > 1:
            reasons.append(
                f"the result looks unlike the images of the calibration (domain score {domain_score:.2f})"
            )
        return {
            "level": None if table is None else table.level,
            "kind": self.intervals.kind,
            "draws": self.intervals.draws,
            "wedge_deg": self.wedge_deg,
            "noise": self.noise,
            "cell": None if self.cell is None else self.cell.record(),
            "median_half_width": _median(half_width),
            "wider_than_contrast": _median(wider),
            "holds": not reasons,
            "reasons": reasons,
        }


def interval_warning(record: Mapping[str, Any] | None) -> list[str]:
    """The warning where intervals do not hold, from :meth:`CalibratedIntervals.record`; else nothing."""
    if record is None or record["holds"]:
        return []
    return [
        f"the intervals do not hold for this scan: {'; '.join(record['reasons'])}; expect larger errors than "
        "they state"
    ]


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
    support = (rotate_any(problem.support, angle) > 0.5).astype(problem.support.dtype)
    kernel = dataclasses.replace(problem.kernel, support=support)
    return dataclasses.replace(problem, support=support, kernel=kernel)


def _stated(settings: Settings, calibration: Calibration) -> list[str]:
    """Names of the settings that are not those of the calibration of tables."""
    defaults, stated = METHODS[settings.method].defaults, []
    if "iterations" in defaults and not settings.iterations_by_default:
        stated.append("iterations")
    prior = settings.prior
    if prior is not None and prior.info.rho is None and settings.rho != calibration.rho:
        stated.append("rho")
    if defaults.get("weight") == "auto" and settings.weight != calibration.tv_weight:
        stated.append("weight")
    return stated


def _median(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None
