"""Intervals of one scan: the cell of the table, and the reasons why they do not hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import Calibration, sample_rows
from pfitre_jax.priors.interval_table import IntervalCell
from pfitre_jax.reconstruction.data_model import DataModel
from pfitre_jax.reconstruction.intervals import Intervals
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.methods import METHODS

#: Quantile of a sinogram that stands for its maximum, because single bins may be outliers; smallest share of
#: the largest of them with which a row has signal.
PEAK_QUANTILE, SIGNAL_SHARE = 0.999, 0.25


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
