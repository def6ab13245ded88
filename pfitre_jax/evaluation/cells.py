"""The scans of an evaluation: a base case at several orientations, and one factor varied at a time."""

from __future__ import annotations

import dataclasses
from typing import Any

from pfitre_jax.evaluation.method_names import ALL, OF_VOLUMES, WITH_ARTIFACTS, WITH_FACTORS
from pfitre_jax.evaluation.scenes import FILES, SOURCES, VOLUMES
from pfitre_jax.twin.artifacts.registry import ARTIFACTS

#: Factors that are varied; "orientation" is the base case itself.
FACTORS = ("orientation", "wedge", "noise", "views", "artifacts", "sources")
#: Field of a cell that each of these factors varies.
VARIED = {"wedge": "missing_deg", "noise": "noise", "views": "views"}


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation.

    Attributes:
        missing_deg: Width of the missing wedge in the base case, degrees.
        orientations: Number of orientations of the wedge in the base case, evenly spread over 180 degrees.
        scenes: Number of scenes at each orientation.
        size: Number of pixels and bins.
        views: Number of views in the base case.
        noise: Standard deviation of the noise over the sinogram's maximum in the base case.
        seed: Seed of the scenes.
        fista_iterations: Iterations of FISTA-TV and directional TV.
        source: Source of the scenes in the base case, one of ``SOURCES``, of volumes one of ``VOLUMES``.
        factor_orientations: Number of the orientations at which factors are varied.
        artifact_orientations: Number of the orientations at which artifacts are tried.
        wedges: Widths of the wedge that are tried, degrees.
        noises: Noise levels that are tried.
        view_counts: Numbers of views that are tried.
        sources: Other sources that are tried.
        rows: Rows of each scene, which is a volume if there is more than one.

    Raises:
        ValueError: If a value is out of its range.
    """

    missing_deg: float = 96.0
    orientations: int = 8
    scenes: int = 9
    size: int = 128
    views: int = 51
    noise: float = 0.01
    seed: int = 5000
    fista_iterations: int = 300
    source: str = "heldout"
    factor_orientations: int = 1
    artifact_orientations: int = 1
    wedges: tuple[float, ...] = (30.0, 60.0, 96.0, 120.0)
    noises: tuple[float, ...] = (0.003, 0.01, 0.03)
    view_counts: tuple[int, ...] = (32, 51, 90)
    sources: tuple[str, ...] = FILES
    rows: int = 1

    def __post_init__(self) -> None:
        some_orientations = ("factor_orientations", "artifact_orientations")
        counts = ("scenes", "orientations", *some_orientations, "views", "fista_iterations", "rows")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name in some_orientations:
            if getattr(self, name) > self.orientations:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; expected at most orientations, {self.orientations}"
                )
        for width in (self.missing_deg, *self.wedges):
            if not 0 < width < 180:
                raise ValueError(f"the missing wedge is {width:g}; expected degrees between 0 and 180")
        for noise in (self.noise, *self.noises):
            if not 0 < noise < 1:
                raise ValueError(f"noise is {noise:g}; expected a share of the maximum, between 0 and 1")
        known = SOURCES if self.rows == 1 else VOLUMES
        for source in (self.source, *self.sources):
            if source not in known:
                of = "" if self.rows == 1 else " of volumes"
                raise ValueError(f"unknown source{of} {source!r}; expected one of {', '.join(known)}")

    def of_volumes(self, rows: int = 12, scenes: int = 2) -> EvaluationSettings:
        """Returns the same settings for a prior of volumes.

        Args:
            rows: Rows of a volume.
            scenes: Number of volumes at each orientation.

        Raises:
            ValueError: If the source of the base case has no volumes.
        """
        return dataclasses.replace(self, rows=rows, scenes=scenes, sources=VOLUMES)


FULL = EvaluationSettings()
#: Every factor with few scenes; at most 15 minutes on 2 cores.
QUICK = EvaluationSettings(orientations=4, scenes=4)


@dataclasses.dataclass(frozen=True)
class Cell:
    """Scans with one value of a factor at one orientation of the wedge, which share their geometry.

    Attributes:
        factor: One of :data:`FACTORS`.
        value: Value of the factor, as text.
        methods: Names of the methods that reconstruct the scans.
        wedge_center_deg: Middle of the missing wedge, degrees.
        missing_deg: Width of the missing wedge, degrees.
        views: Number of views.
        noise: Standard deviation of the noise over the sinogram's maximum.
        source: Source of the scenes.
        seeds: Seeds of the scenes.
        artifact: Name of the artifact that every scan has, or an empty text.
        strength: Strength of the artifact.
    """

    factor: str
    value: str
    methods: tuple[str, ...]
    wedge_center_deg: float
    missing_deg: float
    views: int
    noise: float
    source: str
    seeds: tuple[int, ...]
    artifact: str = ""
    strength: float = 0.0

    @property
    def name(self) -> str:
        """Name of the cell's file."""
        return f"{self.factor}-{self.value}-{self.wedge_center_deg:g}".replace(" ", "-")


def list_cells(settings: EvaluationSettings, only: str | None = None) -> list[Cell]:
    """Returns the cells of an evaluation, the base case first.

    Args:
        settings: Settings of the evaluation.
        only: The only factor to vary, one of :data:`FACTORS`; the base case is then evaluated at the
            orientations at which this factor is varied.

    Raises:
        ValueError: If ``only`` is not a factor.
    """
    if only is not None and only not in FACTORS:
        raise ValueError(f"unknown factor {only!r}; expected one of {', '.join(FACTORS)}")
    base_methods: tuple[str, ...]
    factor_methods: tuple[str, ...]
    artifact_methods: tuple[str, ...]
    if settings.rows > 1:
        base_methods = factor_methods = artifact_methods = OF_VOLUMES
    else:
        base_methods, factor_methods, artifact_methods = ALL, WITH_FACTORS, WITH_ARTIFACTS
    base = [_base(settings, number, base_methods) for number in range(settings.orientations)]
    order = _spread(settings.orientations)
    with_factors = [base[k] for k in order[: settings.factor_orientations]]
    with_artifacts = [base[k] for k in order[: settings.artifact_orientations]]
    around: dict[str, list[Cell]] = {
        "orientation": [],
        "wedge": _varied(with_factors, "wedge", settings.wedges, factor_methods),
        "noise": _varied(with_factors, "noise", settings.noises, factor_methods),
        "views": _varied(with_factors, "views", settings.view_counts, factor_methods),
        "artifacts": [
            dataclasses.replace(
                cell,
                factor="artifacts",
                value=name,
                methods=artifact_methods,
                artifact=name,
                strength=strength,
            )
            for name, strength in artifact_strengths().items()
            for cell in with_artifacts
        ],
        "sources": [
            dataclasses.replace(cell, factor="sources", value=source, methods=factor_methods, source=source)
            for source in settings.sources
            if source != settings.source
            for cell in with_factors
        ],
    }
    if only is None:
        return base + [cell for group in around.values() for cell in group]
    compared = {"orientation": base, "artifacts": with_artifacts}.get(only, with_factors)
    return compared + around[only]


def artifact_strengths() -> dict[str, float]:
    """Strength of each artifact that is evaluated, by its name.

    The strengths are those of the evaluation, independent of what a prior was trained with.
    """
    return {a.name: a.evaluation for a in ARTIFACTS.values() if a.evaluation is not None}


def _base(settings: EvaluationSettings, number: int, methods: tuple[str, ...]) -> Cell:
    degrees = 180 * number / settings.orientations
    first = settings.seed + number * settings.scenes
    return Cell(
        "orientation",
        f"{degrees:g}",
        methods,
        degrees,
        settings.missing_deg,
        settings.views,
        settings.noise,
        settings.source,
        tuple(range(first, first + settings.scenes)),
    )


def _varied(base: list[Cell], factor: str, values: tuple[float, ...], methods: tuple[str, ...]) -> list[Cell]:
    """Returns the base cells with each of the other values of a factor."""
    field = VARIED[factor]
    cells = []
    for value in values:
        changes: dict[str, Any] = {field: value, "factor": factor, "value": f"{value:g}", "methods": methods}
        cells += [dataclasses.replace(cell, **changes) for cell in base if getattr(cell, field) != value]
    return cells


def _spread(count: int) -> list[int]:
    """Returns the numbers below ``count`` in an order whose first elements are spread well (golden section).

    The first is not 0, where the frame of the wedge is that of the image.
    """
    return sorted(range(count), key=lambda k: (k - 1) * 0.6180339887 % 1)
