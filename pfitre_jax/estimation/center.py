"""Where the rotation axis is: its detector index (centre) and its in-plane tilt (roll).

Two ways. **Opposite views**: ``p(theta + pi, k) = p(theta, 2 center - k)``, so a view laid over its mirrored
opposite gives the centre, and turning both until they match gives the roll. **The reconstruction's own
residual**: with a wrong axis no image fits all views. A short non-negative least-squares reconstruction of a
few rows is made for each candidate, and the one that leaves the smallest residual wins. Over a narrow
one-sided range of angles a wrong centre is nearly a shifted object, and the residual hardly moves: then
:class:`Undetermined` says so.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.data.air import subtract_air
from pfitre_jax.data.roll import apply_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.truncation import truncated_views
from pfitre_jax.estimation import opposite_views as opposite
from pfitre_jax.estimation.binning import binned_index, shrink
from pfitre_jax.estimation.opposite_views import Estimate
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector

#: Opposite views that differ by less than this part of their energy fix the axis without the residual.
GOOD_MATCH = 0.02
#: Opposite views that differ by less than this are believed where the residual cannot tell.
FAIR_MATCH = 0.2
#: Iterations, rows, views and columns of the small reconstructions whose residuals are compared.
ITERATIONS, ROWS, VIEWS, COLUMNS = 15, 4, 96, 160
#: The residual tells where it rises by this part within 4 columns (of about 160) or 1.25 degrees.
RISE = 0.03
#: Largest roll that is looked for, degrees.
MAX_ROLL_DEG = 5.0
#: Rows below which a roll cannot be seen.
MIN_ROLL_ROWS = 16


class Undetermined(ValueError):
    """The scan does not tell its centre or its roll."""


def find_center(scan: Scan) -> Estimate:
    """Detector index of the rotation axis at the middle row.

    From opposite views where they match (difference below :data:`GOOD_MATCH`), else from the residual, about
    what poorly matching views say, or over the middle half of the detector. Correct a roll first: it makes
    the centre differ from row to row.

    Raises :class:`Undetermined` where neither tells.
    """
    pairs = opposite.center_from_pairs(scan)
    if pairs is not None and pairs.mismatch < GOOD_MATCH:
        return pairs
    work = _for_residual(scan)
    middle = (scan.columns - 1) / 2
    reach = scan.columns / 4
    if pairs is not None and pairs.mismatch < FAIR_MATCH:
        middle, reach = pairs.value, max(4.0, 0.04 * scan.columns)
    found = _center_by_residual(work, middle, reach)
    if found is not None:
        return found
    if pairs is not None and pairs.mismatch < FAIR_MATCH:
        return pairs
    raise Undetermined(
        "this scan does not tell its rotation centre (no matching opposite views, and the residual is much "
        "the same for many centres); look at a few (`pfitre center SCAN --try A:B:S`) "
        "and give the best as --center"
    )


def find_roll(scan: Scan) -> Estimate:
    """Roll of the axis in degrees, in the sign of :func:`pfitre_jax.data.preprocess.apply_roll`.

    From the best pair of opposite views where they match once turned, else from the residual, which needs
    the centre: the scan's own, or what :func:`find_center` finds. Needs whole views (rows not yet selected).

    Raises :class:`Undetermined` where neither tells, or there are fewer than :data:`MIN_ROLL_ROWS` rows.
    """
    message = (
        "this scan does not tell its roll ({}); look at a few (`pfitre center SCAN --try-roll A:B:S`) "
        "and give the best as --roll (0 for none)"
    )
    if scan.rows < MIN_ROLL_ROWS:
        raise Undetermined(message.format(f"it has {scan.rows} rows, at least {MIN_ROLL_ROWS} are needed"))
    if scan.rows != scan.raw_rows:
        raise ValueError("rows were selected; expected the whole scan: find the roll before selecting rows")
    pairs = opposite.roll_from_pairs(scan, MAX_ROLL_DEG)
    if pairs is not None and pairs.mismatch < FAIR_MATCH / 2:
        return pairs
    found = _roll_by_residual(scan)
    if found is None:
        raise Undetermined(message.format("no matching opposite views, and a residual that hardly changes"))
    return found


def parse_values(text: str) -> np.ndarray:
    """``"A:B:S"`` as the numbers A, A+S, ... up to and with B, at most 100; ``ValueError`` otherwise.

    >>> parse_values("74:75:0.5")
    array([74. , 74.5, 75. ])
    """
    expected = "expected A:B:S, three numbers with A at most B and S above 0, such as 70:80:1"
    try:
        start, stop, step = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a range of values; {expected}") from error
    if not np.all(np.isfinite([start, stop, step])) or step <= 0 or stop < start:
        raise ValueError(f"{text!r} is not a range of values; {expected}")
    count = int(np.floor((stop - start) / step + 1e-9)) + 1
    if count > 100:
        raise ValueError(f"{text!r} are {count} values; expected at most 100: take a larger step")
    return start + step * np.arange(count)


def _for_residual(scan: Scan) -> Scan:
    """At most :data:`VIEWS` views, none that runs out of the field of view if enough others do not."""
    truncated = truncated_views(scan)
    if scan.provenance.get("data") in ("counts", "transmission") and truncated.size == 0:
        # A beam that changed since the flat looks like matter all over the detector.
        scan = subtract_air(scan)
    keep = np.setdiff1d(np.arange(scan.views), truncated)
    keep = keep if keep.size > scan.views / 2 else np.arange(scan.views)
    keep = keep[:: -(-keep.size // VIEWS)]
    return scan.take_views(keep)


def _rows(scan: Scan, count: int = ROWS) -> np.ndarray:
    """The strongest row of each of ``count`` equal parts of the scan."""
    energy = np.sum(scan.projections.astype(float) ** 2, axis=(0, 2))
    parts = np.array_split(np.arange(scan.rows), min(count, scan.rows))
    return np.array([part[np.argmax(energy[part])] for part in parts])


def _center_by_residual(scan: Scan, middle: float, reach: float) -> Estimate | None:
    rows = _rows(scan)
    sinograms, masks = np.moveaxis(scan.projections[:, rows], 1, 0), np.moveaxis(scan.mask[:, rows], 1, 0)

    def search(centers, factor):
        y, m = _bins(sinograms, masks, factor)
        squares = [_squares(scan.theta_rad, y, m, binned_index(center, factor)) for center in centers]
        return np.array(squares), np.sum((y * m) ** 2)

    inside = lambda c: c[(c >= 0) & (c <= scan.columns - 1)]  # noqa: E731
    factor = -(-scan.columns // COLUMNS)
    # First on columns twice as coarse, two of them a step: the curve's valley is several wide.
    step = 4.0 * factor
    steps = np.ceil(reach / step)
    coarse = inside(middle + step * np.arange(-steps, steps + 1))
    best = int(np.argmin(search(coarse, 2 * factor)[0].sum(axis=1)))
    if best in (0, coarse.size - 1):
        return None
    fine = inside(coarse[best] + step * np.linspace(-1, 1, 9))
    squares, power = search(fine, factor)
    return _minimum(fine, squares, power, step, 0.02 * scan.columns)


def _roll_by_residual(scan: Scan) -> Estimate | None:
    center = scan.center
    if center is None:
        try:
            center = find_center(scan).value
        except Undetermined:
            return None
    work = _for_residual(scan)
    # Turning interpolates, which smooths, which alone lowers the residual: smooth all alike beforehand.
    smooth = opposite.smooth(work.projections, work.mask, (0, 1, 1))
    factor = -(-scan.columns // COLUMNS)
    # Rows far from the middle tell most, but the outermost are turned out of the frame.
    margin = int(np.ceil(np.tan(np.deg2rad(MAX_ROLL_DEG)) * scan.columns / 4))
    margin = margin if scan.rows > 4 * margin else 0
    rows = margin + _rows(work.select_rows(slice(margin, scan.rows - margin)))

    def search(rolls):
        squares = []
        for roll in rolls:
            projections, mask = apply_roll(smooth, work.mask, roll)
            y, m = np.moveaxis(projections[:, rows], 1, 0), np.moveaxis(mask[:, rows], 1, 0)
            y, m = _bins(y, m, factor)
            # Turning changes which bins count, so each row is relative to its own.
            power = np.maximum(np.sum((y * m) ** 2, axis=(1, 2)), np.finfo(np.float32).tiny)
            squares.append(_squares(work.theta_rad, y, m, binned_index(center, factor)) / power)
        return np.array(squares)

    coarse = np.linspace(-MAX_ROLL_DEG, MAX_ROLL_DEG, 9)
    best = int(np.argmin(search(coarse).sum(axis=1)))
    if best in (0, coarse.size - 1):
        return None
    fine = coarse[best] + np.linspace(-1.25, 1.25, 9)
    return _minimum(fine, search(fine), rows.size, 1.25, 1.0)


def _minimum(values, squares, power, reach: float, largest: float) -> Estimate | None:
    """The smallest residual, or None where it hardly rises within ``reach`` or its rows differ too much.

    squares: (values, rows), squared residual norm of each row
    power: squared norm of the data of all rows
    largest: uncertainty that is still an answer
    """
    curve = np.sqrt(squares.sum(axis=1) / power)
    best = int(np.argmin(curve))
    near = np.abs(values - values[best]) <= reach * (1 + 1e-9)
    rise = [curve[near & side].max(initial=0) for side in (values < values[best], values > values[best])]
    if min(rise) < (1 + RISE) * curve[best]:
        return None
    value = opposite.vertex(values, curve)
    # The rows are independent measurements of one axis.
    each = np.array([opposite.vertex(values, row) for row in squares.T])
    weight = np.maximum(squares.max(axis=0) - squares.min(axis=0), 1e-30)
    spread = np.sqrt(np.sum(weight * (each - value) ** 2) / weight.sum())
    uncertainty = max(float(spread / np.sqrt(max(each.size, 1))), (values[1] - values[0]) / 10)
    if uncertainty > largest:
        return None
    return Estimate(float(value), "residual", float(uncertainty), values, curve, float(curve[best]))


def _bins(sinograms, masks, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """:func:`shrink` for the device, 0 where invalid."""
    y, m = shrink(sinograms, masks, factor)
    return np.where(m, y, 0).astype(np.float32), m.astype(np.float32)


def _squares(theta_rad, sinograms, masks, center: float) -> np.ndarray:
    geometry = ParallelGeometry.create(theta_rad, sinograms.shape[-1])
    geometry = dataclasses.replace(geometry, center=jnp.asarray(center, geometry.center.dtype))
    return np.asarray(_residual_squares(geometry, sinograms, masks))


@jax.jit
def _residual_squares(geometry: ParallelGeometry, sinograms, masks):
    """``|M(Ax-y)|^2`` of each row (rows,) after a few steps of FISTA on ``min_{x>=0} |M(Ax-y)|^2``."""
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
