"""What is evaluated: a base case at several orientations, and one factor varied at a time around it."""

from __future__ import annotations

import dataclasses

from pfitre_jax.evaluation.methods import ALL, FACTORED, OF_VOLUMES, SPOILT
from pfitre_jax.evaluation.scenes import FILES, SOURCES, VOLUMES
from pfitre_jax.twin.artifacts.registry import ARTIFACTS

#: "orientation" is the base case itself.
FACTORS = ("orientation", "wedge", "noise", "views", "artifacts", "sources")
#: A base case's field that each of these varies.
VARIED = {"wedge": "missing_deg", "noise": "noise", "views": "views"}


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """missing_deg: width of the wedge; views; noise: sigma over the sinogram's maximum; source: of the
    scenes, one of ``SOURCES``, or of ``VOLUMES``: this is the base case

    orientations: of the wedge in the base case, evenly spread over 180 degrees; scenes: for each of them
    varied, spoilt: orientations, of those, at which the factors and the artifacts are tried
    wedges (degrees), noises, view_counts: values of the factors; sources: of other scenes
    size: pixels and bins; seed: of the scenes; fista_iterations: of both kinds of total variation
    rows: of each scene, which is a volume where there is more than one

    Raises ``ValueError`` for values that make no sense.
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
    varied: int = 1
    spoilt: int = 1
    wedges: tuple[float, ...] = (30.0, 60.0, 96.0, 120.0)
    noises: tuple[float, ...] = (0.003, 0.01, 0.03)
    view_counts: tuple[int, ...] = (32, 51, 90)
    sources: tuple[str, ...] = FILES
    rows: int = 1

    def __post_init__(self):
        for name in ("scenes", "orientations", "varied", "spoilt", "views", "fista_iterations", "rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name in ("varied", "spoilt"):
            if getattr(self, name) > self.orientations:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; expected at most orientations, {self.orientations}"
                )
        for width in (self.missing_deg, *self.wedges):
            if not 0 < width < 180:
                raise ValueError(f"the missing wedge is {width:g}; expected degrees between 0 and 180")
        for noise in (self.noise, *self.noises):
            if not 0 < noise < 1:
                raise ValueError(f"noise is {noise:g}; expected a share of the maximum, more than 0")
        known = SOURCES if self.rows == 1 else VOLUMES
        for source in (self.source, *self.sources):
            if source not in known:
                of = "" if self.rows == 1 else " of volumes"
                raise ValueError(f"unknown source{of} {source!r}; expected one of {', '.join(known)}")

    def of_volumes(self, rows: int = 12, scenes: int = 2) -> EvaluationSettings:
        """The same for a prior of volumes: so many of so many rows at an orientation.

        Raises ``ValueError`` where the base case's source draws none.
        """
        return dataclasses.replace(self, rows=rows, scenes=scenes, sources=VOLUMES)


FULL = EvaluationSettings()
#: At most 15 minutes on 2 cores: every factor, few scenes.
QUICK = EvaluationSettings(orientations=4, scenes=4, varied=1, spoilt=1)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One value of a factor at one orientation of the wedge: scans that share their geometry.

    factor: of :data:`FACTORS`; value: of it, as it is written
    methods: what reconstructs them
    artifact: imperfection that every scan has, "" for none; strength: of it
    seeds: of the scenes
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
        return f"{self.factor}-{self.value}-{self.wedge_center_deg:g}".replace(" ", "-")


def cells(settings: EvaluationSettings, only: str | None = None) -> list[Cell]:
    """The cells of an evaluation, the base case first.

    only: one of :data:`FACTORS`; the base case then comes at the orientations that this factor is tried at

    Raises ``ValueError`` for another factor.
    """
    if only is not None and only not in FACTORS:
        raise ValueError(f"unknown factor {only!r}; expected one of {', '.join(FACTORS)}")
    if settings.rows > 1:
        whole = factored = spoiling = OF_VOLUMES
    else:
        whole, factored, spoiling = ALL, FACTORED, SPOILT
    base = [_base(settings, number, whole) for number in range(settings.orientations)]
    order = _spread(settings.orientations)
    varied, spoilt = ([base[k] for k in order[:n]] for n in (settings.varied, settings.spoilt))
    around = {
        "orientation": [],
        "wedge": [_vary(cell, "wedge", value, factored) for value in settings.wedges for cell in varied],
        "noise": [_vary(cell, "noise", value, factored) for value in settings.noises for cell in varied],
        "views": [_vary(cell, "views", value, factored) for value in settings.view_counts for cell in varied],
        "artifacts": [
            dataclasses.replace(
                cell, factor="artifacts", value=name, methods=spoiling, artifact=name, strength=strength
            )
            for name, strength in artifact_strengths().items()
            for cell in spoilt
        ],
        "sources": [
            dataclasses.replace(cell, factor="sources", value=source, methods=factored, source=source)
            for source in settings.sources
            if source != settings.source
            for cell in varied
        ],
    }
    if only is None:
        return base + [cell for group in around.values() for cell in group if cell is not None]
    shown = {"orientation": base, "artifacts": spoilt}.get(only, varied)
    return shown + [cell for cell in around[only] if cell is not None]


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


def _vary(cell: Cell, factor: str, value, methods: tuple[str, ...]) -> Cell | None:
    """The base case with another value; None where that is the base case."""
    field = VARIED[factor]
    if getattr(cell, field) == value:
        return None
    changed = {field: value, "factor": factor, "value": f"{value:g}", "methods": methods}
    return dataclasses.replace(cell, **changed)


def _spread(count: int) -> list[int]:
    """The numbers below ``count`` in an order whose beginnings are spread well, by the golden section; 0,
    where the wedge's frame is the image's, is not the first."""
    return sorted(range(count), key=lambda k: (k - 1) * 0.6180339887 % 1)
