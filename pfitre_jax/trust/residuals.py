"""Statistics of the residual of a result, and the faults of a scan that their patterns indicate.

The residual of a good result is white noise. A fault that the reconstruction does not model leaves a pattern
in it: offsets of columns, views that match if they are displaced or scaled, outlying bins, errors at the
edges.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from pfitre_jax.data.selection import format_ranges
from pfitre_jax.geometry import Wedge
from pfitre_jax.solvers.parameters.noise import MAD

#: Standard deviations at which residuals are clipped before patterns are estimated.
CLIP = 4.0
#: Standard deviations above which a bin is an outlier.
OUTLYING = 8.0
#: Largest share of the bins that are called outliers.
RARE = 0.1
#: Columns of the running median that is subtracted from column means; smoother ones may come from the object.
MEDIAN_COLUMNS = 9
#: Degree of the polynomial in the angle that counts as a slow variation of the view intensities.
SLOW_DEGREE = 3
#: Columns at either edge of the detector whose residual is compared with that of the others.
EDGE_COLUMNS = 3
#: Fewest views for a pattern over the views, and valid bins of a view or a column for a statement about it.
MIN_VIEWS, MIN_BINS = 10, 10
#: Relative residual below which no pattern in it matters.
NEGLIGIBLE = 0.003
#: Standard deviation of a normal distribution within which 95% of the values lie.
NORMAL_95 = 1.96
#: Share of the displacement of the views, above noise, that an error of the axis must explain.
AXIS_SHARE = 0.85


@dataclasses.dataclass(frozen=True)
class Limit:
    """A pattern indicates a fault if both of its values exceed their limits.

    Attributes:
        significance: Limit of the significance, 1 for noise.
        size: Limit of the size, in the unit of the pattern.
    """

    significance: float
    size: float


#: Patterns that a fault causes as well, so that they are not named beside it.
CONSEQUENCES = {
    "columns": ("edges", "outliers"),
    "edges": ("axis", "gains", "absorption", "outliers"),
    "views": ("outliers",),
    "gains": ("outliers",),
    "absorption": ("outliers",),
}
#: Limits by pattern: above those of all clean scans of the twin, see docs/measurements/log.md.
LIMITS = {
    "columns": Limit(2.5, 0.3),
    "views": Limit(5.0, 0.06),
    "axis": Limit(2.2, 0.03),
    "gains": Limit(4.0, 0.01),
    "absorption": Limit(20.0, 0.004),
    "outliers": Limit(0.0, 0.005),
    "edges": Limit(0.0, 2.5),
}


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A pattern in the residual.

    Attributes:
        name: Key of :data:`LIMITS`.
        significance: Mean square of the estimates over their variance, 1 for noise; 0 where it is not used.
        size: Size in the unit of the text.
        text: What it means, and the argument that helps, in one sentence.
    """

    name: str
    significance: float
    size: float
    text: str

    @property
    def exceeds(self) -> bool:
        """Whether both values exceed their limits."""
        limit = LIMITS[self.name]
        return self.significance > limit.significance and self.size > limit.size


@dataclasses.dataclass(frozen=True, eq=False)
class ResidualStatistics:
    """Statistics of a residual; made by :func:`residual_statistics`.

    Attributes:
        chi_square: (views,), mean of ``(r/sigma)^2`` over the valid bins of a view, 1 for noise alone; NaN
            for a view without valid bins. ``sigma`` is the noise estimate of the scan.
        mean_chi_square: The same of all valid bins.
        column_correlation: Correlation of neighbouring bins of a view.
        column_bound: 95% of the values for white noise are within plus or minus this bound.
        view_correlation: Correlation of the same bin in neighbouring views, in angular order.
        view_bound: Its bound for white noise.
        patterns: Patterns; those that exceed their limits indicate a fault.
    """

    chi_square: Float[np.ndarray, " views"]
    mean_chi_square: float
    column_correlation: float
    column_bound: float
    view_correlation: float
    view_bound: float
    patterns: list[Pattern]

    @property
    def faults(self) -> list[Pattern]:
        """The patterns that indicate a fault, without the consequences of another one of them."""
        exceeding = [pattern for pattern in self.patterns if pattern.exceeds]
        hidden = {name for pattern in exceeding for name in CONSEQUENCES.get(pattern.name, ())}
        return [pattern for pattern in exceeding if pattern.name not in hidden]

    def record(self) -> dict[str, Any]:
        """The statistics as JSON values, see ``summary.json`` in docs/reference/files.md."""
        faults = {pattern.name for pattern in self.faults}
        return {
            "chi_square": self.mean_chi_square,
            "chi_square_of_views": np.round(self.chi_square, 4).tolist(),
            "column_correlation": {"value": self.column_correlation, "bound": self.column_bound},
            "view_correlation": {"value": self.view_correlation, "bound": self.view_bound},
            "patterns": {
                pattern.name: {
                    "significance": pattern.significance,
                    "size": pattern.size,
                    "fault": pattern.name in faults,
                }
                for pattern in self.patterns
            },
        }


def residual_statistics(
    residual: Float[np.ndarray, "rows views columns"],
    predicted: Float[np.ndarray, "rows views columns"],
    mask: Float[np.ndarray, "rows views columns"],
    noise: float,
    theta_rad: ArrayLike,
    truncated: ArrayLike | None = None,
    view_numbers: Int[np.ndarray, " views"] | None = None,
) -> ResidualStatistics:
    """Statistics of the residual of some rows, which share the faults of the scan.

    Args:
        residual: (rows, views, columns), ``M(A x - y)``.
        predicted: (rows, views, columns), ``A x``.
        mask: (rows, views, columns), 1 for a valid bin, else 0.
        noise: Standard deviation of the noise in a bin, in the units of the residual.
        theta_rad: (views,), radians, in any order.
        truncated: (views,), whether the sample extends beyond the field of view, in which case the image
            does not explain the intensity of the view; None for no view.
        view_numbers: (views,), numbers by which views are named; by default their indices.
    """
    theta = np.asarray(theta_rad, float)
    start = float(Wedge.from_angles(theta).center_rad)
    order = np.argsort((theta - start) % np.pi, kind="stable")
    mask = np.asarray(mask, float)[:, order]
    raw = np.asarray(residual, float)[:, order] * mask
    predicted = np.asarray(predicted, float)[:, order]
    bins, total = mask.sum(axis=(0, 2)), max(mask.sum(), 1.0)
    variance = max(float(noise), 1e-30) ** 2
    squares = np.where(bins > 0, (raw**2).sum(axis=(0, 2)) / np.maximum(bins, 1) / variance, np.nan)
    chi_square = np.empty_like(squares)
    chi_square[order] = squares
    typical = _typical(raw[mask > 0])
    clipped = np.clip(raw, -CLIP * typical, CLIP * typical)
    column_correlation, column_pairs = _correlation(clipped, mask, axis=2)
    view_correlation, view_pairs = _correlation(clipped, mask, axis=1)
    measured = predicted * mask - raw
    relative = np.linalg.norm(raw) / max(float(np.linalg.norm(measured)), 1e-30)
    patterns = []
    if relative > NEGLIGIBLE and len(theta) >= MIN_VIEWS:
        whole = np.ones(len(theta), bool) if truncated is None else ~np.asarray(truncated, bool)
        numbers = np.arange(len(theta)) if view_numbers is None else np.asarray(view_numbers)
        views = _Views(clipped, predicted * mask, mask, numbers[order], theta[order], whole[order])
        patterns = [
            _columns(clipped, mask),
            *views.displacements(),
            *views.intensities(),
            _outliers(raw, mask, typical),
            _edges(clipped, mask),
        ]
    return ResidualStatistics(
        chi_square,
        float((raw**2).sum() / total / variance),
        column_correlation,
        float(NORMAL_95 / np.sqrt(max(column_pairs, 1))),
        view_correlation,
        float(NORMAL_95 / np.sqrt(max(view_pairs, 1))),
        patterns,
    )


def _typical(values: np.ndarray) -> float:
    """Standard deviation from the median, or from all values if outliers are not rare."""
    if not values.size:
        return 0.0
    robust = float(np.median(np.abs(values))) / MAD
    rare = np.mean(np.abs(values) > OUTLYING * robust) < RARE
    return robust if rare else float(np.sqrt(np.mean(values**2)))


def _correlation(residual: np.ndarray, mask: np.ndarray, axis: int) -> tuple[float, float]:
    """Correlation of neighbours along an axis, and the number of pairs of valid bins."""
    first, second = (np.delete(residual, end, axis) for end in (-1, 0))
    pairs = np.delete(mask, -1, axis) * np.delete(mask, 0, axis)
    number = pairs.sum()
    power = (residual**2).sum() / max(mask.sum(), 1.0)
    if number == 0 or power == 0:
        return 0.0, float(number)
    return float((pairs * first * second).sum() / number / power), float(number)


def _columns(residual: np.ndarray, mask: np.ndarray) -> Pattern:
    """Offsets of columns that are the same in all views and rows; size in units of the residual."""
    bins = mask.sum(axis=(0, 1))
    mean = residual.sum(axis=(0, 1)) / np.maximum(bins, 1)
    usable = bins >= MIN_BINS
    # A sample beyond the field of view leaves a residual in the outer columns, which have their own pattern.
    usable[:EDGE_COLUMNS] = usable[-EDGE_COLUMNS:] = False
    power = max((residual**2).sum() / max(mask.sum(), 1), 1e-30)
    # Columns without signal may hardly vary.
    variance = np.maximum((residual**2).sum(axis=(0, 1)) / np.maximum(bins, 1) - mean**2, 0.01 * power)
    offset = np.where(usable, mean - _running_median(mean), 0)
    squares = np.where(usable, offset**2 * bins / variance, 0)
    number = max(int(usable.sum()), 1)
    excess = np.sum(np.where(usable, offset**2 - variance / np.maximum(bins, 1), 0)) / number
    size = np.sqrt(max(excess, 0) / power)
    worst = np.flatnonzero(squares > 25)
    where = f" (columns {format_ranges(worst)})" if 0 < worst.size <= number // 4 else ""
    text = (
        f"detector columns have offsets that are the same in all views{where}: {size:.2g} of the residual; "
        "use stripes=True"
    )
    return Pattern("columns", float(np.sqrt(squares.sum() / number)), float(size), text)


@dataclasses.dataclass(frozen=True, eq=False)
class _Views:
    """Errors of whole views, estimated from the residual.

    Attributes:
        residual: (rows, views, columns), clipped, views in angular order.
        predicted: (rows, views, columns), ``M A x``.
        mask: (rows, views, columns).
        numbers: (views,), numbers by which views are named.
        theta: (views,), radians, ascending from the middle of the missing wedge.
        whole: (views,), whether a view shows the whole sample, in angular order.
    """

    residual: np.ndarray
    predicted: np.ndarray
    mask: np.ndarray
    numbers: np.ndarray
    theta: np.ndarray
    whole: np.ndarray

    def displacements(self) -> list[Pattern]:
        """Displacements of views along the columns, and the part that an error of the axis explains.

        A view that is displaced by ``s`` bins has the residual ``s dp/dt``. The image takes up displacements
        ``a cos(theta) + b sin(theta)``, which are a shift of the object.
        """
        slope = np.gradient(self.predicted, axis=2) * self.mask
        shift, deviation = self._factor(slope)
        significance, rms = _excess(shift, deviation)
        basis = np.stack([np.cos(self.theta), np.sin(self.theta)], axis=1)
        weights = 1 / deviation
        ones = np.ones(len(self.theta))
        beyond = ones - basis @ np.linalg.lstsq(basis, ones, rcond=1e-3)[0]
        design = np.column_stack([beyond, basis]) * weights[:, None]
        factors = np.linalg.lstsq(design, shift * weights, rcond=1e-6)[0]
        rest = np.sum((shift * weights - design @ factors) ** 2)
        # White noise leaves one unit of the mean square of each view.
        total = float(np.sum((shift * weights) ** 2))
        explained = (total - rest) / max(total - len(shift), 1e-30)
        if significance > 1 and explained > AXIS_SHARE:
            text = (
                f"the views are displaced by {rms:.2g} bins (rms), as by an error of the rotation axis of "
                f"about {abs(factors[0]):.2g} bins or more, or by a slow drift; estimate the axis with "
                "center='auto', or align the views (pf.align(scan))"
            )
            return [Pattern("axis", significance, rms, text)]
        worst = self.numbers[np.abs(shift) > np.maximum(5 * deviation, 3 * rms)]
        where = f", most of all views {format_ranges(np.sort(worst))}" if worst.size else ""
        text = (
            f"the views are displaced by {rms:.2g} bins (rms) along the columns{where}; align them "
            "(pf.align(scan))"
        )
        return [Pattern("views", significance, rms, text)]

    def intensities(self) -> list[Pattern]:
        """Intensity factors of the views: those that scatter, and those that vary slowly with the angle."""
        if self.whole.sum() < MIN_VIEWS:
            return []
        factor, deviation = (values[self.whole] for values in self._factor(-self.predicted))
        factor = factor - np.median(factor)
        angle = np.linspace(-1, 1, len(self.whole))[self.whole]
        basis = np.polynomial.legendre.legvander(angle, SLOW_DEGREE)
        weights = 1 / deviation
        slow = basis @ np.linalg.lstsq(basis * weights[:, None], factor * weights, rcond=None)[0]
        significance, rms = _excess(factor - slow, deviation)
        scatter = (
            f"the intensities of the views scatter by {100 * rms:.2g}% (rms) beyond what the image explains; "
            "use gains=True"
        )
        variation = slow - np.average(slow, weights=weights**2)
        slow_rms = float(np.sqrt(np.mean(variation**2)))
        drift = (
            f"the intensities of the views vary slowly with the angle by {100 * slow_rms:.2g}% (rms), as "
            "from absorption, beam hardening or a drift of the beam, which the reconstruction does not "
            "model; correct it before, or use gains=True, which removes the part that whole views share"
        )
        # Intensities that scatter have a slow part by chance.
        slow_significance = float(np.sum((variation * weights) ** 2) / SLOW_DEGREE / max(significance, 1))
        return [
            Pattern("gains", significance, rms, scatter),
            Pattern("absorption", slow_significance, slow_rms, drift),
        ]

    def _factor(self, template: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factor of a template in the residual of each view, and its standard deviation."""
        power = np.maximum((template**2).sum(axis=(0, 2)), 1e-30)
        variance = (self.residual**2).sum() / max(self.mask.sum(), 1)
        return (self.residual * template).sum(axis=(0, 2)) / power, np.sqrt(max(variance, 1e-30) / power)


def _excess(values: np.ndarray, deviation: np.ndarray) -> tuple[float, float]:
    """Mean square over the variance, and root mean square without the part of the noise."""
    significance = float(np.mean((values / deviation) ** 2))
    return significance, float(np.sqrt(max(np.mean(values**2 - deviation**2), 0)))


def _outliers(residual: np.ndarray, mask: np.ndarray, typical: float) -> Pattern:
    share = float(np.sum(np.abs(residual) > OUTLYING * typical) / max(mask.sum(), 1))
    text = (
        f"{100 * share:.2g}% of the bins are outliers (above {OUTLYING:g} standard deviations); use "
        "robust='student-t'"
    )
    return Pattern("outliers", 1.0, share, text)


def _edges(residual: np.ndarray, mask: np.ndarray) -> Pattern:
    """Mean square of the residual at the edges of the detector over that of the other columns."""
    edge = np.zeros(mask.shape[2])
    edge[:EDGE_COLUMNS] = edge[-EDGE_COLUMNS:] = 1
    power = [(residual**2 * part).sum() / max((mask * part).sum(), 1.0) for part in (edge, 1 - edge)]
    ratio = float(power[0] / max(power[1], 1e-30))
    text = (
        f"the residual at the edges of the detector is {np.sqrt(ratio):.2g} times that of the other columns: "
        "the sample extends beyond the field of view; use support='extended'"
    )
    return Pattern("edges", 1.0, ratio, text)


def _running_median(values: np.ndarray) -> np.ndarray:
    """Running median along the columns, mirrored at the ends."""
    half = min(MEDIAN_COLUMNS // 2, values.size - 1)
    padded = np.pad(values, half, mode="reflect")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=-1)
