"""The result of a reconstruction, its summary, and the files that hold it."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from pfitre_jax.data.atomic_write import check_replaceable, write_files
from pfitre_jax.data.json_values import jsonable
from pfitre_jax.data.writers.image_stack import ImageStack
from pfitre_jax.data.writers.registry import find_writers
from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.reconstruction.exported_images import export_name, export_names, read_image
from pfitre_jax.reconstruction.file_names import FORMATS
from pfitre_jax.reconstruction.recon_file import read_recon_file, write_recon_file
from pfitre_jax.reconstruction.row_block import LazyVolume
from pfitre_jax.runtime.file_mark import MARK, has_mark
from pfitre_jax.solvers.loop import Status

#: Status of a row in a file that does not record it.
UNKNOWN = -1


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """Reconstructed rows of a scan, computed or read from ``recon.h5``.

    What a file does not record is NaN, empty, or :data:`UNKNOWN` for the status.

    Attributes:
        volume: (rows, ny, nx) float32; per pixel, or per micrometre where the scan has a pixel size.
        measured: (rows, ny, nx), the component of the volume that the data determine at this noise level, see
            :mod:`pfitre_jax.trust.consistency`; None where a file does not hold it.
        lower: (rows, ny, nx), lower limit of the interval of each pixel, see
            :mod:`pfitre_jax.trust.intervals`; None without intervals. NaN in rows without data.
        upper: (rows, ny, nx), upper limit.
        rows: (rows,), row numbers in the raw stack.
        method: Name of the method.
        parameters: Settings of the method.
        theta_rad: (views,), angles of the views, radians.
        center: Detector index of the rotation axis.
        roll_deg: In-plane roll of the axis that the projections were corrected for, degrees.
        columns: Number of detector columns.
        raw_rows: Number of rows of the raw stack.
        pixel_size: Size of a pixel, micrometres, or None.
        status: (rows,), :class:`pfitre_jax.solvers.loop.Status`.
        iterations: (rows,), iterations done.
        residual: (rows,), relative residual ``||M(A x - y)|| / ||M y||`` of the volume.
        supplied: (rows,), ``||volume - measured|| / ||volume||``.
        residual_history: (rows, iterations), relative residual after each iteration; NaN after the last one.
        change_history: (rows, iterations), relative change in each iteration; NaN after the last one.
        gains: (rows, views), estimated view gains, 1 for none; (rows, 0) where not estimated.
        stripes: (rows, columns), estimated column offsets, in units of the projections; (rows, 0) where not
            estimated.
        view_weights: (rows, views), mean weights of the views in a robust data term, 1 for full weight;
            (rows, 0) without one.
        sinogram: (views, columns), the measured sinogram of the middle row.
        residual_sinogram: (views, columns), ``M(A x - y)`` of the middle row.
        support: (ny, nx), whether the image may differ from 0.
        support_text: Description of the support.
        selection: How support and number of iterations were chosen: for each of them ``by`` ("auto", "stated"
            or "default"), ``chosen``, and with "auto" the ``errors`` of the candidates.
        scale: Image value that was 1 in the solver, per pixel.
        domain_score: Out-of-distribution score of the result: 1 is exceeded by 5% of the images that the
            prior was evaluated on. None without a prior, or where its card has no reference.
        residual_statistics: Statistics of the residual of a few rows, see
            :meth:`pfitre_jax.trust.ResidualStatistics.record`.
        resolution: Resolution from half sets of the views, see
            :meth:`pfitre_jax.trust.Resolution.record`; None if it was not asked for.
        validation: Prediction of held-out views, see :meth:`pfitre_jax.trust.HeldOutVerdict.record`; None if
            it was not asked for.
        intervals: Level, kind and calibration of the intervals of the pixels, their median half width, and
            whether they hold, see :meth:`pfitre_jax.reconstruction.CalibratedIntervals.record`; None without
            intervals.
        chunk: Number of rows per batch.
        warnings: Warnings for the user.
        timings: Wall times: ``seconds_compile``; ``seconds_run``, to solve all rows; ``seconds_checks``, for
            further checks that were made; ``seconds_prepare``, for the rest.
        provenance: Origin of the data, in words.
        device: Platform and kind of the device.
        prior_card: Model card of the learned prior, see
            :func:`pfitre_jax.priors.card_summary.summarise_card`; None without one.
        versions: Versions of the packages.
    """

    volume: Float[np.ndarray, "rows ny nx"] | LazyVolume
    measured: Float[np.ndarray, "rows ny nx"] | LazyVolume | None
    lower: Float[np.ndarray, "rows ny nx"] | LazyVolume | None
    upper: Float[np.ndarray, "rows ny nx"] | LazyVolume | None
    rows: Int[np.ndarray, " rows"]
    method: str
    parameters: dict[str, Any]
    theta_rad: Float[np.ndarray, " views"]
    center: float
    roll_deg: float
    columns: int
    raw_rows: int
    pixel_size: float | None
    status: Int[np.ndarray, " rows"]
    iterations: Int[np.ndarray, " rows"]
    residual: Float[np.ndarray, " rows"]
    supplied: Float[np.ndarray, " rows"]
    residual_history: Float[np.ndarray, "rows iterations"]
    change_history: Float[np.ndarray, "rows iterations"]
    gains: Float[np.ndarray, "rows _"]
    stripes: Float[np.ndarray, "rows _"]
    view_weights: Float[np.ndarray, "rows _"]
    sinogram: Float[np.ndarray, "views columns"]
    residual_sinogram: Float[np.ndarray, "views columns"]
    support: Bool[np.ndarray, "ny nx"]
    support_text: str
    selection: dict[str, Any]
    scale: float
    domain_score: float | None
    residual_statistics: dict[str, Any]
    resolution: dict[str, Any] | None
    validation: dict[str, Any] | None
    intervals: dict[str, Any] | None
    chunk: int
    warnings: list[str]
    timings: dict[str, float]
    provenance: dict[str, str]
    device: str
    prior_card: dict[str, Any] | None
    versions: dict[str, str]

    @classmethod
    def of_volume(
        cls,
        volume: np.ndarray | LazyVolume,
        theta_rad: np.ndarray,
        *,
        center: float,
        columns: int,
        roll_deg: float = 0.0,
        row0: int = 0,
        raw_rows: int | None = None,
        pixel_size: float | None = None,
        method: str = "",
        parameters: Mapping[str, Any] | None = None,
        measured: np.ndarray | LazyVolume | None = None,
        **recorded: Any,
    ) -> Result:
        """Result from a volume alone; properties that are not passed are unknown.

        Args:
            volume: (rows, ny, nx), per pixel, or per micrometre with a ``pixel_size``.
            theta_rad: (views,), angles of the views, radians.
            center: Detector index of the rotation axis.
            columns: Number of detector columns.
            roll_deg: In-plane roll of the axis that the projections were corrected for, degrees.
            row0: Row of the raw stack that is row 0 here.
            raw_rows: Number of rows of the raw stack; by default up to the last row.
            pixel_size: Size of a pixel, micrometres.
            method: Name of the method.
            parameters: Settings of the method.
            measured: (rows, ny, nx), the component of the volume that the data determine.
            **recorded: Other attributes that are known.
        """
        rows, views = len(volume), len(theta_rad)
        unknown, none = np.full(rows, np.nan, np.float32), np.zeros((rows, 0), np.float32)
        defaults: dict[str, Any] = {
            "lower": None,
            "upper": None,
            "status": np.full(rows, UNKNOWN),
            "iterations": np.zeros(rows, int),
            "residual": unknown,
            "supplied": unknown,
            "residual_history": none,
            "change_history": none,
            "gains": none,
            "stripes": none,
            "view_weights": none,
            "sinogram": np.full((views, columns), np.nan, np.float32),
            "residual_sinogram": np.full((views, columns), np.nan, np.float32),
            "support": np.ones(volume.shape[1:], bool),
            "support_text": "",
            "selection": {},
            "scale": float("nan"),
            "domain_score": None,
            "residual_statistics": {},
            "resolution": None,
            "validation": None,
            "intervals": None,
            "chunk": rows,
            "warnings": [],
            "timings": {},
            "provenance": {},
            "device": "",
            "prior_card": None,
            "versions": {},
        }
        return cls(
            volume=volume,
            measured=measured,
            rows=row0 + np.arange(rows),
            method=method,
            parameters=dict(parameters or {}),
            theta_rad=np.asarray(theta_rad, float),
            center=float(center),
            roll_deg=float(roll_deg),
            columns=int(columns),
            raw_rows=row0 + rows if raw_rows is None else int(raw_rows),
            pixel_size=pixel_size,
            **(defaults | recorded),
        )

    @property
    def units(self) -> str:
        """Units of the volume: "1/pixel" or "1/um"."""
        return "1/pixel" if self.pixel_size is None else "1/um"

    @property
    def row0(self) -> int:
        """Row of the raw stack that is row 0 here."""
        return int(self.rows[0])

    @property
    def views(self) -> int:
        """Number of views."""
        return len(self.theta_rad)

    @property
    def wedge(self) -> Wedge:
        """The missing wedge."""
        return Wedge.from_angles(self.theta_rad)

    @property
    def geometry(self) -> ParallelGeometry:
        """Geometry of each row."""
        return ParallelGeometry.create(self.theta_rad, self.columns, self.center)

    @property
    def stats(self) -> dict[str, np.ndarray]:
        """Statistics of the loop: ``iterations`` (rows,); ``residual``, ``change`` (rows, iterations)."""
        return {
            "iterations": self.iterations,
            "residual": self.residual_history,
            "change": self.change_history,
        }

    @property
    def label(self) -> str:
        """The method; for the published loop also the prior, because it need not be the published one."""
        if self.method == "pfitre-original":
            return f"{self.method} with the prior {self.parameters['prior']}"
        return self.method

    @property
    def middle(self) -> int:
        """Index of the middle row in the volume, whose sinogram and residual are kept."""
        return len(self.rows) // 2

    @property
    def all_diverged(self) -> bool:
        """Whether every row diverged."""
        return bool(np.all(self.status == int(Status.DIVERGED)))

    def summary(self) -> dict[str, Any]:
        """Content of ``summary.json``; lists have an entry for each row."""
        return {
            "method": self.method,
            "label": self.label,
            "parameters": self.parameters,
            "rows": self.rows,
            "residual": self.residual,
            "status": ["unknown" if s == UNKNOWN else Status(int(s)).text for s in self.status],
            "iterations": self.iterations,
            "supplied": self.supplied,
            "domain_score": self.domain_score,
            "residual_statistics": self.residual_statistics,
            "resolution": self.resolution,
            "validation": self.validation,
            "intervals": self.intervals,
            "center": self.center,
            "roll_deg": self.roll_deg,
            "wedge_deg": self.wedge.width_deg,
            "wedge_center_deg": self.wedge.center_deg,
            "views": self.views,
            "support": {"description": self.support_text, "share": float(self.support.mean())},
            "selection": self.selection,
            **self.corrections(),
            "scale": self.scale,
            "units": self.units,
            "chunk": self.chunk,
            **self.timings,
            "device": self.device,
            "prior_card": self.prior_card,
            "versions": self.versions,
            "warnings": self.warnings,
            "scan": self.provenance,
        }

    def corrections(self) -> dict[str, Any]:
        """Statistics of ``gains``, ``stripes`` and ``robust``, where they were estimated.

        Returns:
            For each of them: ``views`` or ``columns``, (rows,), the number of views or columns that were
            corrected in a row (for ``robust``: whose weight is below 0.5); ``often``, the indices of those
            corrected in at least half of the rows; and ``by``, the median gain, offset or weight of each of
            these over the rows in which it was corrected. Indices count the views that were used.
        """
        statistics: dict[str, Any] = {}
        for name, unit, values, corrected in (
            ("gains", "views", self.gains, self.gains != 1),
            ("stripes", "columns", self.stripes, self.stripes != 0),
            ("robust", "views", self.view_weights, self.view_weights < 0.5),
        ):
            if not values.shape[1]:
                continue
            often = np.flatnonzero(corrected.mean(axis=0) >= 0.5)
            by = [float(np.median(values[corrected[:, k], k])) for k in often]
            statistics[name] = {unit: corrected.sum(axis=1), "often": often, "by": by}
        return statistics

    def save(
        self,
        folder: str | os.PathLike,
        *,
        formats: Sequence[str] = FORMATS,
        command: str = "",
        writers: Mapping[str, Callable[[Path], None]] | None = None,
        extra: Mapping[str, Any] | None = None,
        obsolete: Sequence[str] = (),
        overwrite: bool = False,
    ) -> list[Path]:
        """Writes ``recon.h5``, ``summary.json`` and the slices in other formats: all files appear, or none.

        Files of an earlier result are replaced, and its slices in further formats are removed.

        Args:
            folder: Folder for the files; created if it does not exist.
            formats: Formats of the slices: "tiff", "ome-zarr" and "mrc"; "hdf5" is always written.
            command: Command line to record in ``recon.h5``.
            writers: Functions that write further files, by file name.
            extra: Additional entries of the summary.
            obsolete: Names of further files of an earlier result that are removed.
            overwrite: Whether files that this package did not write are replaced, too.

        Returns:
            The paths of the files.

        Raises:
            FileExistsError: A file was not written by this package.
            ValueError: A format is unknown, or its package is not installed.
            OSError: The folder cannot be written.
        """
        content = {"creator": MARK} | self.summary() | dict(extra or {})
        summary = json.dumps(jsonable(content), indent=2) + "\n"
        attributes = vars(self) | {"row0": self.row0, "units": self.units}
        result_writers: dict[str, Callable[[Path], Any]] = {
            "recon.h5": functools.partial(write_recon_file, result=attributes, command=command),
            **self._export_writers(formats, "slices"),
            # Last, because a complete summary states that the result is complete.
            **dict(writers or {}),
            "summary.json": lambda path: path.write_text(summary, encoding="utf-8"),
        }
        check_replaceable(folder, result_writers, overwrite=overwrite)
        removed = [name for name in (*export_names(), *obsolete) if has_mark(Path(folder) / name)]
        return write_files(folder, result_writers, obsolete=removed)

    def export(
        self,
        folder: str | os.PathLike,
        formats: Sequence[str],
        *,
        image: str = "slices",
        overwrite: bool = False,
    ) -> list[Path]:
        """Writes slices in formats that other programs open: all files appear, or none.

        Args:
            folder: Folder for the files; created if it does not exist.
            formats: Formats: "tiff", "ome-zarr" and "mrc".
            image: "slices", their "measured" or "supplied" component, or the "lower" or "upper" limit of the
                intervals.
            overwrite: Whether files that this package did not write are replaced, too.

        Returns:
            The paths of the files: ``recon.tif``, or ``recon_measured.tif``, and so on.

        Raises:
            FileExistsError: A file was not written by this package.
            ValueError: A format or image is unknown, the package of a format is not installed, or the result
                has no such image.
            OSError: The folder cannot be written.
        """
        writers = self._export_writers(formats, image, with_hdf5=False)
        check_replaceable(folder, writers, overwrite=overwrite)
        return write_files(folder, writers)

    def stack(self, image: str = "slices") -> ImageStack:
        """Slices, or images that belong to them, to write them by a writer of :mod:`pfitre_jax.data.writers`.

        Args:
            image: "slices", "measured", "supplied", "lower" or "upper".

        Raises:
            ValueError: The image is unknown, or the result does not have it.
        """
        stored = {
            "slices": self.volume,
            "measured": self.measured,
            "lower": self.lower,
            "upper": self.upper,
        }
        return ImageStack(
            self.volume.shape,
            read_image(image, stored),
            pixel_size=self.pixel_size,
            row0=self.row0,
            name=image,
            units=self.units,
            attributes={"method": self.method, "parameters": jsonable(self.parameters)},
        )

    def _export_writers(
        self, formats: Sequence[str], image: str, *, with_hdf5: bool = True
    ) -> dict[str, Callable[[Path], None]]:
        """Functions that write the stack of an image, by file name."""
        stack = self.stack(image)
        return {
            export_name(image, writer): functools.partial(writer.write, stack=stack)
            for writer in find_writers(formats, with_hdf5=with_hdf5)
        }


def read_result(path: str | os.PathLike, *, lazy: bool = False) -> Result:
    """The result in a ``recon.h5``.

    Args:
        path: The file, or the folder that ``pfitre recon --out`` wrote. Files of version 0.2 contain only
            volume, geometry and parameters.
        lazy: Whether the volumes stay in the file, and single slices are read when they are needed; this
            raises :class:`pfitre_jax.runtime.file_version.FileReplaced` once the file was replaced.

    Raises:
        FileNotFoundError: There is no such file or folder, or no ``recon.h5`` in the folder.
        ValueError: The file was not written by :meth:`Result.save`.
    """
    return Result.of_volume(**read_recon_file(Path(path), lazy=lazy))
