"""Scan files as the programs of the field write them, after the layouts in docs/reference/scan_files.md.

The writers know nothing of the readers. All write the same scan: maps of two elements, the intensity of the
beam, angles in degrees and the width of a pixel. A writer returns the path of the scan and the options with
which it is read.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import tifffile
from analytic import disc_stack
from ole_file import write_ole

#: Phase, radians, of a line integral of 1 in the ptychographic views.
PHASE = 0.25


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


def maps_folder(folder: Path, content: Content, older: bool = False) -> tuple[Path, dict]:
    """XRF-Maps at 2-ID-E, or MAPS before version 10; the angle is a process variable."""
    path = folder / ("older" if older else "maps")
    path.mkdir()
    maps = np.stack(list(content.maps.values()))
    for k, degrees in enumerate(content.degrees):
        variables = {"2xfm:m12.VAL": "17.5", "2xfm:m60.VAL": f"{degrees:.3f}", "S:SRcurrentAI": "101.9"}
        with h5py.File(path / f"2xfm_{98 + k}.mda.h5", "w") as file:
            names = np.array([name[:2].encode() for name in content.maps], "S256")
            if older:
                file["MAPS/XRF_fits"] = maps[:, k]
                file["MAPS/XRF_roi"] = maps[:, k] * 2
                file["MAPS/channel_names"] = names
                lines = [f"{name}, {value}".encode() for name, value in variables.items()]
                file["MAPS/extra_pvs_as_csv"] = np.array(lines, "S256")
            else:
                for kind, factor in (("NNLS", 1), ("ROI", 2)):
                    group = f"MAPS/XRF_Analyzed/{kind}"
                    file[f"{group}/Counts_Per_Sec"] = (factor * maps[:, k]).astype(np.float32)
                    file[f"{group}/Channel_Names"] = names
                for name, words in (("Names", variables), ("Values", variables.values())):
                    file[f"MAPS/Scan/Extra_PVs/{name}"] = np.array([w.encode() for w in words], "S256")
    return path, {"element": "Cu"}


def maps_folder_older(folder: Path, content: Content) -> tuple[Path, dict]:
    return maps_folder(folder, content, older=True)


def xrftomo_export(folder: Path, content: Content) -> tuple[Path, dict]:
    """XRFtomo (``save_hdf5``)."""
    path = folder / "xrftomo.h5"
    with h5py.File(path, "w") as file:
        file["elements"] = [name[:2] for name in content.maps]
        file["names"] = [f"2xfm_{k}.mda.h5" for k in range(len(content.degrees))]
        file["thetas"] = content.degrees
        file["data"] = np.stack(list(content.maps.values()))
    return path, {"element": "Cu"}


def _counts(content: Content) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of a full-field scan whose line integrals are those of copper; flat and dark frames."""
    copper = content.maps["Cu_K"]
    dark = np.full((2, *copper.shape[1:]), 100.0)
    flat = dark + 2.0**40 * np.exp2(np.random.default_rng(8).uniform(0, 0.2, copper.shape[1:]))
    return np.exp(-copper.astype(float)) * (flat - dark)[:1] + dark[:1], flat, dark


def fxi(folder: Path, content: Content) -> tuple[Path, dict]:
    """NSLS-II FXI (``export_fly_scan``)."""
    path = folder / "fly_scan_id_112515.h5"
    counts, flat, dark = _counts(content)
    with h5py.File(path, "w") as file:
        file["img_tomo"], file["img_bkg"], file["img_dark"] = counts, flat, dark
        file["img_bkg_avg"], file["img_dark_avg"] = flat[:1], dark[:1]
        file["angle"] = content.degrees
        file["Pixel Size"] = f"{1000 * content.pixel_um:g}nm"
        file["scan_id"] = 112515
    return path, {}


def fxi_averages(folder: Path, content: Content) -> tuple[Path, dict]:
    path, options = fxi(folder, content)
    with h5py.File(path, "a") as file:
        del file["img_bkg"], file["img_dark"]
    return path, options


def dxchange_rotation(folder: Path, content: Content) -> tuple[Path, dict]:
    """APS: a processed group, and angles only as the positions of the motor."""
    path = folder / "aps.h5"
    with h5py.File(path, "w") as file:
        file["exchange1/data"] = content.maps["Cu_K"]
        for word, value in (("start", content.degrees[0]), ("step", np.diff(content.degrees)[0])):
            file[f"process/acquisition/rotation/rotation_{word}"] = np.array([value])
            file[f"process/acquisition/rotation/rotation_{word}"].attrs["units"] = "deg"
    return path, {}


def pyxalign(folder: Path, content: Content) -> tuple[Path, dict]:
    """A task of pyxalign (``save_task``, fluorescence)."""
    path = folder / "task.h5"
    with h5py.File(path, "w") as file:
        for name, stack in content.maps.items():
            group = file.create_group(f"projections/{name[:2]}")
            group["data"], group["angles"] = stack, content.degrees
            group["scan_numbers"] = np.arange(len(content.degrees))
            group["center_of_rotation"] = np.array([1.0, 17.0], np.float32)
            group["options/experiment/pixel_size"] = content.pixel_um * 1e-6
            group["staged_shift"] = np.zeros((len(content.degrees), 2))
    return path, {"element": "Cu"}


def unknown_hdf5(folder: Path, content: Content) -> tuple[Path, dict]:
    """A layout of nobody: sinograms (row, element, column, view), angles in millidegrees."""
    path = folder / "unknown.h5"
    stack = np.stack(list(content.maps.values()), axis=1)
    with h5py.File(path, "w") as file:
        file["entry/measured"] = stack.transpose(2, 1, 3, 0)
        file["entry/motor"] = np.round(content.degrees * 1000).astype(np.int32)
    options = {"dataset": "/entry/measured", "axis_order": "row,element,column,view", "element": "0"}
    return path, options | {"theta_path": "/entry/motor", "angle_unit": "mdeg"}


def unknown_folder(folder: Path, content: Content) -> tuple[Path, dict]:
    """One file of an unknown layout for each view, the angle in an attribute."""
    path = folder / "unknown"
    path.mkdir()
    for k, degrees in enumerate(content.degrees):
        with h5py.File(path / f"view{8 + k}.h5", "w") as file:
            file["entry/image"] = content.maps["Cu_K"][k]
            file["entry"].attrs["tilt"] = np.deg2rad(degrees)
            file["entry"].attrs["tilt_units"] = "rad"
    return path, {"dataset": "/entry/image", "theta_path": "/entry@tilt"}


def write_mrc(path: Path, stack: np.ndarray, pixel_um: float | None = None) -> Path:
    """MRC 2014: a header of 1024 bytes, then float32 sections (z, y, x)."""
    sections, rows, columns = stack.shape
    length = [size * (1.0 if pixel_um is None else 1e4 * pixel_um) for size in (columns, rows, sections)]
    header = struct.pack("<10i", columns, rows, sections, 2, 0, 0, 0, columns, rows, sections)
    header += struct.pack("<6f3i3f", *length, 90, 90, 90, 1, 2, 3, stack.min(), stack.max(), stack.mean())
    header += struct.pack("<2i", 0, 0) + bytes(208 - 96) + b"MAP \x44\x44\x00\x00"
    path.write_bytes(header + bytes(1024 - len(header)) + stack.astype("<f4").tobytes())
    return path


def mrc(folder: Path, content: Content) -> tuple[Path, dict]:
    """A tilt series of IMOD with its refined angles."""
    path = write_mrc(folder / "scan.st", content.maps["Cu_K"], content.pixel_um)
    (folder / "scan.rawtlt").write_text("".join(f"{angle + 1:.1f}\n" for angle in content.degrees))
    (folder / "scan.tlt").write_text("".join(f"{angle:9.4f}\n" for angle in content.degrees))
    return path, {}


def emd(folder: Path, content: Content) -> tuple[Path, dict]:
    """tomviz: (angles, y, x), tilted about x, so that x is the row."""
    path = folder / "tilt.emd"
    stack = content.maps["Cu_K"].transpose(0, 2, 1)
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = np.uint32(0), np.uint32(2)
        group = file.create_group("data/tomography")
        group.attrs["emd_group_type"] = np.uint32(1)
        group["data"] = stack
        nanometres = 1000 * content.pixel_um * np.arange(50, dtype=np.float32)
        axes = (
            (content.degrees, "angles", "[deg]"),
            (nanometres[: stack.shape[1]], "y", "[n_m]"),
            (nanometres[: stack.shape[2]], "x", "[n_m]"),
        )
        for axis, (values, name, units) in enumerate(axes):
            group[f"dim{axis + 1}"] = values.astype(np.float32)
            group[f"dim{axis + 1}"].attrs["name"] = name
            group[f"dim{axis + 1}"].attrs["units"] = units
    return path, {}


def write_csv(folder: Path, content: Content) -> dict:
    path = folder / "angles.csv"
    path.write_text("angle\n" + "".join(f"{angle}\n" for angle in content.degrees))
    return {"angles": path}


def tiff_folder(folder: Path, content: Content, **how) -> tuple[Path, dict]:
    path = folder / "images"
    path.mkdir()
    for k, image in enumerate(content.maps["Cu_K"]):
        tifffile.imwrite(path / f"view_{k}.tif", image, photometric="minisblack", **how)
    return path, write_csv(folder, content)


def tiff_folder_packed(folder: Path, content: Content) -> tuple[Path, dict]:
    return tiff_folder(folder, content, compression="zlib")


def edf_folder(folder: Path, content: Content) -> tuple[Path, dict]:
    """ESRF: a header in text of 1024 bytes, with the positions of the motors, and float32 numbers."""
    path = folder / "edf"
    path.mkdir()
    for k, image in enumerate(content.maps["Cu_K"]):
        rows, columns = image.shape
        lines = ["HeaderID = EH:000001:000000:000000", "Image = 1", "ByteOrder = LowByteFirst"]
        lines += ["DataType = FloatValue", f"Dim_1 = {columns}", f"Dim_2 = {rows}", f"Size = {image.nbytes}"]
        lines += ["motor_mne = sx srot sz", f"motor_pos = 0.1 {content.degrees[k]:.4f} 7.5"]
        header = "{\n" + "".join(f"{line} ;\n" for line in lines)
        text = header.ljust(1022) + "}\n"
        (path / f"scan{98 + k}.edf").write_bytes(text.encode() + image.astype("<f4").tobytes())
    return path, {}


def txrm_streams(content: Content, views: slice = slice(None)) -> dict[str, bytes]:
    """Streams of a scan of Zeiss: counts over a reference, float32."""
    counts, flat, dark = _counts(content)
    counts, flat = (counts - dark[:1])[views], (flat - dark)[0]
    count, rows, columns = counts.shape
    streams = {
        f"ImageInfo/{name}": struct.pack("<i", value)
        for name, value in (
            *(("NoOfImages", count), ("ImageWidth", columns), ("ImageHeight", rows), ("DataType", 10)),
        )
    }
    streams["ImageInfo/Angles"] = content.degrees[views].astype("<f4").tobytes()
    streams["ImageInfo/PixelSize"] = struct.pack("<f", content.pixel_um)
    for k, image in enumerate(counts):
        streams[f"ImageData{k // 100 + 1}/Image{k + 1}"] = image.astype("<f4").tobytes()
    streams["ReferenceData/Image"] = flat.astype("<f4").tobytes()
    streams["ReferenceData/DataType"] = struct.pack("<i", 10)
    return streams


def txrm(folder: Path, content: Content) -> tuple[Path, dict]:
    return write_ole(folder / "scan.txrm", txrm_streams(content)), {}


def xrm_folder(folder: Path, content: Content) -> tuple[Path, dict]:
    """SSRL: one image a view, and images of the beam."""
    path = folder / "xrm"
    path.mkdir()
    for k in range(len(content.degrees)):
        streams = txrm_streams(content, slice(k, k + 1))
        flat, dtype = streams.pop("ReferenceData/Image"), streams.pop("ReferenceData/DataType")
        write_ole(path / f"sample_{k}.xrm", streams)
    for k in range(2):
        streams = {name: value for name, value in streams.items() if not name.startswith("ImageData")}
        write_ole(path / f"ref_{k}.xrm", streams | {"ImageData1/Image1": flat, "ImageInfo/DataType": dtype})
    return path, {}


def ptychography(folder: Path, content: Content) -> tuple[Path, dict]:
    """PtychoShelves: MATLAB v7.3 with 512 bytes of text before HDF5, columns first, a ramp in the phase."""
    path = folder / "ptycho"
    path.mkdir()
    number = np.dtype([("real", "<f4"), ("imag", "<f4")])
    rows, columns = content.beam.shape[1:]
    ramp = 0.3 * np.arange(columns) - 0.7 * np.arange(rows)[:, None]
    for k, image in enumerate(content.maps["Cu_K"]):
        name = path / f"S{98 + k:05d}_MLc.mat"
        transmission = (0.9 * np.exp(1j * (ramp - PHASE * image + 0.4))).T
        with h5py.File(name, "w", userblock_size=512) as file:
            values = np.empty(transmission.shape, number)
            values["real"], values["imag"] = transmission.real, transmission.imag
            file["reconstruction/object"] = values
            file["reconstruction/p/dx_spec"] = np.full((2, 1), content.pixel_um * 1e-6)
        with name.open("r+b") as file:
            text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 ."
            file.write(text.ljust(124) + b"\x00\x02IM")
    return path, write_csv(folder, content)


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


_BOTH, _SYMBOLS = ("Cu_K", "Zn_K"), ("Cu", "Zn")
FORMATS = {
    "xrf-tomo": Format(xrf_tomo, "xrf-tomo", "reconstruction/fitting/data", "exchange/theta", True, _BOTH),
    "xrf-tomo, aligned": Format(
        xrf_tomo_aligned, "xrf-tomo", "reconstruction/recon/proj", "exchange/theta", True, _BOTH
    ),
    "PyXRF": Format(
        pyxrf_folder, "PyXRF", "xrfmap/detsum/xrf_fit", "xrfmap/scan_metadata@param_theta", True, _BOTH
    ),
    "PyXRF 3D": Format(pyxrf_volume, "PyXRF 3D", "element_data/Cu_K/data", "angle/data", False, _BOTH),
    "MAPS": Format(maps_folder, "MAPS", "MAPS/XRF_Analyzed/NNLS/Counts_Per_Sec", elements=_SYMBOLS),
    "MAPS, older": Format(maps_folder_older, "MAPS", "MAPS/XRF_fits", elements=_SYMBOLS),
    "XRFtomo": Format(xrftomo_export, "XRFtomo", "data", "thetas", elements=_SYMBOLS),
    "FXI": Format(fxi, "FXI", "img_tomo", "angle", True),
    "FXI, averages": Format(fxi_averages, "FXI", "img_tomo", "angle", True),
    "DXchange, rotation": Format(dxchange_rotation, "DXchange", "exchange1/data"),
    "pyxalign": Format(
        pyxalign, "pyxalign", "projections/Cu/data", "projections/Cu/angles", elements=_SYMBOLS
    ),
    "HDF5 dataset": Format(unknown_hdf5, "HDF5 dataset", "entry/measured", "entry/motor"),
    "HDF5 datasets": Format(unknown_folder, "HDF5 datasets", "entry/image", "entry@tilt"),
    "MRC": Format(mrc, "MRC", pixel_size=True),
    "EMD": Format(emd, "EMD", "data/tomography/data", "data/tomography/dim1", True),
    "TIFF folder": Format(tiff_folder, "TIFF folder"),
    "TIFF folder, packed": Format(tiff_folder_packed, "TIFF folder"),
    "EDF": Format(edf_folder, "detector images"),
    "TXRM": Format(txrm, "TXRM", pixel_size=True),
    "XRM folder": Format(xrm_folder, "XRM folder", pixel_size=True),
}
