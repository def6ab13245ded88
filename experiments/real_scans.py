"""The real scans beside the project, and how they are cut down: rows, angles, views, counts.

They lie in ``PFITRE_DATA`` (default ``../shared/data``); SOURCE.txt beside each says where it is from.
"""

from __future__ import annotations

import dataclasses

import numpy as np

import pfitre_jax as pf
from pfitre_jax.data import RawScan, read_raw, subtract_air, to_scan
from pfitre_jax.estimation.alignment import register
from pfitre_jax.twin import data_folder

#: Columns of air at either edge of the full-angle scans.
AIR = 20
CHIP = "cu23_hxn_xrf/Cu_example_23_LimitedAngle"
#: The original authors' rotation axis and roll of it, detector index and degrees.
CHIP_CENTER, CHIP_ROLL_DEG = 75.0, 1.5
CATALYST = "stxm_catalyst_i18/stxm_catalyst.npz"
#: Its rotation axis as SOURCE.txt has it, "46 to 50", detector index.
CATALYST_CENTER = 48.0


@dataclasses.dataclass(frozen=True)
class FullAngle:
    """A scan of counts over 180 degrees, in the order of its angles, of a sample that stays in the field.

    file: under the data folder; center: rotation axis (SOURCE.txt), detector index
    bins: neighbouring columns that are added up first; rows: those that are judged
    prior: of ``pfitre``
    """

    file: str
    center: float
    bins: int
    rows: tuple[int, ...]
    prior: str = "general"


#: Without the rows that a default of the package was chosen on.
I13 = FullAngle("i13_tomo_standard/i13_24737.npz", 85.8, 1, tuple(range(82, 114, 2)))
TOOTH = FullAngle("tooth_aps2bm/tooth.h5", 295.9, 3, (0, 1))


def is_there(file: str) -> bool:
    """Whether a file is in the data folder; says so where it is not."""
    there = (data_folder() / file).is_file()
    if not there:
        print(f"{file} is not in {data_folder()}: left out (set PFITRE_DATA to the folder of the data)")
    return there


def require_chip() -> None:
    """Leave with exit code 2, and a line that says why, where Cu_23 is not in the data folder."""
    if not is_there(f"{CHIP}.tiff"):
        raise SystemExit(2)


def full_angle(sample: FullAngle, share: float = 1.0, seed: int = 0) -> pf.Scan:
    """The rows of ``sample`` with all views, as if ``share`` of the counts had been taken.

    What the detector reads above its dark is taken for photons, see :func:`thin`: right where its gain is
    about 1. Flat, dark and the beam's change since the flat, read off the air beside the sample, are those of
    all counts.
    """
    raw = _binned(read_raw(data_folder() / sample.file), sample.bins)
    center = (sample.center - (sample.bins - 1) / 2) / sample.bins
    plain = to_scan(raw, center=center)
    air = plain.projections - subtract_air(plain, AIR).projections
    scan = plain if share == 1 else to_scan(thin(raw, share, seed), center=center)
    scan = scan.with_projections(np.where(scan.mask, scan.projections - air, 0))
    return rows_of(scan, sample.rows)


def thin(raw: RawScan, share: float, seed: int) -> RawScan:
    """Counts with ``share`` of their photons, scaled back: ``Binomial(p - dark, share)/share + dark``."""
    photons = np.maximum(np.round(raw.projections - raw.dark), 0).astype(np.int64)
    kept = np.random.default_rng(seed).binomial(photons, share)
    return dataclasses.replace(raw, projections=kept / share + raw.dark)


def _binned(raw: RawScan, bins: int) -> RawScan:
    """Counts of ``bins`` neighbouring columns added up; columns that are left over are cut off."""

    def add(counts):
        kept = counts[..., : counts.shape[-1] // bins * bins]
        return kept.reshape(*kept.shape[:-1], -1, bins).sum(axis=-1, dtype=float)

    return dataclasses.replace(raw, projections=add(raw.projections), flat=add(raw.flat), dark=add(raw.dark))


def limited(scan: pf.Scan, missing_deg: float) -> pf.Scan:
    """The middle views of a scan of 180 degrees; a wedge as wide as whole views make it."""
    spacing_deg = np.rad2deg(np.median(np.diff(scan.theta_rad)))
    kept = round((180 - missing_deg) / float(spacing_deg))
    first = (scan.views - kept) // 2
    return scan.select_views(slice(first, first + kept))


def rows_of(scan: pf.Scan, rows) -> pf.Scan:
    """Rows from anywhere in the scan, as a scan of their own."""
    return scan.take_rows(list(rows))


def chip(center: float, roll_deg: float = 0.0, **views) -> pf.Scan:
    """Cu_23, its roll mended; ``views`` as in :func:`pfitre_jax.load_scan`."""
    file = data_folder() / CHIP
    return pf.load_scan(
        file.with_suffix(".tiff"), angles=file.with_suffix(".csv"), center=center, roll=roll_deg, **views
    )


def catalyst() -> pf.Scan:
    """A particle in a capillary by a scanning microprobe, in the order of its angles; no two views lie alike.

    Line integrals against the brightest bin of each row of each view: its air.
    """
    with np.load(data_folder() / CATALYST) as file:
        seen = file["transmission"] / file["transmission"].max(axis=2, keepdims=True)
        order = np.argsort(file["theta_deg"])
        theta = np.deg2rad(file["theta_deg"][order].astype(float))
    return pf.Scan.create(-np.log(seen[order]).astype(np.float32), theta, center=CATALYST_CENTER)


def prediction_error(result: pf.Result, hidden: pf.Scan) -> float:
    """``norm(M(Ax - y))/norm(My)`` over views that the reconstruction did not see, all rows together.

    In the frame of ``hidden``: that of the result, or the raw one, where its roll is not mended. Bins of the
    raw frame that the result does not reach are left out.
    """
    missed, measured = _squares(result, hidden)
    return float(np.sqrt(missed.sum() / measured.sum()))


def prediction_errors(result: pf.Result, hidden: pf.Scan) -> np.ndarray:
    """:func:`prediction_error` of each row of ``hidden``, (rows,); NaN of one without any signal."""
    missed, measured = _squares(result, hidden)
    return np.sqrt(missed / np.where(measured > 0, measured, np.nan))


def registered_error(result: pf.Result, hidden: pf.Scan, motion: pf.Motion) -> float:
    """:func:`prediction_error` in the raw frame, of a scan whose views moved.

    The hidden views' own shifts, along columns and rows, are fitted to what is predicted, by registration
    alone, however the others lie.

    motion: of the views that were seen; centre and roll of it are the hidden ones' too
    """
    ideal = pf.project_result(result, hidden.theta_rad, roll_deg=0.0)
    own = register(hidden, ideal, pf.Motion.none(hidden.theta_rad, motion.center, motion.roll_deg))
    raw, known = own.undo(np.nan_to_num(ideal), np.isfinite(ideal))
    valid = hidden.mask & known
    error = np.linalg.norm((raw - hidden.projections)[valid])
    return float(error / np.linalg.norm(hidden.projections[valid]))


def _squares(result: pf.Result, hidden: pf.Scan) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squares of each row, ``Ax - y`` and ``y``, over what is measured and predicted."""
    turned = 0.0 if hidden.roll_deg else None
    predicted = pf.project_result(result, hidden.theta_rad, roll_deg=turned)
    valid = hidden.mask & np.isfinite(predicted)
    missed = np.where(valid, predicted - hidden.projections, 0)
    # Views first, rows next.
    return np.sum(missed**2, axis=(0, 2)), np.sum(np.where(valid, hidden.projections, 0) ** 2, axis=(0, 2))
