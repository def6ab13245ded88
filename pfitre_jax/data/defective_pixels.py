"""Defective pixels of one detector row, from its raw values in all views: stuck pixels and zingers."""

from __future__ import annotations

import numpy as np

#: Smallest number of views in which defects can be distinguished from the sample.
LEAST_VIEWS = 5
#: Length of the longest run of constant pixels that may be stuck, and number of pixels on each side whose
#: median it is compared with.
LONGEST_RUN, NEIGHBOURS = 3, 3
#: A run is stuck if it differs by more than this share of the row's range in at least this share of the
#: views.
INCONSISTENT, INCONSISTENT_SHARE = 0.1, 0.1
#: A pixel may be stuck in a part of the views: fewest successive ones, and their share of all views.
LEAST_STUCK_VIEWS, LEAST_STUCK_SHARE = 8, 0.25
#: Largest probability that a live pixel holds one value as long, if it changes as often as those beside it.
BY_CHANCE = 1e-5
#: Largest share of the bins of a row that are zingers; more are no exceptions.
MOST_ZINGERS = 0.02
#: Views on each side whose median sum is compared with that of a view.
NEAR_VIEWS = 3
#: Pixels of a noisy scan change between at least this share of successive views.
CHANGING_SHARE = 0.9


def stuck_pixels(
    values: np.ndarray,
    measured: np.ndarray,
    bright_air: bool = False,
    frames: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Pixels of one detector row that hold one value in all views although they should not, (columns,) bool.

    A constant pixel is stuck if, in some views, it lies above or below its neighbours on both sides by more
    than 10% of the row's range, or if the pixels beside it change from view to view. Air that is exactly
    constant is not stuck, also at the border, where it has neighbours on one side alone.

    Args:
        values: (views, columns), raw values of the row.
        measured: (views,), whether the row of the view holds more than one value.
        bright_air: Whether air has the highest values, as in counts and transmission, or the lowest ones.
        frames: (columns,) each, flat and dark of the row, with which counts become comparable, or None.
    """
    columns = values.shape[1]
    stuck = np.zeros(columns, bool)
    if np.count_nonzero(measured) < LEAST_VIEWS or columns < 3:
        return stuck
    rows = values if measured.all() else values[measured]
    constant = np.all(rows == rows[0], axis=0)
    if not constant.any() or constant.all():
        return stuck
    raw = rows[0]
    if frames is not None:
        flat, dark = (frame.astype(float) for frame in frames)
        beam = np.where(flat > dark, flat - dark, np.nan)
        rows = (rows - dark) / beam
    varying = rows[:, ~constant]
    if not np.isfinite(varying).any():
        return stuck
    tolerance = INCONSISTENT * (float(np.nanmax(varying)) - float(np.nanmin(varying)))
    fewest = max(3, INCONSISTENT_SHARE * len(rows))
    for run in _runs(constant, raw):
        value, sides = float(rows[0, run.start]), []
        for side in (
            slice(max(run.start - NEIGHBOURS, 0), run.start),
            slice(run.stop, run.stop + NEIGHBOURS),
        ):
            if rows[:, side].shape[1]:
                sides.append(_median_of_finite(rows[:, side]))
        above = value > np.max(sides, axis=0) + tolerance
        below = value < np.min(sides, axis=0) - tolerance
        if len(sides) < 2:
            # A constant border may be air.
            below[:], above[:] = False, above & (not bright_air)
        stuck[run] = np.count_nonzero(above | below) >= fewest
        if len(sides) == 2 and not stuck[run.start]:
            beside = rows[:, [run.start - 1, run.stop]]
            stuck[run] = np.all(np.mean(beside[1:] != beside[:-1], axis=0) > CHANGING_SHARE)
    return stuck


def stuck_in_part(values: np.ndarray, same: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Bins (views, columns) bool of pixels that hold one value in many successive views, but not in all.

    The pixels on both sides change meanwhile: from nearly each view to the next at another angle; or, where
    the numbers are coarse, so often that a live pixel would hardly hold its value as long, and the value is
    not between theirs in some views.

    Args:
        values: (views, columns), raw values of a detector row.
        same: (views-1, columns), whether the next view holds the same value in a detector row.
        turned: (views-1,) bool, whether the sample was turned after each view.
    """
    views, columns = len(same) + 1, same.shape[1]
    stuck = np.zeros((views, columns), bool)
    least = max(LEAST_STUCK_VIEWS, LEAST_STUCK_SHARE * views)
    often = np.flatnonzero((same.sum(axis=0) >= least - 1) & ~same.all(axis=0))
    for column in often[(often > 0) & (often < columns - 1)]:
        for run in true_runs(same[:, column]):
            beside = same[run][turned[run]][:, [column - 1, column + 1]]
            count = len(beside)
            if run.stop - run.start < least - 1:
                continue
            share = float(np.mean(~beside, axis=0).min()) if count else 0.0
            by_chance = (1 - share * count / (count + 1)) ** count
            if by_chance < BY_CHANCE and (share > CHANGING_SHARE or _stands_out(values, run, column)):
                stuck[run.start : run.stop + 1, column] = True
    return stuck


def _stands_out(values: np.ndarray, run: slice, column: int) -> bool:
    """Whether a pixel is above or below those on both sides, by 10% of the row's range, in some views."""
    part = values[run.start : run.stop + 1].astype(float)
    tolerance = INCONSISTENT * (np.nanmax(values) - float(np.nanmin(values)))
    beside = part[:, [column - 1, column + 1]]
    above = part[:, column] > beside.max(axis=1) + tolerance
    below = part[:, column] < beside.min(axis=1) - tolerance
    return bool(np.count_nonzero(above | below) >= max(3, INCONSISTENT_SHARE * len(part)))


def find_zingers(values: np.ndarray, low: np.ndarray, high: np.ndarray, kind: str) -> np.ndarray:
    """Bins that a particle or a reading error changed in one view: (zingers, 2), view and column.

    With ``low`` and ``high`` the medians of the lowest and highest values of the views, and ``d`` their
    difference, a zinger lies beyond ``low - d`` or ``high + d``, and exceeds the values around it, in its
    view and in the views before and after, except for one of them, by more than ``d``. Counts and
    transmission are bright there. A line integral counts only if the sum of its view is closer to that of the
    views around it without the excess: a wire seen edge-on is as high and as narrow, but leaves the sum as it
    is.

    Args:
        values: (views, columns), raw values of a detector row.
        low: (views,), the lowest finite value of each view, or NaN.
        high: (views,), the highest finite value of each view, or NaN.
        kind: Kind of the data.
    """
    none = np.zeros((0, 2), int)
    measured = np.flatnonzero(low < high)
    if measured.size < LEAST_VIEWS or values.shape[1] < 3:
        return none
    bottom, top = (float(np.median(extreme[measured].astype(float))) for extreme in (low, high))
    reach = top - bottom
    beyond = values > top + reach
    if kind == "absorption":
        beyond |= values < bottom - reach
    if not beyond.any():
        return none
    found = np.argwhere(beyond & np.isfinite(values))
    if not 0 < len(found) <= max(MOST_ZINGERS * values.size, 1):
        return none
    bins = np.pad(values.astype(float), 1, constant_values=np.nan)
    excess = np.zeros(len(found))
    for k, (view, column) in enumerate(found):
        window = bins[view : view + 3, column : column + 3].ravel()
        around = np.sort(np.delete(window, 4)[np.isfinite(np.delete(window, 4))])
        value = window[4]
        if around.size < 3:
            continue
        second = around[-2] if value > top else around[1]
        if (value - second if value > top else second - value) > reach:
            excess[k] = value - np.median(around)
    if kind == "absorption":
        added = np.bincount(found[:, 0], excess, len(values))
        for view in np.unique(found[:, 0]):
            near = values[max(view - NEAR_VIEWS, 0) : view + NEAR_VIEWS + 1].astype(float)
            sums = np.where(np.isfinite(near), near, 0).sum(axis=1)
            change = sums[min(view, NEAR_VIEWS)] - np.median(np.delete(sums, min(view, NEAR_VIEWS)))
            if abs(change - added[view]) > abs(change) / 2:
                excess[found[:, 0] == view] = 0
    return found[excess != 0]


def _median_of_finite(values: np.ndarray) -> np.ndarray:
    """Median over the finite columns (views,); NaN where there is none."""
    return np.ma.median(np.ma.masked_invalid(values.astype(float)), axis=1).filled(np.nan)


def true_runs(flags: np.ndarray) -> list[slice]:
    """Runs of successive true entries (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _runs(constant: np.ndarray, values: np.ndarray) -> list[slice]:
    """Runs of neighbouring constant pixels (columns,) of one value, at most :data:`LONGEST_RUN` long."""
    index = np.flatnonzero(constant)
    breaks = (np.diff(index) > 1) | (values[index[1:]] != values[index[:-1]])
    groups = np.split(index, np.flatnonzero(breaks) + 1)
    return [slice(int(g[0]), int(g[-1]) + 1) for g in groups if g.size <= LONGEST_RUN]
