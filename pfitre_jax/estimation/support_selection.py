"""Selection of the sample support by held-out views."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.held_out_views import MIN_VIEWS
from pfitre_jax.estimation.plate_selection import select_plate
from pfitre_jax.estimation.support import Faces, FieldOfView, Support, SupportKind, SupportShape
from pfitre_jax.estimation.support_trials import SupportTrials

#: Largest number of rows and of detector bins of the trial reconstructions, and their iterations of ADMM.
ROWS, BINS, ITERATIONS = 4, 128, 15
#: A smaller support is preferred if its error exceeds the smallest one by at most this fraction.
TOLERANCE = 0.005


@dataclasses.dataclass(frozen=True, eq=False)
class SupportSelection:
    """A support, and how it was chosen.

    Attributes:
        support: The support.
        truncated: (views,), whether a view extends beyond the field of view.
        errors: Relative prediction error of the held-out views, by description of the candidate; empty where
            there was nothing to compare.
        seconds_compile: Wall time of compilation.
        by: "auto" if the scan determined it, "stated" if it was an argument, "default" if it was to be
            determined and views could not be held out.
        casts_shadow: Whether known faces leave the whole shadow of the sample.
    """

    support: Support
    truncated: np.ndarray
    errors: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds_compile: float = 0.0
    by: Literal["auto", "stated", "default"] = "stated"
    casts_shadow: bool = True

    def record(self) -> dict[str, Any]:
        """The choice as JSON values: by whom, what, and the errors of the candidates."""
        return {"by": self.by, "chosen": self.support.text, "errors": self.errors}


def select_support(
    scan: Scan, kind: SupportKind | Faces | SupportShape | Support = "auto"
) -> SupportSelection:
    """Determines the support of a scan whose centre is known.

    "auto" compares the shapes of :meth:`FieldOfView.candidates`, and the part of the outline that
    :func:`select_plate` proposes for a flat sample. From each, some rows are reconstructed without the views
    at one end of the angular range, then without those at the other end, and these views are predicted. The
    views at the ends are those that a support influences most: pixels where there is no matter take up what
    the missing wedge leaves undetermined. Strong and weak rows count alike, rows without signal do not count.
    The smallest shape whose error is within 0.5% of the smallest error is chosen. Detectors of more than
    :data:`BINS` columns are binned for this.

    Args:
        scan: The scan; its air must be at 0.
        kind: "auto"; "disc" or "extended"; known faces of a flat sample; a shape; or a known support.

    Raises:
        ValueError: A known support does not fit the detector, or no pixel lies between known faces.
    """
    field = FieldOfView.from_scan(scan)
    if isinstance(kind, Support):
        kind.check(scan.columns)
        return SupportSelection(kind, field.truncated)
    if kind != "auto":
        shape = kind if isinstance(kind, SupportShape) else field.fixed_shape(kind)
        support = field.support(shape)
        if shape.faces is None:
            return SupportSelection(support, field.truncated)
        if not support.image.any():
            raise ValueError(
                f"support {shape.faces.text} contains no pixel of the sample's outline; expected columns "
                "from the rotation axis along the middle of the missing directions"
            )
        return SupportSelection(support, field.truncated, casts_shadow=field.casts_shadow(support))
    default = SupportSelection(field.support(field.fixed_shape("auto")), field.truncated, by="default")
    if scan.views < MIN_VIEWS:
        return default
    plate, seconds_plate = select_plate(scan, field)
    shapes = field.candidates()
    candidates = _distinct(field, [*shapes, plate] if plate else shapes)
    if len(candidates) == 1:
        return SupportSelection(candidates[0][1], field.truncated, {}, seconds_plate, by="auto")
    errors, seconds = _prediction_errors(scan, field, [shape for shape, _ in candidates])
    seconds += seconds_plate
    if not np.all(np.isfinite(errors)):
        return dataclasses.replace(default, seconds_compile=seconds)
    supports = [support for _, support in candidates]
    good = [support for k, support in enumerate(supports) if errors[k] <= (1 + TOLERANCE) * errors.min()]
    smallest = min(good, key=lambda support: support.image.sum())
    by_text = {support.text: float(error) for support, error in zip(supports, errors, strict=True)}
    return SupportSelection(smallest, field.truncated, by_text, seconds, by="auto")


def _distinct(field: FieldOfView, shapes: list[SupportShape]) -> list[tuple[SupportShape, Support]]:
    """Shapes and their supports, without those that are empty or equal an earlier one."""
    distinct: list[tuple[SupportShape, Support]] = []
    for shape in shapes:
        support = field.support(shape)
        equal = (np.array_equal(support.image, other.image) for _, other in distinct)
        if support.image.any() and not any(equal):
            distinct.append((shape, support))
    return distinct


def _prediction_errors(
    scan: Scan, field: FieldOfView, shapes: list[SupportShape]
) -> tuple[np.ndarray, float]:
    """Relative error of the held-out views with each shape, (shapes,), and the seconds of compilation."""
    trials = SupportTrials.from_scan(scan, BINS, ROWS)
    x, y = trials.grid(max(shape.extension or 1 for shape in shapes) * field.diameter)
    supports = np.array([field.contains(shape, x, y) for shape in shapes], np.float32)
    return trials.errors(supports, ITERATIONS).total, trials.seconds_compile
