"""Selection of the sample support by held-out views."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.binning import bin_down
from pfitre_jax.estimation.held_out_views import (
    MIN_VIEWS,
    end_folds,
    held_out_squares,
    relative_error,
)
from pfitre_jax.estimation.strongest_rows import strongest_rows
from pfitre_jax.estimation.support import (
    Faces,
    FieldOfView,
    Support,
    SupportKind,
    SupportShape,
    pixel_grid,
)
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.operators.resolution import binned_geometry
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.solvers.parameters.scale import estimate_scale
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Largest number of rows and of detector bins of the trial reconstructions.
ROWS, BINS = 4, 128
#: TV weight of the trial reconstructions, and their iterations of ADMM.
TV_WEIGHT, ITERATIONS = 4e-4, 15
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

    "auto" compares the shapes of :meth:`FieldOfView.candidates`. From each, some rows are reconstructed
    without the views at one end of the angular range, then without those at the other end, and these views
    are predicted. The views at the ends are those that a support influences most: pixels where there is no
    matter take up what the missing wedge leaves undetermined. Strong and weak rows count alike, rows without
    signal do not count. The smallest shape whose error is within 0.5% of the smallest error is chosen.
    Detectors of more than :data:`BINS` columns are binned for this.

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
    candidates = _distinct(field)
    if len(candidates) == 1:
        return SupportSelection(candidates[0][1], field.truncated, by="auto")
    errors, seconds = _prediction_errors(scan, field, [shape for shape, _ in candidates])
    if not np.all(np.isfinite(errors)):
        return dataclasses.replace(default, seconds_compile=seconds)
    supports = [support for _, support in candidates]
    good = [support for k, support in enumerate(supports) if errors[k] <= (1 + TOLERANCE) * errors.min()]
    smallest = min(good, key=lambda support: support.image.sum())
    by_text = {support.text: float(error) for support, error in zip(supports, errors, strict=True)}
    return SupportSelection(smallest, field.truncated, by_text, seconds, by="auto")


def _distinct(field: FieldOfView) -> list[tuple[SupportShape, Support]]:
    """The candidates and their supports, without those that are empty or equal an earlier one."""
    distinct: list[tuple[SupportShape, Support]] = []
    for shape in field.candidates():
        support = field.support(shape)
        equal = (np.array_equal(support.image, other.image) for _, other in distinct)
        if support.image.any() and not any(equal):
            distinct.append((shape, support))
    return distinct


def _prediction_errors(
    scan: Scan, field: FieldOfView, shapes: list[SupportShape]
) -> tuple[np.ndarray, float]:
    """Relative error of the held-out views with each shape, (shapes,), and the seconds of compilation."""
    factor = -(-scan.columns // BINS)
    sample = scan.sample()
    rows = sample.take_rows(strongest_rows(sample.projections, ROWS))
    values, valid = bin_down(np.moveaxis(rows.projections, 1, 0), np.moveaxis(rows.mask, 1, 0), factor)
    geometry = binned_geometry(field.geometry, factor)
    # The image of the largest candidate, in bins.
    columns, largest = values.shape[-1], max(shape.extension or 1 for shape in shapes)
    size = columns + 2 * max(int(np.ceil((largest * field.diameter / factor - columns) / 2)), 0)
    x, y = pixel_grid(size)
    supports = np.array([field.contains(shape, factor * x, factor * y) for shape in shapes], np.float32)
    sinograms = np.where(valid, values, 0).astype(np.float32)
    arguments = as_arrays(
        (geometry, supports, sinograms, valid.astype(np.float32), end_folds(scan.theta_rad))
    )
    executable, seconds = compiled(_held_out_errors, *arguments)
    return np.asarray(executable(*arguments)), seconds


@jax.jit
def _held_out_errors(
    geometry: ParallelGeometry,
    supports: Float[Array, "shapes n n"],
    sinograms: Float[Array, "rows views columns"],
    masks: Float[Array, "rows views columns"],
    held_out: Float[Array, "folds views"],
) -> Float[Array, " shapes"]:
    """:func:`relative_error` of the held-out views with each support."""
    n = supports.shape[-1]
    A = Projector(geometry, (n, n))
    problem = SliceProblem.create(A, sinograms[0], masks[0], supports[0])
    # Each row has its own scale: the TV weight of the strongest row would remove everything from a weak one.
    scale = jax.vmap(lambda y, mask: estimate_scale(problem, y[None], mask[None]))(sinograms, masks)
    sinograms = sinograms / scale[:, None, None]
    weights = jnp.full(1, TV_WEIGHT, sinograms.dtype)

    def one(support: Array) -> Array:
        kernel = dataclasses.replace(problem.kernel, support=support)
        supported = dataclasses.replace(problem, support=support, kernel=kernel)
        squares = held_out_squares(supported, sinograms, masks, held_out, weights, iterations=ITERATIONS)
        return relative_error(squares[0], sinograms, masks, held_out)

    return jax.lax.map(one, supports)
