"""Scans from files: read into memory, or opened and read on demand."""

from __future__ import annotations

import dataclasses
import numbers
import os
from collections.abc import Callable

import numpy as np

from pfitre_jax.data.checks import check_columns
from pfitre_jax.data.lazy_scan import open_lazily
from pfitre_jax.data.preprocess import leave_out_blank_views, to_scan
from pfitre_jax.data.readers.registry import open_raw, read_raw
from pfitre_jax.data.roll import correct_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.selection import resolve_views
from pfitre_jax.data.sign import check_sign
from pfitre_jax.estimation import opposite_views, residual_search
from pfitre_jax.estimation.air import check_air, with_air
from pfitre_jax.estimation.calibrate import sample_rows
from pfitre_jax.estimation.roll import find_roll
from pfitre_jax.reconstruction.scan_axis import describe_roll, with_roll

#: Size of the projections, bytes, above which a preview reads a part of the rows; number of bins of this
#: part, and its smallest number of rows.
PREVIEW_BYTES, PREVIEW_BINS, PREVIEW_ROWS = 2**30, 2**20, 4


def load_scan(
    path: str | os.PathLike,
    *,
    angles: str | os.PathLike | None = None,
    angle_unit: str | None = None,
    element: str | None = None,
    dataset: str | None = None,
    theta_path: str | None = None,
    axis_order: str | None = None,
    data: str | None = None,
    center: float | str | None = None,
    roll: float | str = 0.0,
    air: float | str | None = "auto",
    pixel_size: float | None = None,
    views: slice | str | None = None,
    exclude_views: slice | str | None = None,
    mask_nan: bool = False,
) -> Scan:
    """Reads a scan into memory and converts it to line integrals.

    Args:
        path: Scan file, or folder with one file for each view, in one of the formats of the page "Scan
            files".
        angles: CSV file with one angle for each view; needed for a TIFF stack.
        angle_unit: Unit of the angles, a key of :data:`pfitre_jax.data.readers.angle_units.RADIANS` such as
            "deg", "rad" or "mrad"; None for the one that the file states, else degrees.
        element: Name of the channel to read, such as "Cu", of a file with several elements.
        dataset: Dataset of the projections of an HDF5 file, if its layout is not known.
        theta_path: Dataset or attribute ("/group@name") of the angles of an HDF5 file.
        axis_order: Names of the axes of the stored projections, such as "row,column,view".
        data: "counts", "transmission" or "absorption"; by default counts where the file holds flats, else
            absorption.
        center: Detector index of the rotation axis. None or "auto": the value in the file; without one,
            :func:`reconstruct` estimates it.
        roll: In-plane roll of the rotation axis, degrees, which is corrected; "auto" estimates it.
        air: Line integral of the air beside the sample, which is subtracted; "auto" estimates it
            (:func:`pfitre_jax.estimation.air.estimate_air`); None or "none" subtracts nothing.
        pixel_size: Size of a detector bin, micrometres; None for the one that the file states.
        views: Views to use, ``slice`` or "A:B[:S]", counted as in the file.
        exclude_views: Views not to use, counted as in the file.
        mask_nan: Whether NaN and infinite bins are masked instead of refused.

    Raises:
        FileNotFoundError: A file does not exist.
        OSError: A file cannot be read.
        ValueError: The content or an argument is invalid; the message states the fix.
    """
    center_value = _center(center)
    if not isinstance(roll, numbers.Real) and roll != "auto":
        raise ValueError(f"roll is {roll!r}; expected a number or 'auto'")
    check_air(air)
    raw = read_raw(
        path,
        angles,
        angle_unit,
        data,
        element=element,
        dataset=dataset,
        theta_path=theta_path,
        axis_order=axis_order,
    )
    check_columns(raw.projections.shape[2])
    used = resolve_views(views, exclude_views, raw.projections.shape[0])

    def prepare(roll_deg: float) -> Scan:
        # The alignment that a file states is applied in the same interpolation as the roll.
        together = raw.transforms is not None
        scan = to_scan(
            raw,
            center=center_value,
            pixel_size=pixel_size,
            mask_nan=mask_nan,
            roll_deg=roll_deg if together else 0.0,
        )
        scan = leave_out_blank_views(scan.take_views(used))
        return with_air(correct_roll(scan, roll_deg) if roll_deg and not together else scan, air)

    scan = prepare(0.0 if isinstance(roll, str) else float(roll))
    check_sign(scan)
    if not isinstance(roll, str):
        return scan
    if raw.transforms is None:
        return with_roll(scan)
    estimate = find_roll(scan)
    return prepare(estimate.value).with_provenance(roll=describe_roll(estimate))


def open_scan(
    path: str | os.PathLike,
    *,
    angles: str | os.PathLike | None = None,
    angle_unit: str | None = None,
    element: str | None = None,
    dataset: str | None = None,
    theta_path: str | None = None,
    axis_order: str | None = None,
    data: str | None = None,
    center: float | str | None = None,
    roll: float = 0.0,
    air: float | str | None = "auto",
    pixel_size: float | None = None,
    views: slice | str | None = None,
    exclude_views: slice | str | None = None,
    mask_nan: bool = False,
    preview: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scan:
    """Opens a scan whose rows are read on demand, so that it may be larger than memory.

    All rows are read twice, a few at a time. An unknown centre is estimated from a sample of the rows.

    Args:
        path: See :func:`load_scan`, as for the other arguments.
        angles: CSV file with one angle for each view.
        angle_unit: Unit of the angles.
        element: Name of the channel.
        dataset: Dataset of the projections.
        theta_path: Dataset or attribute of the angles.
        axis_order: Names of the axes of the stored projections.
        data: "counts", "transmission" or "absorption".
        center: Detector index of the rotation axis, None or "auto".
        roll: In-plane roll of the rotation axis, degrees; it must be known.
        air: Line integral of the air beside the sample, "auto" or "none".
        pixel_size: Size of a detector bin, micrometres; None for the one that the file states.
        views: Views to use.
        exclude_views: Views not to use.
        mask_nan: Whether NaN and infinite bins are masked instead of refused.
        preview: Whether a scan of more than :data:`PREVIEW_BYTES` is represented by some of its rows, spread
            over it, with about :data:`PREVIEW_BINS` bins; ``provenance["rows"]`` states them.
        progress: Called with the number of rows read and the number of rows.

    Raises:
        FileNotFoundError: A file does not exist.
        OSError: A file cannot be read.
        ValueError: The content or an argument is invalid; the message states the fix.
    """
    center_value = _center(center)
    if not isinstance(roll, numbers.Real):
        raise ValueError(f"roll is {roll!r}; expected a number, because the scan is not read into memory")
    check_air(air)
    raw = open_raw(
        path,
        angles,
        angle_unit,
        data,
        element=element,
        dataset=dataset,
        theta_path=theta_path,
        axis_order=axis_order,
    )
    check_columns(raw.projections.shape[2])
    count, all_rows, columns = raw.projections.shape
    if preview and raw.nbytes > PREVIEW_BYTES and raw.transforms is None:
        part = raw.sample_rows(max(PREVIEW_BINS // (count * columns), PREVIEW_ROWS))
        text = f"{part.projections.shape[1]} of {all_rows}, spread over the scan; warnings count these rows"
        raw = dataclasses.replace(part, provenance={**part.provenance, "rows": text})
    rows = raw.projections.shape[1]
    spread = np.linspace(0, rows - 1, min(rows, opposite_views.ROWS)).round().astype(int)
    used = resolve_views(views, exclude_views, raw.projections.shape[0])
    scan = open_lazily(
        raw,
        used_views=used,
        center=center_value,
        roll_deg=roll,
        pixel_size=pixel_size,
        mask_nan=mask_nan,
        kept_rows=np.union1d(sample_rows(rows), spread),
        strongest_rows=residual_search.ROWS,
        progress=progress,
    )
    scan = with_air(leave_out_blank_views(scan), air)
    check_sign(scan)
    return dataclasses.replace(scan, raw_rows=all_rows)


def _center(center: float | str | None) -> float | None:
    """A number, or None for "auto"."""
    if center is None or center == "auto":
        return None
    if not isinstance(center, numbers.Real):
        raise ValueError(f"center is {center!r}; expected a number or 'auto'")
    return float(center)
