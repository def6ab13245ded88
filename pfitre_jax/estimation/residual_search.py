"""Search of the rotation axis by the residual of a short reconstruction: with a wrong axis no image fits."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pfitre_jax.data.air import subtract_edge_lines
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.truncation import truncated_views
from pfitre_jax.estimation.binning import bin_down
from pfitre_jax.estimation.curve_minimum import doubling_distance, minimum_position
from pfitre_jax.estimation.estimate import Estimate
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector

#: Iterations of the reconstructions, and the largest numbers of their rows, views and columns.
ITERATIONS, ROWS, VIEWS, COLUMNS = 15, 4, 96, 160
#: Smallest relative rise of the residual about its minimum that determines the axis.
RISE = 0.03


def searched_scan(scan: Scan) -> Scan:
    """The scan with at most :data:`VIEWS` views, without truncated ones where enough others remain.

    Its largest line integral is 1 to 2: squares of 1e-20 or 1e20 are no float32 numbers.
    """
    truncated = truncated_views(scan)
    if scan.provenance.get("data") in ("counts", "transmission") and truncated.size == 0:
        # A beam that changed since the flat looks like matter all over the detector.
        scan = subtract_edge_lines(scan)
    keep = np.setdiff1d(np.arange(scan.views), truncated)
    keep = keep if keep.size > scan.views / 2 else np.arange(scan.views)
    scan = scan.take_views(keep[:: -(-keep.size // VIEWS)])
    projections = scan.projections
    largest = float(np.max(np.abs(projections)))
    unit = 2.0 ** np.floor(np.log2(largest)) if largest > 0 else 1.0
    return scan.with_projections((projections / unit).astype(np.float32))


def bin_sinograms(sinograms: np.ndarray, masks: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Sinograms and masks (rows, views, columns) in bins of ``factor`` columns, float32, 0 where invalid."""
    values, valid = bin_down(sinograms, masks, factor)
    return np.where(valid, values, 0).astype(np.float32), valid.astype(np.float32)


def residual_squares(
    theta_rad: ArrayLike, sinograms: np.ndarray, masks: np.ndarray, center: float
) -> np.ndarray:
    """``||M(A x - y)||^2`` of each row (rows,), for a centre at this detector index.

    ``x`` is a few steps of FISTA on ``min_{x >= 0} ||M(A x - y)||^2``.

    Args:
        theta_rad: (views,), radians.
        sinograms: (rows, views, columns), line integrals.
        masks: (rows, views, columns), 1 for a valid bin.
        center: Detector index of the rotation axis; may lie outside the detector.
    """
    geometry = ParallelGeometry.create(theta_rad, sinograms.shape[-1])
    geometry = dataclasses.replace(geometry, center=jnp.asarray(center, geometry.center.dtype))
    return np.asarray(_residual_squares(geometry, sinograms, masks))


def smallest_residual(
    values: np.ndarray,
    squares: np.ndarray,
    power: float,
    reach: float,
    largest_uncertainty: float,
    width_share: float | None = None,
) -> Estimate | None:
    """The value with the smallest residual; None if the residual is too flat or the rows disagree.

    Args:
        values: (values,), evenly spaced.
        squares: (values, rows), squared norm of the residual of each row.
        power: Squared norm of the data of all rows.
        reach: Distance from the minimum within which the residual must rise.
        largest_uncertainty: Uncertainty above which None is returned.
        width_share: Uncertainty that the scatter of the rows does not show, over the distance from the
            minimum at which the squared residual has doubled. The result then states twice the standard
            deviation.
    """
    curve = np.sqrt(squares.sum(axis=1) / power)
    best = int(np.argmin(curve))
    near = np.abs(values - values[best]) <= reach * (1 + 1e-9)
    rise = [curve[near & side].max(initial=0) for side in (values < values[best], values > values[best])]
    if min(rise) < (1 + RISE) * curve[best]:
        return None
    value = minimum_position(values, curve)
    # The rows are independent measurements of one axis.
    each = np.array([minimum_position(values, row) for row in squares.T])
    weight = np.maximum(squares.max(axis=0) - squares.min(axis=0), 1e-30)
    spread = np.sqrt(np.sum(weight * (each - value) ** 2) / weight.sum())
    uncertainty = spread / np.sqrt(each.size)
    if width_share is not None:
        uncertainty = np.hypot(2 * uncertainty, width_share * doubling_distance(values, curve**2))
    uncertainty = max(float(uncertainty), (values[1] - values[0]) / 10)
    if uncertainty > largest_uncertainty:
        return None
    return Estimate(value, "residual", float(uncertainty), values, curve, float(curve[best]))


@jax.jit
def _residual_squares(
    geometry: ParallelGeometry,
    sinograms: Float[Array, "rows views columns"],
    masks: Float[Array, "rows views columns"],
) -> Float[Array, " rows"]:
    A = Projector(geometry)
    step = 0.99 / A.norm_squared()

    def one(y, m):
        def advance(carry, _):
            x, ahead, t = carry
            new = jnp.maximum(ahead - step * A.T(m * (A(ahead) - y)), 0)
            t_new = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
            return (new, new + (t - 1) / t_new * (new - x), t_new), None

        zero = jnp.zeros(A.shape, y.dtype)
        (x, _, _), _ = jax.lax.scan(advance, (zero, zero, jnp.ones((), y.dtype)), length=ITERATIONS)
        return jnp.sum((m * (A(x) - y)) ** 2)

    return jax.vmap(one)(sinograms, masks)
