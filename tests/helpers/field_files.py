"""Scan files as the programs of the field write them, after the layouts in docs/reference/scan_files.md.

The writers know nothing of the readers. All write the same scan: maps of two elements, the intensity of the
beam, angles in degrees and the width of a pixel. A writer returns the path of the scan and the options with
which it is read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from analytic import disc_stack


@dataclasses.dataclass(frozen=True)
class Content:
    """A scan of two elements; ``maps`` are normalized by ``beam`` (both (views, rows, columns))."""

    maps: dict[str, np.ndarray]
    beam: np.ndarray
    degrees: np.ndarray
    pixel_um: float

    @property
    def fitted(self) -> np.ndarray:
        """(views, elements, rows, columns), as fitted: times the intensity of the beam."""
        return np.stack([stack * self.beam for stack in self.maps.values()], axis=1)

    @property
    def names(self) -> np.ndarray:
        return np.array([name.encode() for name in self.maps])


def scan_content() -> Content:
    """Copper in two discs, zinc in one, in three rows of 33 columns, at 20 angles from -70 to 101 degrees."""
    copper = disc_stack([[(3.0, 1.0, 6.0 + row, 1.0), (-6.0, -4.0, 3.0, 0.5)] for row in range(3)])
    zinc = disc_stack([[(-2.0, 4.0, 5.0, 0.7)] for _ in range(3)])
    beam = np.random.default_rng(4).uniform(0.9, 1.1, copper.shape) * 50_000
    return Content({"Cu_K": copper, "Zn_K": zinc}, beam, np.arange(-70.0, 110.0, 9.0), 0.05)


def xrf_tomo(folder: Path, content: Content, aligned: bool = False) -> tuple[Path, dict]:
    """xrf-tomo (``make_single_hdf``; ``normalize_projections`` if aligned)."""
    path = folder / "tomo.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("/reconstruction/fitting/data", data=content.fitted, compression="gzip")
        file["/reconstruction/fitting/elements"] = content.names
        file.create_dataset("/exchange/i0", data=content.beam, compression="gzip")
        file["/exchange/theta"] = content.degrees
        columns = np.arange(content.beam.shape[2]) * content.pixel_um
        file["/exchange/x"] = np.broadcast_to(columns, content.beam.shape)
        if aligned:
            file["/reconstruction/recon/proj"] = content.fitted / content.beam[:, None]
            file["/reconstruction/recon/rot_center"] = np.array([17.0], np.float32)
            for name in ("del_x", "del_y"):
                file[f"/reconstruction/recon/{name}"] = np.zeros(len(content.degrees))
    return path, {"element": "Cu"}


def xrf_tomo_aligned(folder: Path, content: Content) -> tuple[Path, dict]:
    return xrf_tomo(folder, content, aligned=True)


def pyxrf_folder(folder: Path, content: Content, units: str | None = "mdeg") -> tuple[Path, dict]:
    """PyXRF at HXN: one file a view, the angle in millidegrees."""
    path = folder / "pyxrf"
    path.mkdir()
    _, rows, columns = content.beam.shape
    for k, degrees in enumerate(content.degrees):
        with h5py.File(path / f"scan2D_{95 + k}.h5", "w") as file:  # 95 to 114: not in alphabetical order
            file["xrfmap/detsum/xrf_fit"] = content.fitted[k]
            file["xrfmap/detsum/xrf_fit_name"] = content.names
            file["xrfmap/scalers/name"] = np.array([b"sclr1_ch3", b"sclr1_ch4"])
            file["xrfmap/scalers/val"] = np.stack([content.beam[k] * 3, content.beam[k]], axis=-1)
            attributes = file.create_group("xrfmap/scan_metadata").attrs
            attributes["param_theta"] = round(degrees * 1000)
            if units is not None:
                attributes["param_theta_units"] = units
            width, height = columns * content.pixel_um, rows * content.pixel_um
            attributes["param_input"] = [0.0, width, columns, 0.0, height, rows, 0.05]
    (path / "tomo_info.dat").write_text("Start Time,Scan ID,Theta\n")
    return path, {"element": "Cu"}


def pyxrf_volume(folder: Path, content: Content) -> tuple[Path, dict]:
    """PyXRF's file for tomography (``h5file_for_recon``)."""
    path = folder / "xrf3d.h5"
    with h5py.File(path, "w") as file:
        for name, stack in content.maps.items():
            file.create_dataset(f"element_data/{name}/data", data=stack, compression="gzip")
            file[f"element_data/{name}"].attrs["comments"] = f"normalized fluorescence data for {name}"
        file["angle/data"] = content.degrees
    return path, {"element": "Cu"}


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of the field.

    Attributes:
        write: Writes the scan.
        reader: Name of the reader.
        signal: Dataset of the projections, for formats in HDF5.
        angles: Dataset or attribute ("group@name") of the angles.
        pixel_size: Whether the file states the width of a pixel.
        elements: Names of the channels.
    """

    write: Callable[[Path, Content], tuple[Path, dict]]
    reader: str
    signal: str = ""
    angles: str = ""
    pixel_size: bool = False
    elements: tuple[str, ...] = ()


_BOTH = ("Cu_K", "Zn_K")
FORMATS = {
    "xrf-tomo": Format(xrf_tomo, "xrf-tomo", "reconstruction/fitting/data", "exchange/theta", True, _BOTH),
    "xrf-tomo, aligned": Format(
        xrf_tomo_aligned, "xrf-tomo", "reconstruction/recon/proj", "exchange/theta", True, _BOTH
    ),
    "PyXRF": Format(
        pyxrf_folder, "PyXRF", "xrfmap/detsum/xrf_fit", "xrfmap/scan_metadata@param_theta", True, _BOTH
    ),
    "PyXRF 3D": Format(pyxrf_volume, "PyXRF 3D", "element_data/Cu_K/data", "angle/data", False, _BOTH),
}
