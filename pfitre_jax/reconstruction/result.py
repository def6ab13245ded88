"""Reconstructed rows with all that is known of them, and what is said of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.data.results import StoredResult, StoredVolume, result_writers
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.selection import format_ranges
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.reconstruction import methods
from pfitre_jax.reconstruction.plan import Prepared
from pfitre_jax.runtime.versions import package_versions
from pfitre_jax.solvers.loop import Status

#: So many truncated views are more likely data that are no line integrals.
SUSPICIOUS_SHARE = 0.8


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """Reconstructed rows of a scan.

    volume: (rows, ny, nx) float32; per pixel, or per micrometre where the scan has a pixel size
    rows: (rows,), their numbers in the raw stack
    status: (rows,) int, :class:`pfitre_jax.solvers.loop.Status`
    stats: ``iterations`` (rows,); ``residual``, ``change`` (rows, iterations), NaN where a loop had stopped
    residual: (rows,), ``norm(M(Ax-y))/norm(My)`` of the volume
    measured: (rows, ny, nx), the part of the volume that the data determine at the noise level, see
        :mod:`pfitre_jax.trust.consistency`; supplied: (rows,), ``norm(volume - measured)/norm(volume)``
    domain_score: how unlike the images that the prior was judged on the result looks, above 1 for 5% of
        those; ``None`` without a prior, or one whose card does not tell
    scale: what image values were divided by while they were solved for, per pixel
    sinogram: (views, columns), the measured one of the middle row; misfit: ``M(Ax - y)`` of it
    method, parameters: its name and settings; warnings: in words
    gains: (rows, views), the factors by which views were found too bright and mended, 1 for none; stripes:
        (rows, columns), the offsets that columns were mended by, in the units of the projections, 0 for none;
        trusted: (rows, views), the mean weight that ``robust`` left to the bins of a view, 1 for full;
        (rows, 0) where they were not looked for
    chunk: rows that were solved together
    timings: wall time, ``seconds_compile`` of what is compiled, ``seconds_run`` of the solve
        of all rows, ``seconds_prepare`` of all else: axis, support, scale, weight, what to trust
    scan: what was reconstructed, all its rows; geometry: of each row
    """

    volume: np.ndarray | StoredVolume
    rows: np.ndarray
    status: np.ndarray
    stats: dict[str, np.ndarray]
    residual: np.ndarray
    measured: np.ndarray | StoredVolume
    supplied: np.ndarray
    domain_score: float | None
    scale: float
    sinogram: np.ndarray
    misfit: np.ndarray
    method: str
    parameters: dict[str, Any]
    warnings: list[str]
    gains: np.ndarray
    stripes: np.ndarray
    trusted: np.ndarray
    timings: dict[str, float]
    chunk: int
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

    @property
    def all_diverged(self) -> bool:
        """Whether no row is what it should be."""
        return bool(np.all(self.status == int(Status.DIVERGED)))

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
            **self.mended(),
            "scale": self.scale,
            "units": self.units,
            "chunk": self.chunk,
            **self.timings,
            "device": f"{device.platform}: {device.device_kind}",
            "versions": package_versions(),
            "warnings": self.warnings,
            "scan": self.scan.provenance,
        }

    def mended(self) -> dict[str, Any]:
        """``gains``, ``stripes`` and ``robust``, where they were looked for, as the summary has them.

        Each: how many of its views or columns were mended in every row, or have less than half of their
        weight, which of them in at least half of the rows (``often``), and the medians of their factors,
        offsets or weights over the rows where they were (``by``). Views are counted among those used.
        """
        told = {}
        for name, unit, values, found in (
            ("gains", "views", self.gains, self.gains != 1),
            ("stripes", "columns", self.stripes, self.stripes != 0),
            ("robust", "views", self.trusted, self.trusted < 0.5),
        ):
            if not values.shape[1]:
                continue
            often = np.flatnonzero(found.mean(axis=0) >= 0.5)
            by = [float(np.median(values[found[:, k], k])) for k in often]
            told[name] = {unit: found.sum(axis=1), "often": often, "by": by}
        return told

    def save(
        self,
        folder,
        *,
        command: str = "",
        writers: Mapping[str, Callable[[Path], None]] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> list[Path]:
        """Write ``recon.h5``, ``recon.tif``, ``summary.json`` into ``folder`` and return their paths.

        All appear or none. command: recorded in ``recon.h5``; writers: of further files, by name; extra: what
        else the summary says

        Raises ``NotADirectoryError`` or another ``OSError`` where the folder cannot be written.
        """
        summary = self.summary() | dict(extra or {})
        return write_files(folder, result_writers(self.stored(), summary, command) | dict(writers or {}))


def make_result(
    prepared: Prepared, rows: slice, facts: Mapping[str, np.ndarray], seconds: float, seconds_run: float
) -> Result:
    """The result of ``rows`` of a scan.

    facts: what :class:`pfitre_jax.reconstruction.plan.Part` has, of all these rows
    seconds: wall time till now, ``seconds_run`` of it to solve the rows
    """
    scan, volume = prepared.scan, facts["volume"]
    said, score, seconds_look = prepared.look(rows, facts["size"], lambda row: volume[row - rows.start])
    middle = len(volume) // 2
    sinogram, misfit = prepared.misfit(rows.start + middle, volume[middle])
    compiling = prepared.seconds_compile + seconds_look
    return Result(
        volume=volume,
        rows=scan.row0 + np.arange(rows.start, rows.stop),
        status=facts["status"],
        stats={"iterations": facts["iterations"], "residual": facts["history"], "change": facts["change"]},
        residual=facts["residual"],
        measured=facts["measured"],
        supplied=facts["supplied"],
        domain_score=score,
        scale=prepared.calibration.scale,
        sinogram=sinogram,
        misfit=misfit,
        method=prepared.method,
        parameters={name: methods.describe(value) for name, value in prepared.settings.items()},
        warnings=_warnings(prepared, rows, facts) + said,
        gains=facts["gains"],
        stripes=facts["stripes"],
        trusted=facts["trusted"],
        timings={
            "seconds_prepare": max(seconds - prepared.seconds_compile - seconds_run, 0.0),
            "seconds_compile": compiling,
            "seconds_run": seconds_run,
        },
        chunk=prepared.chunk,
        scan=scan,
        geometry=prepared.geometry,
    )


def _warnings(prepared: Prepared, rows: slice, facts: Mapping[str, np.ndarray]) -> list[str]:
    said, scan, truncated = [], prepared.scan, prepared.calibration.truncated
    shape, row0 = prepared.problem.support.shape, scan.row0 + rows.start
    if truncated.any():
        said.append(
            f"views {format_ranges(np.flatnonzero(truncated))} of {scan.views} run out of the field of view; the "
            f"image is extended to {shape[1]} x {shape[0]} pixels and is less certain near and beyond the "
            "field's edge"
        )
    if truncated.mean() > SUSPICIOUS_SHARE and scan.provenance.get("data") == "absorption":
        said.append(
            "nearly all views have signal at their edges: if these data are no line integrals, say --data "
            "counts or --data transmission"
        )
    blind = np.flatnonzero(facts["blind"])
    if blind.size:
        said.append(f"rows {format_ranges(row0 + blind)} have no valid bin; their slices are 0")
    failed = np.flatnonzero(facts["status"] == int(Status.DIVERGED))
    if failed.size:
        said.append(
            f"rows {format_ranges(row0 + failed)} diverged; their slices are the last finite iterates"
        )
    return said
