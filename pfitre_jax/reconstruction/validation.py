"""Validation of a reconstruction: views are held out and predicted by the method and by FISTA-TV."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import jax
import numpy as np
from numpy.typing import ArrayLike

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.held_out_views import end_folds, interleaved_folds
from pfitre_jax.operators.projector import Projector
from pfitre_jax.reconstruction import executor
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.plan import make_plan
from pfitre_jax.trust.held_out_verdict import HeldOutErrors, HeldOutVerdict, Kind

#: Every this many views in angular order is held out in the interpolating set. The extrapolating set has as
#: many at both ends together, so that programs are compiled once for both.
EVERY = 5
#: Largest number of rows that are reconstructed without the held-out views.
ROWS = 8
#: The method that every other one is compared with.
REFERENCE = "fista-tv"


def validate(
    scan: Scan,
    settings: Settings,
    rows: slice,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeldOutVerdict:
    """Predicts held-out views of a scan whose centre is known, by a method and by FISTA-TV.

    The interpolating set is every fifth view in angular order, the extrapolating one a tenth of the views at
    either end of the angular range. Each method calibrates itself (scale, support, noise, weights, number
    of iterations) on the remaining views alone, so that nothing of the held-out ones enters. At most
    :data:`ROWS` rows are reconstructed: two reconstructions of them by the method, and two by FISTA-TV.

    Args:
        scan: The scan.
        settings: Settings of the method.
        rows: Rows of the scan that the result has; neighbouring ones from their middle are used in a joint
            reconstruction, else evenly spread ones.
        limit: Bytes that this process may use; by default the free memory.
        progress: Called with the number of reconstructions done and their total.
    """
    start = time.perf_counter()
    chosen = _validation_rows(rows, settings.joint)
    methods = [settings]
    if settings.method != REFERENCE:
        # The same support, data model and coupling of rows; everything else is that of FISTA-TV.
        reference = Settings.create(REFERENCE, joint=settings.joint)
        methods.append(
            dataclasses.replace(reference, support=settings.support, data_model=settings.data_model)
        )
    sets = held_out_sets(scan.theta_rad)
    done, total = 0, len(sets) * len(methods)
    errors: dict[Kind, HeldOutErrors] = {}
    for kind, held in sets.items():
        squares, noise = [], 0.0
        for method in methods:
            predicted, noise = _predict(scan, held, method, chosen, limit)
            squares.append(_squares(scan, held, chosen, predicted))
            done += 1
            progress(done, total)
        measured = _squares(scan, held, chosen, None)
        bins = np.sum(scan.take_views(np.flatnonzero(held)).take_rows(chosen).mask, axis=(1, 2))
        errors[kind] = HeldOutErrors(
            kind,
            scan.view_numbers[held],
            squares[0],
            squares[1] if len(squares) > 1 else None,
            measured,
            noise**2 * bins,
        )
    return HeldOutVerdict(
        settings.method,
        errors["interpolating"],
        errors["extrapolating"],
        scan.row0 + chosen,
        time.perf_counter() - start,
        learned=settings.prior is not None,
        adaptable=settings.method == "pfitre" and settings.adaptation is None,
    )


def held_out_sets(theta_rad: ArrayLike) -> dict[Kind, np.ndarray]:
    """Which views (views,) each of the two sets holds out; both have the same number.

    Args:
        theta_rad: (views,), radians, in any order.
    """
    ends = np.any(end_folds(theta_rad, 1) > 0, axis=0)
    between = (interleaved_folds(theta_rad, EVERY, 1)[0] > 0) & ~ends
    count = int(between.sum())
    first, last = end_folds(theta_rad, count - count // 2)[0], end_folds(theta_rad, count // 2)[1]
    return {"interpolating": between, "extrapolating": first + last > 0}


def _validation_rows(rows: slice, joint: bool) -> np.ndarray:
    """Rows that are reconstructed without the held-out views."""
    count = min(rows.stop - rows.start, ROWS)
    if joint:
        first = rows.start + (rows.stop - rows.start - count) // 2
        return np.arange(first, first + count)
    return rows.start + ((np.arange(count) + 0.5) * (rows.stop - rows.start) / count).astype(int)


def _predict(
    scan: Scan, held: np.ndarray, settings: Settings, rows: np.ndarray, limit: int | None
) -> tuple[np.ndarray, float]:
    """Line integrals (held, rows, columns) that a method predicts from the other views, and its noise.

    The noise is the standard deviation in a bin, in the units of the line integrals.
    """
    training = scan.take_views(np.flatnonzero(~held))
    plan = make_plan(training, settings, len(rows), chunk=len(rows), limit=limit)
    # Neighbouring rows are solved in the whole scan, which has the rows of their halos.
    first, solved_scan = (int(rows[0]), training) if settings.joint else (0, training.take_rows(rows))
    blocks = executor.split_rows(slice(first, first + len(rows)), plan.chunk)
    solved = executor.solve_blocks(plan.program, solved_scan, blocks)
    volume = np.concatenate([np.asarray(block.volume) for block in solved])
    geometry = scan.take_views(np.flatnonzero(held)).geometry()
    A = Projector(geometry, volume.shape[1:])
    projections = np.asarray(_project(A, volume * np.float32(plan.program.pixel_size)))
    return np.moveaxis(projections, 0, 1), (plan.calibration.noise or 0.0) * plan.calibration.scale


def _squares(scan: Scan, held: np.ndarray, rows: np.ndarray, predicted: np.ndarray | None) -> np.ndarray:
    """``||M(A x - y)||^2`` of each held-out view (held,), or ``||M y||^2`` without a prediction."""
    measured = scan.take_views(np.flatnonzero(held)).take_rows(rows)
    error = measured.projections.astype(float) - (0 if predicted is None else predicted)
    return np.sum(np.where(measured.mask, error, 0) ** 2, axis=(1, 2))


@jax.jit
def _project(A, volume):
    return jax.vmap(A)(volume)
