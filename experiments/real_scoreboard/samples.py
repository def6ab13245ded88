"""Samples of the scoreboard: what is removed from a scan, and how a reconstruction of the rest is scored."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Protocol

import numpy as np

import pfitre_jax as pf
from experiments.common.comparison import Reference, crop_center, reconstruct_at_best, scan_with_reference
from experiments.common.real_scans import (
    CATALYST,
    CHIP,
    FullAngleSample,
    ReferencedSample,
    full_angle_samples,
    is_available,
    limit_range,
    load_catalyst,
    load_chip,
    load_full_angle,
    load_referenced,
    prediction_error,
    registered_prediction_error,
    removed_views,
)
from experiments.common.record import prior_label
from experiments.real_scoreboard.config import Config

#: Label of the image from all views.
REFERENCE = "from all views"
#: Samples that have held-out views instead of an image from all views.
CU_23, PARTICLE = "Cu_23", "catalyst"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A method that is scored.

    Attributes:
        method: Name of the method.
        prior: Name or path of its learned prior; None without one.
        best_weight: Whether it has the TV weight of the best PSNR instead of the automatic one.
    """

    method: str
    prior: str | None = None
    best_weight: bool = False

    @property
    def label(self) -> str:
        """Name in the tables; of a prior with its shortened hash, because other weights are another prior."""
        if self.prior is not None:
            return prior_label(self.prior)
        return best_weight(self.method) if self.best_weight else self.method

    def settings(self, config: Config) -> dict[str, Any]:
        """Arguments of :func:`pfitre_jax.reconstruct`."""
        prior = {} if self.prior is None else {"prior": self.prior}
        iterations = None if self.method == "fbp" else config.iterations
        return {"method": self.method, "iterations": iterations, "intervals": "off", **prior}


def best_weight(method: str) -> str:
    """Label of a method with the TV weight of the best PSNR."""
    return f"{method}, best weight"


def candidates(config: Config, priors: list[str]) -> list[Candidate]:
    """The candidates, those that matter most first."""
    best = [Candidate(config.baseline, best_weight=True)] if config.weights else []
    learned = [Candidate("pfitre", prior) for prior in priors]
    return [Candidate(config.baseline), *learned, *best, *(Candidate(name) for name in config.methods)]


class Sample(Protocol):
    """A scan from which views are removed."""

    @property
    def name(self) -> str:
        """Name of the scan."""
        ...

    def cuts(self, config: Config, turn: int) -> list[str]:
        """Names of the sets of views that are removed, of one of the orientations."""
        ...

    def scored(self, candidate: Candidate) -> bool:
        """Whether the sample can score a candidate."""
        ...

    def measure(self, config: Config, cut: str, candidate: Candidate) -> tuple[dict, dict[str, np.ndarray]]:
        """Measures, and one row of the image by label."""
        ...


@dataclasses.dataclass(frozen=True)
class LimitedAngle:
    """A scan over 180 degrees or more that is compared with an image from all its views.

    Attributes:
        name: Name of the scan.
        sample: Where it is.
    """

    name: str
    sample: FullAngleSample | ReferencedSample

    def cuts(self, config: Config, turn: int) -> list[str]:
        return [cut_name(degrees, config.turns_deg[turn], config) for degrees in config.missing_deg]

    def scored(self, candidate: Candidate) -> bool:
        return True

    def measure(self, config: Config, cut: str, candidate: Candidate) -> tuple[dict, dict[str, np.ndarray]]:
        degrees, _, turn = cut.partition(" degrees, turned by ")
        wedge = (self.sample, float(degrees.removesuffix(" degrees")), float(turn or 0), config.reference)
        used, reference = limited_scan(*wedge)
        best: dict[str, Any] = {}
        settings = candidate.settings(config)
        if candidate == Candidate(config.baseline):
            result = baseline_result(*wedge, config.baseline, config.iterations)
        elif candidate.best_weight:
            result, best = reconstruct_at_best(
                used,
                candidate.method,
                lambda result: -reference.measures(result)["psnr"],
                {"weight": config.weights},
                iterations=config.iterations,
                support=baseline_result(*wedge, config.baseline, config.iterations).support,
            )
        else:
            result = pf.reconstruct(used, **settings)
        images = {
            candidate.label: reference.normalise(result)[0],
            REFERENCE: reference.images[0] * reference.support,
        }
        scores = reference.measures(result) | {"removed": prediction_error(result, removed_scan(*wedge[:3]))}
        return scores | best | {"support": result.support_text}, images


def cut_name(missing_deg: float, turn_deg: float, config: Config) -> str:
    """Name of a missing wedge: its width, and its orientation where it is not the first one."""
    turned = f", turned by {turn_deg:g}" if turn_deg != config.turns_deg[0] else ""
    return f"{missing_deg:g} degrees{turned}"


def limited_scan(
    sample: FullAngleSample | ReferencedSample, missing_deg: float, turn_deg: float, method: str
) -> tuple[pf.Scan, Reference]:
    """Scan without ``missing_deg`` degrees, with its air at zero, and its reference.

    Args:
        sample: The scan.
        missing_deg: Width of the wedge.
        turn_deg: Orientation of the wedge, relative to that of the sample's first views.
        method: Method of the reference, where the scan has none of its own.
    """
    full, reference = scan_with_reference(sample, method)
    first_deg = sample.first_angle_deg(missing_deg) + turn_deg
    return pf.with_air(limit_range(full, missing_deg, first_deg)), reference


def removed_scan(sample: FullAngleSample | ReferencedSample, missing_deg: float, turn_deg: float) -> pf.Scan:
    """The views that :func:`limited_scan` removes, as measured."""
    full = load_full_angle(sample) if isinstance(sample, FullAngleSample) else load_referenced(sample).scan
    return removed_views(full, missing_deg, sample.first_angle_deg(missing_deg) + turn_deg)


@functools.lru_cache(maxsize=1)
def baseline_result(
    sample: FullAngleSample | ReferencedSample,
    missing_deg: float,
    turn_deg: float,
    reference: str,
    baseline: str,
    iterations: int | None,
) -> pf.Result:
    """Result of the baseline with its automatic settings."""
    used, _ = limited_scan(sample, missing_deg, turn_deg, reference)
    return pf.reconstruct(used, baseline, iterations=iterations)


@dataclasses.dataclass(frozen=True)
class Chip:
    """Cu_23, scored by the error on held-out views."""

    name: str = CU_23

    def cuts(self, config: Config, turn: int) -> list[str]:
        return [] if turn else [f"views {views}" for views in config.chip]

    def scored(self, candidate: Candidate) -> bool:
        return not candidate.best_weight

    def measure(self, config: Config, cut: str, candidate: Candidate) -> tuple[dict, dict[str, np.ndarray]]:
        views = config.chip[cut.removeprefix("views ")]
        used = load_chip(config.center, config.roll_deg, exclude_views=views)
        held_out = load_chip(config.center, config.roll_deg, views=views)
        rows = range(0, used.rows, config.row_step)
        result = pf.reconstruct(used.take_rows(rows), **candidate.settings(config))
        error = prediction_error(result, held_out.take_rows(rows))
        return {"error": error}, {candidate.label: normalised_row(result, used, len(rows) // 2)}


@dataclasses.dataclass(frozen=True)
class Catalyst:
    """The catalyst particle, aligned first, scored by the error on held-out views."""

    name: str = PARTICLE

    def cuts(self, config: Config, turn: int) -> list[str]:
        return ["every fourth view"] if config.catalyst and not turn else []

    def scored(self, candidate: Candidate) -> bool:
        return not candidate.best_weight

    def measure(self, config: Config, cut: str, candidate: Candidate) -> tuple[dict, dict[str, np.ndarray]]:
        motion, scan, held_out = aligned_catalyst(config.catalyst)
        result = pf.reconstruct(scan, **candidate.settings(config))
        error = registered_prediction_error(result, held_out, motion)
        return {"error": error}, {candidate.label: normalised_row(result, scan, scan.rows // 2)}


def normalised_row(result: pf.Result, scan: pf.Scan, row: int) -> np.ndarray:
    """One row (n, n) of a result over its scale, cropped to the detector."""
    return crop_center(result.volume, scan.columns)[row] / result.scale


@functools.cache
def aligned_catalyst(held_out: str) -> tuple[pf.Motion, pf.Scan, pf.Scan]:
    """Motion and aligned scan of the catalyst without the held-out views, and those views as measured."""
    scan = load_catalyst()
    used = scan.select_views(slice(None), exclude=held_out)
    motion = pf.align(used, roll=False).motion
    return motion, motion.corrected(used), scan.select_views(held_out)


def available_samples(config: Config) -> list[Sample]:
    """The samples whose files are in the data folder, and that the configuration uses."""
    full_angle = full_angle_samples()
    if config.only_segmented:
        full_angle = {
            name: sample
            for name, sample in full_angle.items()
            if isinstance(sample, ReferencedSample) and sample.has_segmentation()
        }
    samples: list[Sample] = [LimitedAngle(name, sample) for name, sample in full_angle.items()]
    if config.chip and is_available(f"{CHIP}.tiff"):
        samples.append(Chip())
    if config.catalyst and is_available(CATALYST):
        samples.append(Catalyst())
    return [sample for sample in samples if not config.scans or sample.name in config.scans]
