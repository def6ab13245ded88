"""From a file to a reconstruction in two calls: :func:`load_scan` and :func:`reconstruct`."""

from __future__ import annotations

import dataclasses
import numbers
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pfitre_jax.engine import methods, slices
from pfitre_jax.engine.center import find_center, find_roll
from pfitre_jax.engine.compiled import as_arrays, compiled
from pfitre_jax.engine.scale import scan_scale, scan_weight
from pfitre_jax.engine.support import scan_support
from pfitre_jax.geometry import ParallelGeometry, Wedge, check_center
from pfitre_jax.io.read import read
from pfitre_jax.io.results import StoredResult, result_writers, versions, write_files
from pfitre_jax.loop import Status
from pfitre_jax.operators.projector import Projector
from pfitre_jax.preprocess import correct_roll, to_scan
from pfitre_jax.priors.likeness import statistics
from pfitre_jax.report import Tile
from pfitre_jax.scan import Scan
from pfitre_jax.solvers.solve import check_number
from pfitre_jax.trust.consistency import split
from pfitre_jax.trust.domain import check_domain, disagreement, domain_score

#: Rows, evenly spread over those with signal, on which a learned prior is asked whether it knows what it
#: sees.
DOMAIN_ROWS = 4
#: A row has signal if its slice's norm is this share of the largest: in air everything is noise.
SIGNAL_SHARE = 0.25
#: So many truncated views are more likely data that are no line integrals.
SUSPICIOUS_SHARE = 0.8


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
    center = None if center == "auto" else center
    for name, value in (("center", center), ("roll", roll)):
        if not (value is None or isinstance(value, numbers.Real) or (name, value) == ("roll", "auto")):
            raise ValueError(f"{name} is {value!r}; expected a number or 'auto'")
    raw = read(path, angles, angle_unit, data)
    scan = to_scan(raw, center=center, pixel_size=pixel_size, mask_nan=mask_nan)
    scan = scan.select_views(slice(None) if views is None else views, exclude_views)
    if roll == "auto":
        return with_roll(scan)
    return correct_roll(scan, roll) if roll else scan


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """Reconstructed rows of a scan.

    volume: (rows, ny, nx) float32; per pixel, or per micrometre where the scan has a pixel size
    rows: (rows,), their numbers in the raw stack
    status: (rows,) int, :class:`pfitre_jax.loop.Status`
    stats: ``iterations`` (rows,); ``residual``, ``change`` (rows, iterations), NaN where a loop had stopped
    residual: (rows,), ``norm(M(Ax-y))/norm(My)`` of the volume
    measured: (rows, ny, nx), the part of the volume that the data determine at the noise level, see
        :mod:`pfitre_jax.trust.consistency`; supplied: (rows,), ``norm(volume - measured)/norm(volume)``
    domain_score: how unlike the images that the prior was judged on the result looks, above 1 for 5% of
        those; ``None`` without a prior, or one whose card does not tell
    scale: what image values were divided by while they were solved for, per pixel
    sinogram: (views, columns), the measured one of the middle row; misfit: ``M(Ax - y)`` of it
    method, parameters: its name and settings; warnings: in words
    timings: wall time, ``seconds_compile`` of what :func:`reconstruct` compiles, ``seconds_run`` of the solve
        of all rows, ``seconds_prepare`` of all else: axis, support, scale, weight, what to trust
    scan: what was reconstructed, all its rows; geometry: of each row
    """

    volume: np.ndarray
    rows: np.ndarray
    status: np.ndarray
    stats: dict[str, np.ndarray]
    residual: np.ndarray
    measured: np.ndarray
    supplied: np.ndarray
    domain_score: float | None
    scale: float
    sinogram: np.ndarray
    misfit: np.ndarray
    method: str
    parameters: dict[str, Any]
    warnings: list[str]
    timings: dict[str, float]
    scan: Scan
    geometry: ParallelGeometry

    @property
    def units(self) -> str:
        """Of the volume: "1/pixel" or "1/um"."""
        return self.stored().units

    @property
    def label(self) -> str:
        """The method, and whose prior stands in the published loop: it comes without one."""
        if self.method == "pfitre-original":
            return f"{self.method} with the prior {self.parameters['prior']}"
        return self.method

    @property
    def middle(self) -> int:
        """Index of the middle row in the volume, the one that ``misfit`` shows."""
        return len(self.rows) // 2

    def stored(self) -> StoredResult:
        """As it is written to ``recon.h5``."""
        return StoredResult(
            self.volume,
            self.scan.theta_rad,
            float(self.geometry.center),
            self.scan.roll_deg,
            self.scan.columns,
            int(self.rows[0]),
            self.scan.raw_rows,
            self.scan.pixel_size,
            self.method,
            self.parameters,
            self.measured,
        )

    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` says; lists have an entry for each row."""
        wedge = self.scan.wedge
        device = jax.devices()[0]
        return {
            "method": self.method,
            "label": self.label,
            "parameters": self.parameters,
            "rows": self.rows,
            "residual": self.residual,
            "status": [Status(int(status)).text for status in self.status],
            "iterations": self.stats["iterations"],
            "supplied": self.supplied,
            "domain_score": self.domain_score,
            "center": float(self.geometry.center),
            "roll_deg": self.scan.roll_deg,
            "wedge_deg": wedge.width_deg,
            "wedge_center_deg": wedge.center_deg,
            "views": self.scan.views,
            "scale": self.scale,
            "units": self.units,
            **self.timings,
            "device": f"{device.platform}: {device.device_kind}",
            "versions": versions(),
            "warnings": self.warnings,
            "scan": self.scan.provenance,
        }

    def save(self, folder, *, command: str = "", writers: dict[str, Callable[[Path], None]] | None = None):
        """Write ``recon.h5``, ``recon.tif``, ``summary.json`` into ``folder`` and return their paths.

        All appear or none. command: recorded in ``recon.h5``; writers: of further files, by name

        Raises ``NotADirectoryError`` or another ``OSError`` where the folder cannot be written.
        """
        files = result_writers(self.stored(), self.summary(), command) | (writers or {})
        return write_files(folder, files)


def reconstruct(
    scan: Scan,
    method: str = "pfitre",
    *,
    rows: slice | str | None = None,
    prior: Any = None,
    iterations: int | None = None,
    rho: float | None = None,
    weight: float | str | None = None,
    scale: float | None = None,
    chunk: int = slices.CHUNK,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Result:
    """Reconstruct rows of a scan, each as a slice of its own.

    method: one of :data:`pfitre_jax.engine.methods.METHODS`
    rows: ``slice`` or "A:B", default all
    prior: of the methods with a learned one: a name or path for :func:`pfitre_jax.priors.files.pretrained`,
        or a prior itself
    iterations, rho, weight: of the method, default its own; a setting that it does not take is refused
    scale: default :func:`pfitre_jax.engine.scale.scan_scale` of the whole scan
    chunk: rows solved together at most
    progress: called with rows done and rows in all

    The rotation axis is looked for (:func:`with_center`) where the scan does not know it. Rows that fail say
    so in ``status``.

    Raises ``ValueError`` for an unknown method, a setting that makes no sense, rows outside the scan, a scan
    that does not tell its centre.
    """
    began = time.perf_counter()
    settings = methods.settings(method, prior=prior, iterations=iterations, rho=rho, weight=weight)
    if scale is not None:
        check_number("scale", scale)
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; expected the number of rows solved together, at least 1")
    picked = scan if rows is None else scan.select_rows(rows)
    scan = with_center(scan)
    geometry = scan.geometry()
    support, truncated = scan_support(scan)
    problem, seconds_compile = slices.shared_problem(geometry, support)
    if scale is None:
        scale, seconds = scan_scale(scan, problem)
        seconds_compile += seconds
    if settings.get("weight") == "auto":
        settings["weight"], seconds = scan_weight(scan, problem, scale)
        seconds_compile += seconds
    settings = methods.with_numbers(settings)
    sinograms, masks = np.moveaxis(picked.projections, 1, 0), np.moveaxis(picked.mask, 1, 0)
    solved = slices.reconstruct_rows(
        methods.build(method, settings),
        problem,
        sinograms,
        masks,
        scale=scale,
        iterations=settings.get("iterations", 1),
        tolerance=methods.recipe(method).tolerance,
        chunk=chunk,
        progress=progress,
    )
    seconds_compile += solved.seconds_compile
    warnings = _warnings(picked, truncated, support.shape, solved)
    score = None
    if hasattr(settings.get("prior"), "card"):
        relative = settings["rho"] / (float(problem.norm_squared) if method == "pfitre-original" else 1.0)
        said, score, seconds = _check_domain(
            settings["prior"], relative, problem, sinograms, masks, solved.volume, scale
        )
        warnings += said
        seconds_compile += seconds
    parts = split(problem, sinograms, masks, solved.volume, solved.residual)
    seconds_compile += parts.seconds_compile
    middle = len(solved.volume) // 2
    predicted = np.asarray(_project(problem.A, solved.volume[middle]))
    unit = np.float32(1 if scan.pixel_size is None else scan.pixel_size)
    others = time.perf_counter() - began - seconds_compile - solved.seconds_run
    return Result(
        volume=solved.volume / unit,
        rows=picked.row0 + np.arange(picked.rows),
        status=solved.status,
        stats=solved.stats,
        residual=solved.residual,
        measured=parts.measured / unit,
        supplied=parts.supplied,
        domain_score=score,
        scale=scale,
        sinogram=sinograms[middle],
        misfit=np.where(masks[middle], predicted - sinograms[middle], 0),
        method=method,
        parameters={name: methods.describe(value) for name, value in settings.items()},
        warnings=warnings,
        timings={
            "seconds_prepare": others,
            "seconds_compile": seconds_compile,
            "seconds_run": solved.seconds_run,
        },
        scan=scan,
        geometry=geometry,
    )


def with_center(scan: Scan) -> Scan:
    """``scan`` with a known rotation axis: its own, else :func:`pfitre_jax.engine.center.find_center`'s.

    ``provenance["center"]`` says how it was found. ``ValueError`` where the scan does not tell.
    """
    if scan.center is not None:
        return scan
    found = find_center(scan)
    said = f"{found.value:.2f} +- {found.uncertainty:.2g}, found from {found.method}"
    scan = scan.with_center(found.value)
    return dataclasses.replace(scan, provenance={**scan.provenance, "center": said})


def with_roll(scan: Scan) -> Scan:
    """``scan`` turned by the roll that :func:`pfitre_jax.engine.center.find_roll` finds.

    ``provenance["roll"]`` says how it was found. ``ValueError`` where the scan does not tell.
    """
    found = find_roll(scan)
    said = f"{found.value:.2f} +- {found.uncertainty:.2g} degrees, found from {found.method}"
    scan = correct_roll(scan, found.value)
    return dataclasses.replace(scan, provenance={**scan.provenance, "roll": said})


def try_values(
    scan: Scan,
    what: str,
    values,
    *,
    row: int | None = None,
    method: str = "cgls",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Tile]:
    """One row reconstructed with each of several centres or rolls, to look at side by side.

    what: "center", ``values`` being detector indices, or "roll", degrees, of a scan that is not turned yet
    row: default the middle one

    Each tile is what :func:`reconstruct` makes of the scan with that value. Raises ``ValueError`` as
    :func:`check_trials` does.
    """
    row = check_trials(scan, what, values, row)
    if what == "roll":
        scan = with_center(scan)
    tiles, scale = [], None
    for value in values:
        trial = scan.with_center(value) if what == "center" else correct_roll(scan, value)
        result = reconstruct(trial, method, rows=slice(row, row + 1), scale=scale)
        # The scale hardly depends on the axis: found once.
        scale = result.scale
        tiles.append(Tile(float(value), result.volume[0], float(result.residual[0])))
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


@jax.jit
def _project(A: Projector, image):
    return A(image)


@jax.jit
def _look(prior, problem, sinograms, masks, images, rho):
    def one(sinogram, mask, image):
        row = dataclasses.replace(problem, sinogram=sinogram, mask=mask)
        return disagreement(prior, row, image, rho), statistics(image)

    return jax.vmap(one)(sinograms, masks, images)


def _check_domain(prior, rho, problem, sinograms, masks, volume, scale):
    """What :func:`pfitre_jax.trust.domain.check_domain` says of a few rows, their
    :func:`pfitre_jax.trust.domain.domain_score`, and the seconds to compile it."""
    looked = rows_with_signal(np.linalg.norm(volume, axis=(1, 2)), DOMAIN_ROWS)
    # Always so many, that no other number of rows is another compilation.
    looked = np.resize(looked, DOMAIN_ROWS)
    mask = masks[looked].astype(np.float32)
    sinogram, image = mask * sinograms[looked] / np.float32(scale), volume[looked] / np.float32(scale)
    arguments = as_arrays((prior, problem, sinogram, mask, image, np.float32(rho)))
    executable, seconds = compiled(_look, *arguments)
    found, looks = jax.tree.map(np.asarray, executable(*arguments))
    wedge = Wedge(float(problem.wedge.center_rad), float(problem.wedge.width_rad))
    score = domain_score(prior.card, looks)
    return check_domain(prior.card, wedge, sinograms.shape[1], rho, found, score), score, seconds


def rows_with_signal(size, number: int) -> np.ndarray:
    """At most ``number`` rows, evenly spread over those whose ``size (rows,)`` is no mere noise."""
    strong = np.flatnonzero(size >= SIGNAL_SHARE * np.max(size))
    return strong[np.unique(np.linspace(0, len(strong) - 1, number).round().astype(int))]


def _warnings(picked: Scan, truncated, shape, solved: slices.Slices) -> list[str]:
    said = []
    if truncated.any():
        said.append(
            f"views {ranges(np.flatnonzero(truncated))} of {picked.views} run out of the field of view; the "
            f"image is extended to {shape[1]} x {shape[0]} pixels and is less certain near and beyond the "
            "field's edge"
        )
    if truncated.mean() > SUSPICIOUS_SHARE and picked.provenance.get("data") == "absorption":
        said.append(
            "nearly all views have signal at their edges: if these data are no line integrals, say --data "
            "counts or --data transmission"
        )
    blind = np.flatnonzero(~picked.mask.any(axis=(0, 2)))
    if blind.size:
        said.append(f"rows {ranges(picked.row0 + blind)} have no valid bin; their slices are 0")
    failed = np.flatnonzero(solved.status == int(Status.DIVERGED))
    if failed.size:
        said.append(
            f"rows {ranges(picked.row0 + failed)} diverged; their slices are the last finite iterates"
        )
    return said


def ranges(numbers) -> str:
    """``27-35, 40``: neighbouring numbers as ranges."""
    groups = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return ", ".join(f"{g[0]}-{g[-1]}" if len(g) > 1 else f"{g[0]}" for g in groups)
