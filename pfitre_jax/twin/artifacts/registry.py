"""The list of all artifacts; the instrument, the gallery, the evaluation and the documentation follow it."""

from __future__ import annotations

from collections.abc import Iterable

from pfitre_jax.twin.artifacts.absorption import ABSORPTION
from pfitre_jax.twin.artifacts.artifact import Artifact
from pfitre_jax.twin.artifacts.blur import BLUR
from pfitre_jax.twin.artifacts.detector import DEAD, HOT, STRIPES, ZINGERS
from pfitre_jax.twin.artifacts.intensity import EQUALISED, GAIN
from pfitre_jax.twin.artifacts.line_shifts import LINE_DRIFT, LINE_WALK
from pfitre_jax.twin.artifacts.missing_views import MISSING_VIEWS
from pfitre_jax.twin.artifacts.noise import COUNTS, NOISE
from pfitre_jax.twin.artifacts.row_motion import ROLL, ROW_SHIFT
from pfitre_jax.twin.artifacts.truncation import TRUNCATION
from pfitre_jax.twin.artifacts.view_shifts import (
    ANGLE_ERROR,
    CENTER_ERROR,
    DRIFT,
    OUTLIERS,
    SAMPLE_DRIFT,
    SHIFT,
)

#: Number that the choice of the scans without artifacts is derived from; no artifact may have it.
CLEAN_NUMBER = 17


def order_by_stage(artifacts: Iterable[Artifact]) -> dict[str, Artifact]:
    """The artifacts by name, in the order of their stages.

    Raises:
        ValueError: Two of them share their number or name.
    """
    ordered = {artifact.name: artifact for artifact in sorted(artifacts, key=lambda a: a.stage)}
    numbers = [CLEAN_NUMBER, *(artifact.number for artifact in ordered.values())]
    if len(set(numbers)) < len(numbers):
        raise ValueError(
            f"artifacts have the numbers {sorted(numbers)} ({CLEAN_NUMBER} is taken); expected a number for "
            f"each, such as {max(numbers) + 1} for a new one"
        )
    return ordered


#: Every artifact by its name, in the order in which they act: by stage, then as listed here.
ARTIFACTS = order_by_stage(
    [
        SHIFT,
        DRIFT,
        OUTLIERS,
        SAMPLE_DRIFT,
        CENTER_ERROR,
        ANGLE_ERROR,
        LINE_DRIFT,
        LINE_WALK,
        ABSORPTION,
        ROW_SHIFT,
        ROLL,
        BLUR,
        GAIN,
        COUNTS,
        NOISE,
        STRIPES,
        HOT,
        DEAD,
        ZINGERS,
        TRUNCATION,
        EQUALISED,
        MISSING_VIEWS,
    ]
)


def markdown_table() -> str:
    """The artifacts as a Markdown table."""
    lines = ["| option | artifact | strength | needs a volume |", "|---|---|---|---|"]
    lines += [
        f"| `{a.name}` | {a.help} | {a.unit} | {'yes' if a.needs_rows else ''} |" for a in ARTIFACTS.values()
    ]
    return "\n".join(lines)
