"""From a file to a reconstruction in two calls: :func:`load_scan` and :func:`reconstruct`."""

from __future__ import annotations

import numbers
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pfitre_jax.data.lazy_scan import open_lazily
from pfitre_jax.data.preprocess import to_scan
from pfitre_jax.data.readers.registry import open_raw, read_raw
from pfitre_jax.data.roll import correct_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.selection import resolve_rows, resolve_views
from pfitre_jax.estimation import center as center_by_residual
from pfitre_jax.estimation import opposite_views
from pfitre_jax.estimation.calibrate import sample_rows
from pfitre_jax.estimation.center import find_center, find_roll
from pfitre_jax.geometry import check_center
from pfitre_jax.plotting.trials import Trial
from pfitre_jax.reconstruction import methods
from pfitre_jax.reconstruction.executor import blocks
from pfitre_jax.reconstruction.plan import prepare
from pfitre_jax.reconstruction.result import Result, make_result
from pfitre_jax.solvers.solve import check_number


def load_scan(
    path,
    *,
    angles=None,
    angle_unit: str | None = None,
    data: str | None = None,
    center: float | str | None = None,
    roll: float | str = 0.0,
    pixel_size: float | None = None,
    views: slice | str | None = None,
    exclude_views: slice | str | None = None,
    mask_nan: bool = False,
) -> Scan:
    """Read a scan and bring it to line integrals: logarithm, masks, roll, selection of views.

    path: TIFF stack, DXchange or NXtomo HDF5, or ``.npz``
    angles: CSV file with one angle for each view; a TIFF stack needs it
    angle_unit: "deg" or "rad", of the file's angles; default what the file says, else degrees
    data: "counts", "transmission" or "absorption"; default counts where the file holds flats, else absorption
    center: detector index of the rotation axis; default, or "auto": what the file says, else
        :func:`reconstruct` finds it
    roll: in-plane roll of the rotation axis, degrees; the projections are turned by it. "auto" looks for it
    pixel_size: of a detector bin, micrometres
    views, exclude_views: ``slice`` or "A:B[:S]", which views to use; both count the views of the file
    mask_nan: leave out NaN and infinite bins instead of refusing them

    Raises ``FileNotFoundError``, ``OSError`` and ``ValueError`` with the fix in the message.
    """
    center = _center(center)
    if not isinstance(roll, numbers.Real) and roll != "auto":
        raise ValueError(f"roll is {roll!r}; expected a number or 'auto'")
    raw = read_raw(path, angles, angle_unit, data)
    scan = to_scan(raw, center=center, pixel_size=pixel_size, mask_nan=mask_nan)
    scan = scan.select_views(slice(None) if views is None else views, exclude_views)
    if roll == "auto":
        return with_roll(scan)
    return correct_roll(scan, roll) if roll else scan


def _center(center: float | str | None) -> float | None:
    """A number, or None for "auto"."""
    if center is None or center == "auto":
        return None
    if not isinstance(center, numbers.Real):
        raise ValueError(f"center is {center!r}; expected a number or 'auto'")
    return center


def open_scan(
    path,
    *,
    angles=None,
    angle_unit: str | None = None,
    data: str | None = None,
    center: float | str | None = None,
    roll: float = 0.0,
    pixel_size: float | None = None,
    views: slice | str | None = None,
    exclude_views: slice | str | None = None,
    mask_nan: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scan:
    """As :func:`load_scan`, for a scan that stays in its file and may be larger than memory; looked through
    twice, a few rows at a time. The roll must be known. A centre that is looked for is found from a sample of
    the rows.

    progress: called with rows looked at and rows in all
    """
    center = _center(center)
    if not isinstance(roll, numbers.Real):
        raise ValueError(f"roll is {roll!r}; expected a number for a scan that stays in its file")
    raw = open_raw(path, angles, angle_unit, data)
    used = resolve_views(views, exclude_views, raw.projections.shape[0])
    total = raw.projections.shape[1]
    spread = np.linspace(0, total - 1, min(total, opposite_views.ROWS)).round().astype(int)
    return open_lazily(
        raw,
        used_views=used,
        center=center,
        roll_deg=roll,
        pixel_size=pixel_size,
        mask_nan=mask_nan,
        kept_rows=np.union1d(sample_rows(total), spread),
        strongest_rows=center_by_residual.ROWS,
        progress=progress,
    )


def reconstruct(
    scan: Scan,
    method: str = "pfitre",
    *,
    rows: slice | str | None = None,
    prior: Any = None,
    iterations: int | None = None,
    rho: float | str | None = None,
    weight: float | str | None = None,
    scale: float | None = None,
    joint: bool = False,
    robust: str | None = None,
    photons: float | None = None,
    stripes: bool = False,
    gains: bool = False,
    chunk: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Result:
    """Reconstruct rows of a scan, each as a slice of its own, or all together.

    method: one of :data:`pfitre_jax.reconstruction.methods.METHODS`
    rows: ``slice`` or "A:B", default all
    prior: of the methods with a learned one: a name or path for :func:`pfitre_jax.priors.files.pretrained`,
        or a prior itself
    iterations, rho, weight: of the method, default its own, of which "auto" is from the noise in the scan; a
        setting that it does not take is refused
    scale: default that of :func:`pfitre_jax.estimation.calibrate.calibrate`
    joint: whether the rows are one volume, in which the prior also sees neighbouring rows: total variation
        has differences along the rows, and the prior "volume", the default then, sees those beside
    robust: "huber" or "student-t", in the place of least squares: bins that are far off pull less
        (:class:`pfitre_jax.solvers.Huber`, :class:`pfitre_jax.solvers.StudentT`, which forgives more), or
        "views": views that are (:class:`pfitre_jax.solvers.WholeViews`)
    photons: of the flat beam in a bin, more than 1: line integrals are logarithms of counts, and count for as
        much as their photons tell (:class:`pfitre_jax.solvers.Poisson`)
    stripes, gains: whether offsets of columns and factors of views, which a detector and a beam make, are
        looked for between the iterations (:class:`pfitre_jax.solvers.Calibrated`)
    chunk: rows solved together at most, default all where they are joint, else 32 on each device, or as many
        as fit into memory
    progress: called with rows done and rows in all

    The rotation axis is looked for (:func:`with_center`) where the scan does not know it. Rows that fail say
    so in ``status``.

    Raises ``ValueError`` for an unknown method, a setting that makes no sense, rows outside the scan, a scan
    that does not tell its centre.
    """
    began = time.perf_counter()
    data = dict(robust=robust, photons=photons, stripes=stripes, gains=gains)
    asked = dict(prior=prior, iterations=iterations, rho=rho, weight=weight)
    settings = methods.settings(method, joint=joint, **asked, **data)
    if scale is not None:
        check_number("scale", scale)
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk is {chunk}; expected the number of rows solved together, at least 1")
    picked = pick_rows(scan, rows)
    scan = with_center(scan)
    number = picked.stop - picked.start
    prepared = prepare(scan, method, settings, number, joint=joint, scale=scale, chunk=chunk)
    run = time.perf_counter()
    parts = []
    for part in prepared.solve(blocks(picked, prepared.chunk)):
        parts.append(part.arrays())
        progress(part.rows.stop - picked.start, picked.stop - picked.start)
    facts = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ended = time.perf_counter()
    return make_result(prepared, picked, facts, ended - began, ended - run)


def pick_rows(scan: Scan, rows: slice | str | None) -> slice:
    """Neighbouring rows of a scan; ``ValueError`` as :meth:`Scan.select_rows` raises it."""
    return resolve_rows(rows, scan.rows)


def with_center(scan: Scan) -> Scan:
    """``scan`` with a known rotation axis: its own, else :func:`pfitre_jax.estimation.center.find_center`'s.

    ``provenance["center"]`` says how it was found. ``ValueError`` where the scan does not tell.
    """
    if scan.center is not None:
        return scan
    found = find_center(scan.sample())
    said = f"{found.value:.2f} +- {found.uncertainty:.2g}, found from {found.method}"
    return scan.with_center(found.value).with_provenance(center=said)


def with_roll(scan: Scan) -> Scan:
    """``scan`` turned by the roll that :func:`pfitre_jax.estimation.center.find_roll` finds.

    ``provenance["roll"]`` says how it was found. ``ValueError`` where the scan does not tell.
    """
    found = find_roll(scan)
    said = f"{found.value:.2f} +- {found.uncertainty:.2g} degrees, found from {found.method}"
    return correct_roll(scan, found.value).with_provenance(roll=said)


def try_values(
    scan: Scan,
    what: str,
    values,
    *,
    row: int | None = None,
    method: str = "cgls",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Trial]:
    """One row reconstructed with each of several centres or rolls, to look at side by side.

    what: "center", ``values`` being detector indices, or "roll", degrees, of a scan that is not turned yet
    row: default the middle one

    Each tile is what :func:`reconstruct` makes of the scan with that value. Raises ``ValueError`` as
    :func:`check_trials` does.
    """
    row = check_trials(scan, what, values, row)
    if what == "roll":
        scan = with_center(scan)
    tiles, known, automatic = [], {}, methods.automatic(method)
    for value in values:
        trial = scan.with_center(value) if what == "center" else correct_roll(scan, value)
        result = reconstruct(trial, method, rows=slice(row, row + 1), **known)
        # Scale and noise hardly depend on the axis, and tiles are to differ in it alone.
        known = {"scale": result.scale} | {name: result.parameters[name] for name in automatic}
        tiles.append(Trial(float(value), result.volume[0], float(result.residual[0])))
        progress(len(tiles), len(values))
    return tiles


def check_trials(scan: Scan, what: str, values, row: int | None = None) -> int:
    """The row that :func:`try_values` would show, if it can try these values at all.

    Raises ``ValueError`` for a row outside the scan, a centre outside the detector, a roll of 90 degrees or
    more, and rolls of a scan that was turned already: they would add to that turn.
    """
    if what not in ("center", "roll"):
        raise ValueError(f"what to try is {what!r}; expected 'center' or 'roll'")
    row = scan.rows // 2 if row is None else row
    if not 0 <= row < scan.rows:
        raise ValueError(f"row {row} is outside the scan; expected 0 to {scan.rows - 1}")
    if what == "center":
        for value in values:
            check_center(value, scan.columns)
        return row
    if scan.roll_deg:
        raise ValueError(
            f"the scan was turned by {scan.roll_deg:g} degrees already; expected one that was not: load it "
            "without a roll, rolls to try are of the scan as it was measured"
        )
    for value in values:
        if not abs(value) < 90:
            raise ValueError(f"the roll is {value:g}; expected degrees between -90 and 90")
    return row
