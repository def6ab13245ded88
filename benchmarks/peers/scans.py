"""Scans of the comparison: one slice each, with an image to compare with."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import map_coordinates

import pfitre_jax as pf
from experiments.common.comparison import scan_with_reference
from experiments.common.real_scans import ReferencedSample, full_angle_samples, limit_range

#: Simulated scans: kind of scene, degrees missing, noise, views.
TWIN = (
    ("circuits", 96.0, 0.01, 51),
    ("circuits", 60.0, 0.003, 90),
    ("drilled_disc", 90.0, 0.005, 90),
    ("foam", 90.0, 0.005, 90),
)
#: Degrees that are missing in the measured scans.
MISSING_DEG = 90.0
#: Seed of the simulated scans; no training uses it.
SEED = 90210


@dataclasses.dataclass(frozen=True)
class PeerScan:
    """One slice of a limited-angle scan, in units in which the 99.5th percentile of the image is 1.

    Attributes:
        name: Name in tables.
        sinogram: (views, columns), line integrals over lengths in bins.
        theta_rad: (views,), angles; rays are ``x cos + y sin = t`` with ``y`` upwards.
        center: Detector index of the rotation axis.
        image: (n, n), truth, or the reconstruction from all views.
        support: (n, n), pixels that are compared.
        measured: Whether the scan is a measured one.
    """

    name: str
    sinogram: Float[np.ndarray, "views columns"]
    theta_rad: Float[np.ndarray, " views"]
    center: float
    image: Float[np.ndarray, "n n"]
    support: Bool[np.ndarray, "n n"]
    measured: bool = False

    @property
    def columns(self) -> int:
        """Number of detector columns, which is also the width of the images that are asked for."""
        return self.sinogram.shape[1]

    def geometry(self) -> pf.ParallelGeometry:
        """Geometry of all views."""
        return pf.ParallelGeometry.create(self.theta_rad, self.columns, self.center)

    def resampled(self, center: np.ndarray | float) -> Float[np.ndarray, "views columns"]:
        """The sinogram with the rotation axis at another detector index, by cubic splines.

        Args:
            center: The index, one for all views or (views,).
        """
        views, columns = self.sinogram.shape
        shift = np.broadcast_to(self.center - np.asarray(center, float), views)
        index = np.arange(columns) + shift[:, None]
        rows = np.broadcast_to(np.arange(views)[:, None], index.shape)
        return map_coordinates(self.sinogram, [rows, index], order=3, mode="nearest").astype(np.float32)

    def psnr(self, image: Float[np.ndarray, "ny nx"]) -> float:
        """PSNR of an image on the support, dB, with the range 1; larger images are cropped."""
        error = (cropped(image, len(self.image)) - self.image)[self.support]
        return float(-10 * np.log10(np.mean(error**2)))


def cropped(image: Float[np.ndarray, "ny nx"], n: int) -> Float[np.ndarray, "n n"]:
    """The central ``n x n`` pixels of an image, which is padded with zeros if it is smaller."""
    missing = max(0, n - image.shape[0])
    image = np.pad(image, [(missing // 2, missing - missing // 2)] * 2)
    first = (image.shape[0] - n) // 2
    return image[first : first + n, first : first + n]


def simulated_scans() -> list[PeerScan]:
    """The scans of :data:`TWIN`."""
    scans = []
    for scene, missing_deg, noise, views in TWIN:
        instrument = pf.twin.Instrument(missing_deg=(missing_deg,) * 2, noise=(noise,) * 2)
        scan = pf.twin.simulate_scan(scene, instrument, rows=1, views=views, seed=SEED)
        image = np.asarray(scan.truth[0], np.float64)
        scale = float(np.quantile(image, 0.995))
        name = f"{scene.replace('_', ' ')}, {missing_deg:g} degrees, {100 * noise:g}% noise"
        sinogram = np.asarray(scan.projections[:, 0]) / scale
        scans.append(
            PeerScan(
                name,
                sinogram.astype(np.float32),
                np.asarray(scan.theta_rad, float),
                float(scan.center),
                image / scale,
                np.ones(image.shape, bool),
            )
        )
    return scans


def measured_scans(missing_deg: float = MISSING_DEG) -> list[PeerScan]:
    """The measured full-angle scans of line integrals at hand, cut down; the first row of each."""
    scans = []
    for name, sample in full_angle_samples().items():
        # Scans of counts have a mask, which most packages do not take.
        if not isinstance(sample, ReferencedSample):
            continue
        full, reference = scan_with_reference(sample, "fista-tv")
        cut = limit_range(full.take_rows([0]), missing_deg)
        assert cut.center is not None
        scans.append(
            PeerScan(
                f"{name}, {missing_deg:g} degrees",
                np.asarray(cut.projections[:, 0] / reference.scale, np.float32),
                np.asarray(cut.theta_rad, float),
                float(cut.center),
                np.asarray(reference.images[0], np.float64),
                np.asarray(reference.support, bool),
                measured=True,
            )
        )
    return scans
