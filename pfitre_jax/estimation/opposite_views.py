"""Centre and roll from opposite views of a parallel beam, ``p(theta + pi, k) = p(theta, 2 center - k)``."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy import ndimage

from pfitre_jax.data.roll import apply_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.binning import bin_down
from pfitre_jax.estimation.curve_minimum import doubling_distance, minimum_position, minimum_value
from pfitre_jax.estimation.estimate import Estimate
from pfitre_jax.geometry import view_spacing

#: Largest distance of a view from the opposite angle, in spacings: of a single view, and of two views from
#: which the opposite view is extrapolated.
NEAR, FAR = 1.5, 2.5
#: Largest distance of a view from the opposite angle for the centre, radians, and smallest uncertainty of the
#: centre, bins.
FARTHEST_RAD, SMALLEST_UNCERTAINTY = np.deg2rad(12.5), 0.05
#: Error of a centre from a narrow overlap, whose ends are whole bins, times its columns, bins. Fitted to 40
#: simulated half acquisitions with overlaps of 7 to 29 columns.
OVERLAP_ERROR = 2.0
#: Bins over which neighbouring ones are alike after :func:`smooth`.
ALIKE_BINS = 3
#: Largest numbers of views and rows, and of columns in the first, coarse search.
VIEWS, ROWS, COLUMNS = 12, 64, 256
#: Rows of a block whose centre is measured separately, largest mismatch at which the block is used, and
#: largest uncertainty, in degrees, of the roll from the slope of the blocks' centres.
BLOCK_ROWS, BLOCK_MATCH, SLOPE_DEG = 6, 0.01, 0.1


def opposite_views(theta_rad: ArrayLike) -> list[tuple[int, list[tuple[int, float]]]]:
    """Pairs of opposite views; each pair is listed once.

    A view has one opposite view where that is opposite to a 20th of the spacing. Otherwise it has the
    nearest views on both sides of the opposite angle, at most :data:`NEAR` spacings away; or, if there are
    views on one side alone, the two nearest within :data:`FAR` spacings.

    Args:
        theta_rad: (views,), radians.

    Returns:
        Each view that has opposite views, with these and their distances from the opposite angle, radians.
    """
    theta = np.asarray(theta_rad, float)
    gaps = np.diff(np.unique(np.round(theta, 9)))
    if gaps.size == 0:
        return []
    spacing = view_spacing(np.append(gaps, np.inf))
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


def center_from_pairs(scan: Scan, near: float | None = None) -> Estimate | None:
    """The centre from all opposite views, or None where there are none.

    It is searched for about ``near``, where the views are compared as they are, because an overlap of a few
    columns looks alike with the right gain and offset; or over the middle half of the detector.

    Each pair determines a centre; with two views next to the opposite angle it is interpolated or
    extrapolated to that angle. The estimate is the median over the views. Its uncertainty is twice the
    largest of the scatter over the views, that over blocks of rows, and the error that the mismatch of a
    pair gives; and the errors of the extrapolation and of a narrow overlap.
    """
    pairs = [
        (view, partners)
        for view, partners in opposite_views(scan.theta_rad)
        if max(abs(distance) for _, distance in partners) <= FARTHEST_RAD
    ]
    if not pairs:
        return None
    # The most nearly opposite first, then evenly over the scan.
    pairs.sort(key=lambda entry: round(max(abs(d) for _, d in entry[1]), 6))
    exact = [entry for entry in pairs if len(entry[1]) == 1] or pairs
    chosen = [exact[i] for i in np.unique(np.linspace(0, len(exact) - 1, VIEWS).round().astype(int))]
    rows = np.unique(np.linspace(0, scan.rows - 1, ROWS).round().astype(int))
    centers, spreads, extrapolations, best = [], [], [0.0], None
    for view, partners in chosen:
        matches = []
        for other, _ in partners:
            p, m = scan.projections[[view, other]][:, rows], scan.mask[[view, other]][:, rows]
            matches.append(_match(p, m, near))
        weights = _to_zero([distance for _, distance in partners])
        # Views farther from the opposite angle differ by more than the noise.
        errors = [max(_spread(match), matches[0].noise) for match in matches]
        spreads.append(float(np.hypot.reduce([w * error for w, error in zip(weights, errors, strict=True)])))
        if len(partners) == 2:
            # An object at the edge of the field moves along an arc, and the line through two views misses it
            # by at most half the product of their distances.
            first, second = (abs(distance) for _, distance in partners)
            extrapolations.append(0.25 * scan.columns / 2 * first * second)
        centers.append(sum(w * match.center for w, match in zip(weights, matches, strict=True)))
        if best is None or matches[0].mismatch < best.mismatch:
            best = matches[0]
    assert best is not None
    scatter = np.std(centers) / np.sqrt(len(centers))
    spread = np.median(spreads) / np.sqrt(len(centers))
    value = float(np.median(centers))
    overlap = 2 * max(min(value, scan.columns - 1 - value), 0.0) + 1
    limits = max(extrapolations), 0.0 if near is None else OVERLAP_ERROR / overlap
    uncertainty = float(max(np.hypot.reduce([2 * max(scatter, spread), *limits]), SMALLEST_UNCERTAINTY))
    return Estimate(
        value, "opposite views", uncertainty, best.sums / 2, best.similarity.mismatch(), best.mismatch
    )


def roll_from_pairs(scan: Scan, largest_deg: float) -> Estimate | None:
    """The roll from the two views that are most nearly opposite, or None where they do not determine it.

    Each block of rows has a centre. Only a roll moves these centres along a line: where enough blocks match,
    its slope is the roll. Otherwise the views are rotated until they are mirror images; that also uses
    horizontal structure, which an axis that leans along the beam tilts as well.

    Args:
        scan: The scan.
        largest_deg: Largest roll that is searched for, degrees.
    """
    pairs = opposite_views(scan.theta_rad)
    if not pairs:
        return None
    view, partners = min(pairs, key=lambda entry: abs(entry[1][0][1]))
    pair = [view, partners[0][0]]
    factor = max(1, -(-max(scan.rows, scan.columns) // (2 * COLUMNS)))
    p, m = bin_down(scan.projections[pair], scan.mask[pair], factor, factor)
    return _roll_by_slope(p, m, largest_deg) or _roll_by_rotation(p, m, largest_deg)


def _roll_by_slope(p: np.ndarray, m: np.ndarray, largest_deg: float) -> Estimate | None:
    roll = 0.0
    rows = p.shape[1]
    whole = _match(p, m).center
    reach = rows / 2 * np.tan(np.deg2rad(largest_deg)) + 4
    near = np.arange(int(2 * (whole - reach)), int(2 * (whole + reach)) + 1)
    near = near[(near >= 0) & (near <= 2 * p.shape[2] - 2)]
    for _ in range(2):
        # Rows of a rolled view mix along the columns, so that it is measured again on the rotated views.
        rotated, valid = apply_roll(p, m, roll)
        blocks = np.array_split(np.arange(rows), max(rows // BLOCK_ROWS, 1))
        similarity = _compare(rotated, valid, near)
        curves = [similarity.mismatch(block) for block in blocks]
        mismatch = np.array([minimum_value(curve) for curve in curves])
        good = mismatch < BLOCK_MATCH
        if good.sum() < 4 or np.ptp(np.flatnonzero(good)) < len(blocks) / 4:
            return None
        row = np.array([b.mean() for b in blocks])[good]
        center = np.array([minimum_position(near / 2, curve) for curve in curves])[good]
        (slope, start), covariance = np.polyfit(row, center, 1, cov=True)
        uncertainty = float(np.rad2deg(np.sqrt(covariance[0, 0])))
        if uncertainty > SLOPE_DEG:
            return None
        roll -= float(np.rad2deg(np.arctan(slope)))
        if abs(roll) > largest_deg:
            return None
    candidates = roll + np.linspace(-1, 1, 9)
    # Distance of the blocks' centres from one column after each rotation, in columns.
    tilt = np.tan(np.deg2rad(candidates - roll))
    scores = np.sqrt(
        np.mean((center - start - slope * row - tilt[:, None] * (row - row.mean())) ** 2, axis=1)
    )
    return Estimate(
        roll, "opposite views", max(uncertainty, 0.02), candidates, scores, float(np.median(mismatch[good]))
    )


def _roll_by_rotation(projections: np.ndarray, mask: np.ndarray, largest_deg: float) -> Estimate | None:
    def mismatch(roll, sums):
        rotated, valid = apply_roll(projections, mask, roll)
        return _compare(rotated, valid, sums).mismatch()

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
    scores = np.array([minimum_value(mismatch(roll, sums)) for roll in fine])
    value = minimum_position(fine, scores)
    # The rotation at which the mismatch has doubled, for a match that is otherwise limited by noise.
    floor = scores.min()
    curvature = max(np.polyfit(fine - value, scores, 2)[0], 1e-12)
    uncertainty = max(np.sqrt(floor / curvature) / np.sqrt(mask.shape[1]), 0.02)
    return Estimate(float(value), "opposite views", float(uncertainty), fine, scores, float(floor))


@dataclasses.dataclass(frozen=True, eq=False)
class _Similarity:
    """Energy (sums, rows) of a view and its mirrored opposite, and their common part."""

    energy: np.ndarray
    common: np.ndarray

    def mismatch(self, rows=slice(None)) -> np.ndarray:
        """``1 - common / energy`` of ``rows`` for each index sum (sums,): 0 for views that are alike."""
        energy = self.energy[:, rows].sum(axis=1)
        common = self.common[:, rows].sum(axis=1)
        return 1 - np.divide(common, energy, out=np.zeros_like(energy), where=energy > 0)


def _compare(p: np.ndarray, m: np.ndarray, sums: np.ndarray, as_they_are: bool = False) -> _Similarity:
    """Compares the view ``p[0]`` with ``p[1]`` mirrored, ``k -> s - k``, row by row, for each index sum.

    Rows are compared about their means, ``1 - r^2``, so that neither an offset nor a gain of a row matters;
    or as they are, ``sum (x - y)^2 / sum (x^2 + y^2)``.

    Args:
        p: (2, rows, columns), two views.
        m: (2, rows, columns), True for a valid bin.
        sums: (sums,), index sums ``2 center``.
        as_they_are: Whether gain and offset matter.
    """
    columns = p.shape[2]
    a, b = smooth(p, m)
    energy, common = np.zeros((2, len(sums), p.shape[1]))
    for i, s in enumerate(sums):
        k = np.arange(max(0, s - columns + 1), min(columns, s + 1))
        valid = m[0][:, k] & m[1][:, s - k]
        count = np.maximum(valid.sum(axis=1, keepdims=True), 1)
        x, y = a[:, k] * valid, b[:, s - k] * valid
        if as_they_are:
            energy[i], common[i] = np.sum(x * x + y * y, axis=1), 2 * np.sum(x * y, axis=1)
            continue
        x = np.where(valid, x - x.sum(axis=1, keepdims=True) / count, 0)
        y = np.where(valid, y - y.sum(axis=1, keepdims=True) / count, 0)
        xx, yy = np.sum(x * x, axis=1), np.sum(y * y, axis=1)
        xy = np.maximum(np.sum(x * y, axis=1), 0) ** 2
        energy[i] = xx + yy
        common[i] = np.divide(xy, yy, out=np.zeros_like(xy), where=yy > 0)
        common[i] += np.divide(xy, xx, out=np.zeros_like(xy), where=xx > 0)
    return _Similarity(energy, common)


@dataclasses.dataclass(frozen=True, eq=False)
class _Match:
    """Similarity of two views for each index sum ``2 center``, and the centre of the best match.

    Attributes:
        center: The centre.
        mismatch: Mismatch at the centre.
        noise: Standard error of the centre if the mismatch is noise.
        sums: (sums,), index sums.
        similarity: Similarity at these.
    """

    center: float
    mismatch: float
    noise: float
    sums: np.ndarray
    similarity: _Similarity


def _match(p: np.ndarray, m: np.ndarray, near: float | None = None) -> _Match:
    """The centre at which the view ``p[0]`` and the mirrored view ``p[1]`` differ least.

    It is searched for about ``near``, or over the middle half of the detector on coarse columns first.

    Args:
        p: (2, rows, columns), two views.
        m: (2, rows, columns), True for a valid bin.
        near: The centre to a few bins, or None.
    """
    columns = p.shape[2]
    factor = -(-columns // COLUMNS)
    if near is None:
        q, n = bin_down(p, m, factor)
        sums = np.arange(q.shape[2] // 2, 3 * q.shape[2] // 2)
        coarse = int(sums[np.argmin(_compare(q, n, sums).mismatch())])
        # Bin j lies at factor j + (factor-1)/2, so that the index sum s becomes factor s + factor-1.
        middle, reach = factor * coarse + factor - 1, 3 * factor + 5
    else:
        middle, reach = round(2 * near), 2 * factor + 2
    sums = np.arange(max(middle - reach, 0), min(middle + reach, 2 * columns - 2) + 1)
    similarity = _compare(p, m, sums, near is not None)
    curve = similarity.mismatch()
    noise = doubling_distance(sums / 2, curve) * np.sqrt(ALIKE_BINS / max(m.any(axis=0).sum(), 1))
    return _Match(minimum_position(sums / 2, curve), minimum_value(curve), float(noise), sums, similarity)


def _spread(match: _Match) -> float:
    """Standard error of the centre, from the scatter of blocks of rows that are matched separately."""
    energy = match.similarity.energy.mean(axis=0)
    blocks = np.array_split(np.arange(energy.size), min(energy.size, 8))
    each = np.array([minimum_position(match.sums / 2, match.similarity.mismatch(block)) for block in blocks])
    weight = np.array([energy[block].sum() for block in blocks])
    if weight.sum() == 0:
        return float(np.ptp(match.sums))
    return float(np.sqrt(np.average((each - match.center) ** 2, weights=weight) / len(blocks)))


def smooth(
    projections: Float[np.ndarray, "views rows columns"],
    mask: Bool[np.ndarray, "views rows columns"],
    sigma: tuple[float, float, float] = (0, 0, 1),
) -> Float[np.ndarray, "views rows columns"]:
    """Gaussian mean of the valid bins, 0 where none is near.

    Args:
        projections: (views, rows, columns).
        mask: (views, rows, columns), True for a valid bin.
        sigma: Standard deviations along views, rows and columns, bins.
    """
    weight = ndimage.gaussian_filter(mask.astype(float), sigma)
    value = ndimage.gaussian_filter(np.where(mask, projections, 0).astype(float), sigma)
    return np.divide(value, weight, out=np.zeros_like(value), where=weight > 1e-3)


def _to_zero(distances: list[float]) -> list[float]:
    """Weights that inter- or extrapolate values at ``distances`` (one or two) linearly to distance 0."""
    if len(distances) == 1:
        return [1.0]
    first, second = distances
    return [second / (second - first), -first / (second - first)]
