"""Opposite views of a parallel beam: ``p(theta + pi, k) = p(theta, 2 center - k)``."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

from pfitre_jax.data.roll import apply_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.binning import shrink

#: Views this many spacings from the opposite angle still count; two of them are extrapolated to it.
NEAR, FAR = 1.5, 2.5
#: Views and rows that are used at most, and columns of the first, coarse search.
VIEWS, ROWS, COLUMNS = 12, 64, 256
#: Rows of a block whose centre is taken by itself, the mismatch below which it counts, and the uncertainty
#: in degrees up to which the blocks' slope is the roll.
BLOCK_ROWS, BLOCK_MATCH, SLOPE_DEG = 6, 0.01, 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """A centre (detector index) or roll (degrees) that a scan tells.

    value, uncertainty: one standard deviation, as far as rows and pairs of views show it
    method: "opposite views" or "residual"
    candidates, scores: (n,), the curve whose smallest value it is (for a picture)
    mismatch: the curve there: the part of the energy by which opposite views differ, or the relative residual
    """

    value: float
    method: str
    uncertainty: float
    candidates: np.ndarray
    scores: np.ndarray
    mismatch: float


def opposite_views(theta_rad) -> list[tuple[int, list[tuple[int, float]]]]:
    """For each view that has one: its opposite views, each with its distance from the opposite angle (rad).

    One view where it is opposite to a 20th of the median spacing; else the nearest on either side,
    at most :data:`NEAR` spacings away; else, on one side alone, the two nearest within :data:`FAR`. Each
    pair is listed once.
    """
    theta = np.asarray(theta_rad, float)
    gaps = np.diff(np.unique(np.round(theta, 9)))
    if gaps.size == 0:
        return []
    spacing = np.median(gaps)
    out = []
    for view in range(theta.size):
        # Only later angles, so that a pair is not met from both sides.
        later = np.flatnonzero(theta > theta[view] + np.pi / 2)
        distance = np.mod(theta[later] - theta[view], 2 * np.pi) - np.pi
        order = np.argsort(np.abs(distance))
        later, distance = later[order], distance[order]
        if later.size == 0 or abs(distance[0]) > NEAR * spacing:
            continue
        if abs(distance[0]) < 0.05 * spacing:
            chosen = [0]
        else:
            other_side = np.flatnonzero((distance * distance[0] < 0) & (np.abs(distance) <= NEAR * spacing))
            same_side = np.flatnonzero(
                (distance * distance[0] > 0)
                & (np.abs(distance) <= FAR * spacing)
                & (np.abs(distance) > abs(distance[0]) + 0.05 * spacing)
            )
            partner = other_side if other_side.size else same_side
            if partner.size == 0:
                continue
            chosen = [0, int(partner[0])]
        out.append((view, [(int(later[k]), float(distance[k])) for k in chosen]))
    return out


def center_from_pairs(scan: Scan) -> Estimate | None:
    """Centre from all opposite views, or None where there are none.

    Each pair gives a centre; two views beside the opposite angle are inter- or extrapolated to it. The
    result is the median over the views, its uncertainty what blocks of rows and views scatter.
    """
    found = opposite_views(scan.theta_rad)
    if not found:
        return None
    # The most nearly opposite first, then evenly over the scan.
    found.sort(key=lambda entry: round(max(abs(d) for _, d in entry[1]), 6))
    exact = [entry for entry in found if len(entry[1]) == 1] or found
    chosen = [exact[i] for i in np.unique(np.linspace(0, len(exact) - 1, VIEWS).round().astype(int))]
    rows = np.unique(np.linspace(0, scan.rows - 1, ROWS).round().astype(int))
    centers, spreads, best = [], [], None
    for view, partners in chosen:
        matches = []
        for other, _ in partners:
            p, m = scan.projections[[view, other]][:, rows], scan.mask[[view, other]][:, rows]
            matches.append(_match(p, m))
            spreads.append(_spread(matches[-1]))
        weights = _to_zero([distance for _, distance in partners])
        centers.append(sum(w * match.center for w, match in zip(weights, matches, strict=True)))
        if best is None or matches[0].mismatch < best.mismatch:
            best = matches[0]
    scatter = np.std(centers) / np.sqrt(len(centers))
    spread = np.median(spreads) / np.sqrt(len(centers))
    uncertainty = float(max(scatter, spread, 0.05))
    value = float(np.median(centers))
    return Estimate(
        value, "opposite views", uncertainty, best.sums / 2, best.likeness.mismatch(), best.mismatch
    )


def roll_from_pairs(scan: Scan, largest_deg: float) -> Estimate | None:
    """Roll from the two views that are most nearly opposite, or None where none are.

    Each block of rows has a centre. A roll moves these along a line, and nothing else does: where enough
    blocks match, its slope is the answer. Else the views are turned until they are mirror images; that uses
    horizontal structure too, which an axis that leans along the beam tilts as well. None where the best turn
    is at the end of ``-largest_deg..largest_deg``.
    """
    found = opposite_views(scan.theta_rad)
    if not found:
        return None
    view, partners = min(found, key=lambda entry: abs(entry[1][0][1]))
    pair = [view, partners[0][0]]
    factor = max(1, -(-max(scan.rows, scan.columns) // (2 * COLUMNS)))
    p, m = shrink(scan.projections[pair], scan.mask[pair], factor, factor)
    return _roll_by_slope(p, m, largest_deg) or _roll_by_turning(p, m, largest_deg)


def _roll_by_slope(p, m, largest_deg: float) -> Estimate | None:
    roll = 0.0
    rows = p.shape[1]
    whole = _match(p, m).center
    reach = rows / 2 * np.tan(np.deg2rad(largest_deg)) + 4
    near = np.arange(int(2 * (whole - reach)), int(2 * (whole + reach)) + 1)
    near = near[(near >= 0) & (near <= 2 * p.shape[2] - 2)]
    for _ in range(2):
        # Rows of a rolled view mix along the columns: measured again on the views once turned.
        turned, valid = apply_roll(p, m, roll)
        blocks = np.array_split(np.arange(rows), max(rows // BLOCK_ROWS, 1))
        likeness = _compare(turned, valid, near)
        curves = [likeness.mismatch(block) for block in blocks]
        mismatch = np.array([_lowest(curve) for curve in curves])
        good = mismatch < BLOCK_MATCH
        if good.sum() < 4 or np.ptp(np.flatnonzero(good)) < len(blocks) / 4:
            return None
        row = np.array([b.mean() for b in blocks])[good]
        center = np.array([vertex(near / 2, curve) for curve in curves])[good]
        (slope, start), covariance = np.polyfit(row, center, 1, cov=True)
        uncertainty = float(np.rad2deg(np.sqrt(covariance[0, 0])))
        if uncertainty > SLOPE_DEG:
            return None
        roll -= float(np.rad2deg(np.arctan(slope)))
        if abs(roll) > largest_deg:
            return None
    candidates = roll + np.linspace(-1, 1, 9)
    # How far the blocks' centres are from one column after each turn, in columns.
    tilt = np.tan(np.deg2rad(candidates - roll))
    scores = np.sqrt(
        np.mean((center - start - slope * row - tilt[:, None] * (row - row.mean())) ** 2, axis=1)
    )
    return Estimate(
        roll, "opposite views", max(uncertainty, 0.02), candidates, scores, float(np.median(mismatch[good]))
    )


def _roll_by_turning(projections, mask, largest_deg: float) -> Estimate | None:
    def mismatch(roll, sums):
        turned, valid = apply_roll(projections, mask, roll)
        return _compare(turned, valid, sums).mismatch()

    columns = projections.shape[2]
    sums = np.arange(columns // 2, 3 * columns // 2)
    near = lambda s: np.arange(max(s - 8, 0), min(s + 9, 2 * columns - 1))  # noqa: E731
    coarse = np.linspace(-largest_deg, largest_deg, 2 * int(np.ceil(2 * largest_deg)) + 1)
    curves = [mismatch(roll, sums) for roll in coarse]
    best = int(np.argmin([curve.min() for curve in curves]))
    if best in (0, coarse.size - 1):
        return None
    sums = near(int(sums[np.argmin(curves[best])]))
    fine = coarse[best] + np.linspace(-0.75, 0.75, 13)
    scores = np.array([_lowest(mismatch(roll, sums)) for roll in fine])
    value = vertex(fine, scores)
    # The turn at which the mismatch has doubled, for a match that was otherwise at its noise.
    floor = scores.min()
    curvature = max(np.polyfit(fine - value, scores, 2)[0], 1e-12)
    uncertainty = max(np.sqrt(floor / curvature) / np.sqrt(mask.shape[1]), 0.02)
    return Estimate(float(value), "opposite views", float(uncertainty), fine, scores, float(floor))


def vertex(values, scores) -> float:
    """Where the parabola through the smallest score and its two neighbours has its minimum."""
    best, shift, _ = _parabola(scores)
    return float(values[best] + shift * (values[best + 1] - values[best]))


def _lowest(scores) -> float:
    """The value of that parabola's minimum, not below 0."""
    return max(_parabola(scores)[2], 0.0)


def _parabola(scores) -> tuple[int, float, float]:
    """Index of the middle point, shift of the minimum from it (at most 1), and its value."""
    best = int(np.clip(np.argmin(scores), 1, len(scores) - 2))
    low, middle, high = (float(score) for score in scores[best - 1 : best + 2])
    bend = low - 2 * middle + high
    if bend <= 0:
        return best, 0.0, min(low, middle, high)
    shift = float(np.clip(0.5 * (low - high) / bend, -1, 1))
    return best, shift, middle + 0.5 * (high - low) * shift + 0.5 * bend * shift**2


@dataclasses.dataclass(frozen=True, eq=False)
class _Likeness:
    """Energy (sums, rows) of a view and its mirrored opposite about their means, and the part in common."""

    energy: np.ndarray
    common: np.ndarray

    def mismatch(self, rows=slice(None)) -> np.ndarray:
        """``1 - r^2`` of ``rows``, weighted with their energies, for each index sum (sums,)."""
        energy = self.energy[:, rows].sum(axis=1)
        common = self.common[:, rows].sum(axis=1)
        return 1 - np.divide(common, energy, out=np.zeros_like(energy), where=energy > 0)


def _compare(p, m, sums) -> _Likeness:
    """The view ``p[0]`` with ``p[1]`` mirrored, ``k -> s - k``, for each index sum ``s``, row by row.

    p, m: (2, rows, columns); about the rows' means, so that neither an offset nor a gain of a row counts
    """
    columns = p.shape[2]
    a, b = smooth(p, m)
    energy, common = np.zeros((2, len(sums), p.shape[1]))
    for i, s in enumerate(sums):
        k = np.arange(max(0, s - columns + 1), min(columns, s + 1))
        valid = m[0][:, k] & m[1][:, s - k]
        count = np.maximum(valid.sum(axis=1, keepdims=True), 1)
        x, y = a[:, k] * valid, b[:, s - k] * valid
        x = np.where(valid, x - x.sum(axis=1, keepdims=True) / count, 0)
        y = np.where(valid, y - y.sum(axis=1, keepdims=True) / count, 0)
        xx, yy = np.sum(x * x, axis=1), np.sum(y * y, axis=1)
        xy = np.maximum(np.sum(x * y, axis=1), 0) ** 2
        energy[i] = xx + yy
        common[i] = np.divide(xy, yy, out=np.zeros_like(xy), where=yy > 0)
        common[i] += np.divide(xy, xx, out=np.zeros_like(xy), where=xx > 0)
    return _Likeness(energy, common)


@dataclasses.dataclass(frozen=True, eq=False)
class _Match:
    """How two views match for each index sum ``2 center``, and the centre at which they match best."""

    center: float
    mismatch: float
    sums: np.ndarray
    likeness: _Likeness


def _match(p, m) -> _Match:
    """Centre at which the views ``p[0]`` and ``p[1]`` mirrored differ least; p, m: (2, rows, columns).

    Searched over the middle half of the detector, on coarse columns first.
    """
    columns = p.shape[2]
    factor = -(-columns // COLUMNS)
    q, n = shrink(p, m, factor)
    sums = np.arange(q.shape[2] // 2, 3 * q.shape[2] // 2)
    coarse = int(sums[np.argmin(_compare(q, n, sums).mismatch())])
    # Column j of the shorter view lies at factor j + (factor-1)/2: index sums go to factor s + factor-1.
    middle, reach = factor * coarse + factor - 1, 3 * factor + 5
    sums = np.arange(max(middle - reach, 0), min(middle + reach, 2 * columns - 2) + 1)
    likeness = _compare(p, m, sums)
    curve = likeness.mismatch()
    return _Match(vertex(sums / 2, curve), _lowest(curve), sums, likeness)


def _spread(match: _Match) -> float:
    """Standard error of the centre: how blocks of rows, matched by themselves, scatter."""
    energy = match.likeness.energy.mean(axis=0)
    blocks = np.array_split(np.arange(energy.size), min(energy.size, 8))
    each = np.array([vertex(match.sums / 2, match.likeness.mismatch(block)) for block in blocks])
    weight = np.array([energy[block].sum() for block in blocks])
    if weight.sum() == 0:
        return float(np.ptp(match.sums))
    return float(np.sqrt(np.average((each - match.center) ** 2, weights=weight) / len(blocks)))


def smooth(p, m, sigma=(0, 0, 1)) -> np.ndarray:
    """Gaussian mean of the valid bins, ``sigma`` along views, rows, columns; 0 where none is near."""
    weight = ndimage.gaussian_filter(m.astype(float), sigma)
    value = ndimage.gaussian_filter(np.where(m, p, 0).astype(float), sigma)
    return np.divide(value, weight, out=np.zeros_like(value), where=weight > 1e-3)


def _to_zero(distances: list[float]) -> list[float]:
    """Weights that carry values at ``distances`` (one or two) linearly to distance 0."""
    if len(distances) == 1:
        return [1.0]
    first, second = distances
    return [second / (second - first), -first / (second - first)]
