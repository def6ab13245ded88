"""Real scans, and their reduction: rows, angular range, counts.

The files lie in ``PFITRE_DATA`` (default ``../shared/data``). SOURCE.txt in each folder names their origin.
"""

from __future__ import annotations

import dataclasses

import numpy as np

import pfitre_jax as pf
from experiments.common.missing_data import exit_without_data
from pfitre_jax.data import RawScan, read_raw, subtract_edge_lines, to_scan
from pfitre_jax.estimation import estimate_air, register
from pfitre_jax.twin import data_folder

#: Columns of air at each edge of the full-angle scans.
AIR_COLUMNS = 20
CHIP = "cu23_hxn_xrf/Cu_example_23_LimitedAngle"
#: Rotation axis (detector index) and roll (degrees) that the original authors used for the chip.
CHIP_CENTER, CHIP_ROLL_DEG = 75.0, 1.5
CATALYST = "stxm_catalyst_i18/stxm_catalyst.npz"
#: Rotation axis of the catalyst, detector index; SOURCE.txt gives "46 to 50".
CATALYST_CENTER = 48.0


@dataclasses.dataclass(frozen=True)
class FullAngleSample:
    """Scan of counts over 180 degrees, views sorted by angle, sample always inside the field of view.

    Attributes:
        file: Path below the data folder.
        center: Rotation axis (from SOURCE.txt), detector index.
        bins: Neighbouring columns that are summed first.
        rows: Rows that are evaluated.
        prior: Name of the prior for ``pfitre``.
    """

    file: str
    center: float
    bins: int
    rows: tuple[int, ...]
    prior: str = "general"

    def first_angle_deg(self, missing_deg: float) -> float:
        """First angle that is kept, so that the central views are."""
        return missing_deg / 2


@dataclasses.dataclass(frozen=True)
class ReferencedSample:
    """Scan of line integrals over at least 180 degrees, with an image from all its views in the same file.

    Attributes:
        file: Path below the data folder; SOURCE.txt beside it describes its arrays.
    """

    file: str

    def first_angle_deg(self, missing_deg: float) -> float:
        """First angle that is kept: the first one."""
        return 0.0

    def has_segmentation(self) -> bool:
        """Whether the file has a segmentation of the sample."""
        with np.load(data_folder() / self.file) as file:
            return SEGMENTATION in file.files


# Rows that were used to choose a default of the package are excluded.
I13 = FullAngleSample("i13_tomo_standard/i13_24737.npz", 85.8, 1, tuple(range(82, 114, 2)))
TOOTH = FullAngleSample("tooth_aps2bm/tooth.h5", 295.9, 3, (0, 1))
#: Folder of scans with an image from all their views.
REFERENCED = "real_full_angle"
#: Names of those scans by file; another one is named after its file.
NAMES = {"heatsink": "heat sink", "walnut0": "walnut", "wood": "wood", "htc_04b_256": "disc 04b"}
#: Arrays of such a file, and the optional one of its official segmentation.
ARRAYS = ("projections", "theta_deg", "center", "reference", "support")
SEGMENTATION = "truth"


def full_angle_samples() -> dict[str, FullAngleSample | ReferencedSample]:
    """The available scans that are compared with an image from all their views, by name.

    i13, the tooth, and every file of :data:`REFERENCED` in the data folder: a new scan is a new file there.
    """
    own = {"i13": dataclasses.replace(I13, rows=(82, 83)), "tooth": dataclasses.replace(TOOTH, rows=(0,))}
    samples: dict[str, FullAngleSample | ReferencedSample] = {
        name: sample for name, sample in own.items() if is_available(sample.file)
    }
    for path in sorted((data_folder() / REFERENCED).glob("*.npz")):
        name = NAMES.get(path.stem, path.stem.replace("_", " "))
        samples[name] = ReferencedSample(f"{REFERENCED}/{path.name}")
    return samples


def is_available(file: str) -> bool:
    """Whether a file exists in the data folder; prints a message if it does not."""
    available = (data_folder() / file).is_file()
    if not available:
        print(
            f"{file} not found in {data_folder()}: skipped. Set PFITRE_DATA to the folder of the real scans."
        )
    return available


def require_chip() -> None:
    """Exit with code 2 and a message if Cu_23 is not in the data folder."""
    file = f"{CHIP}.tiff"
    if not (data_folder() / file).is_file():
        exit_without_data(file)


def load_full_angle(sample: FullAngleSample, share: float = 1.0, seed: int = 0) -> pf.Scan:
    """Selected rows of a sample with all views, as if only ``share`` of the counts had been recorded.

    Detector readings above dark are treated as photons (see :func:`thin_counts`), which is right for a
    detector gain of about 1. Flat field, dark field and the drift of the beam, which is estimated from the
    air beside the sample, keep all counts.
    """
    raw = sum_columns(read_raw(data_folder() / sample.file), sample.bins)
    center = (sample.center - (sample.bins - 1) / 2) / sample.bins
    full = to_scan(raw, center=center)
    air = full.projections - subtract_edge_lines(full, AIR_COLUMNS).projections
    scan = full if share == 1 else to_scan(thin_counts(raw, share, seed), center=center)
    scan = scan.with_projections(np.where(scan.mask, scan.projections - air, 0))
    return scan.take_rows(sample.rows)


@dataclasses.dataclass(frozen=True, eq=False)
class ReferencedScan:
    """Contents of the file of a :class:`ReferencedSample`.

    Attributes:
        scan: The scan with all its views.
        images: (rows, n, n), reference images.
        support: (n, n), the pixels to compare.
        segmentation: (n, n), official segmentation of the sample; None if the file has none.
    """

    scan: pf.Scan
    images: np.ndarray
    support: np.ndarray
    segmentation: np.ndarray | None


def load_referenced(sample: ReferencedSample) -> ReferencedScan:
    """Reads a scan of line integrals and its reference.

    Raises:
        ValueError: The file lacks an array.
    """
    path = data_folder() / sample.file
    with np.load(path) as file:
        missing = [name for name in ARRAYS if name not in file.files]
        if missing:
            raise ValueError(
                f"{path} has no array {', '.join(missing)}; expected {', '.join(ARRAYS)}: add them, or "
                "remove the file"
            )
        theta = np.deg2rad(file["theta_deg"].astype(float))
        scan = pf.Scan.create(file["projections"], theta, center=float(file["center"]))
        segmentation = file[SEGMENTATION] > 0 if SEGMENTATION in file.files else None
        images = file["reference"].astype(np.float32)
        return ReferencedScan(scan, images, file["support"][0] > 0, segmentation)


def thin_counts(raw: RawScan, share: float, seed: int) -> RawScan:
    """Counts with ``share`` of their photons, rescaled: ``Binomial(p - dark, share)/share + dark``."""
    photons = np.maximum(np.round(raw.projections - raw.dark), 0).astype(np.int64)
    kept = np.random.default_rng(seed).binomial(photons, share)
    return dataclasses.replace(raw, projections=kept / share + raw.dark)


def sum_columns(raw: RawScan, bins: int) -> RawScan:
    """Counts summed over groups of ``bins`` neighbouring columns; remaining columns are dropped."""

    def add(counts):
        kept = counts[..., : counts.shape[-1] // bins * bins]
        return kept.reshape(*kept.shape[:-1], -1, bins).sum(axis=-1, dtype=float)

    return dataclasses.replace(raw, projections=add(raw.projections), flat=add(raw.flat), dark=add(raw.dark))


def limit_angle(scan: pf.Scan, missing_deg: float) -> pf.Scan:
    """Central views of a scan of 180 degrees, so that ``missing_deg`` are missing, rounded to whole views."""
    spacing_deg = np.rad2deg(np.median(np.diff(scan.theta_rad)))
    kept = round((180 - missing_deg) / float(spacing_deg))
    first = (scan.views - kept) // 2
    return scan.select_views(slice(first, first + kept))


def limit_range(scan: pf.Scan, missing_deg: float, first_deg: float = 0.0) -> pf.Scan:
    """Views of the first 180 degrees whose angle is less than ``180 - missing_deg`` after ``first_deg``.

    Args:
        scan: Scan of at least 180 degrees.
        missing_deg: Angular range that is removed.
        first_deg: First angle that is kept, relative to the first view. The range continues modulo 180
            degrees.
    """
    within, kept = _in_range(scan, missing_deg, first_deg)
    return scan.take_views(np.flatnonzero(within & kept))


def removed_views(scan: pf.Scan, missing_deg: float, first_deg: float = 0.0) -> pf.Scan:
    """The other views of the first 180 degrees, without the air level of the views that are kept.

    Args:
        scan: As in :func:`limit_range`, with the air that it was measured with.
        missing_deg: As in :func:`limit_range`.
        first_deg: As in :func:`limit_range`.
    """
    within, kept = _in_range(scan, missing_deg, first_deg)
    air = estimate_air(scan.take_views(np.flatnonzero(within & kept)))
    return pf.with_air(scan.take_views(np.flatnonzero(within & ~kept)), air)


def _in_range(scan: pf.Scan, missing_deg: float, first_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Masks (views,) of the first 180 degrees, and of the angles that are kept."""
    angles_deg = np.rad2deg(scan.theta_rad - scan.theta_rad[0])
    # Angles are rounded when they are converted.
    tolerance = 1e-4
    after = (angles_deg - first_deg + tolerance) % 180
    return angles_deg < 180 - tolerance, after < 180 - missing_deg


def load_chip(center: float, roll_deg: float = 0.0, **views) -> pf.Scan:
    """Cu_23, corrected for roll; ``views`` selects views as in :func:`pfitre_jax.load_scan`."""
    file = data_folder() / CHIP
    return pf.load_scan(
        file.with_suffix(".tiff"), angles=file.with_suffix(".csv"), center=center, roll=roll_deg, **views
    )


def load_catalyst() -> pf.Scan:
    """Catalyst particle in a capillary (scanning microprobe), views sorted by angle, each view misaligned.

    Each row of each view is normalised by its brightest bin, which is air.
    """
    with np.load(data_folder() / CATALYST) as file:
        transmission = file["transmission"] / file["transmission"].max(axis=2, keepdims=True)
        order = np.argsort(file["theta_deg"])
        theta = np.deg2rad(file["theta_deg"][order].astype(float))
    return pf.Scan.create(-np.log(transmission[order]).astype(np.float32), theta, center=CATALYST_CENTER)


def prediction_error(result: pf.Result, held_out: pf.Scan) -> float:
    """``||M(A x - y)|| / ||M y||`` over held-out views, all rows together.

    The error is taken in the frame of ``held_out``: the frame of the result, or the raw frame if its roll is
    not corrected. Bins of the raw frame that the result does not cover are excluded.
    """
    errors, data = _squared_norms(result, held_out)
    return float(np.sqrt(errors.sum() / data.sum()))


def prediction_errors(result: pf.Result, held_out: pf.Scan) -> np.ndarray:
    """:func:`prediction_error` of each row of ``held_out``, (rows,); NaN for a row without signal."""
    errors, data = _squared_norms(result, held_out)
    return np.sqrt(errors / np.where(data > 0, data, np.nan))


def registered_prediction_error(result: pf.Result, held_out: pf.Scan, motion: pf.Motion) -> float:
    """:func:`prediction_error` in the raw frame of a scan with view shifts.

    The shifts of the held-out views along columns and rows are fitted to the predicted views by registration.

    Args:
        result: Reconstruction of the other, aligned views.
        held_out: Held-out views as measured.
        motion: Motion of the other views; its centre and roll also apply to the held-out views.
    """
    predicted = pf.project_result(result, held_out.theta_rad, roll_deg=0.0)
    start = pf.Motion.none(held_out.theta_rad, motion.center, motion.roll_deg)
    moved, covered = register(held_out, predicted, start).undo(
        np.nan_to_num(predicted), np.isfinite(predicted)
    )
    valid = held_out.mask & covered
    error = np.linalg.norm((moved - held_out.projections)[valid])
    return float(error / np.linalg.norm(held_out.projections[valid]))


def _squared_norms(result: pf.Result, held_out: pf.Scan) -> tuple[np.ndarray, np.ndarray]:
    """``||A x - y||^2`` and ``||y||^2`` of each row, (rows,), over bins that are measured and predicted."""
    roll_deg = 0.0 if held_out.roll_deg else None
    predicted = pf.project_result(result, held_out.theta_rad, roll_deg=roll_deg)
    valid = held_out.mask & np.isfinite(predicted)
    error = np.where(valid, predicted - held_out.projections, 0)
    data = np.where(valid, held_out.projections, 0)
    # Axes: views, rows, columns.
    return np.sum(error**2, axis=(0, 2)), np.sum(data**2, axis=(0, 2))
