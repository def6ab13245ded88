"""Tiny valid scans in several formats, and the parts that their files are made of."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import tifffile

VIEWS, ROWS, COLUMNS = SHAPE = 6, 3, 16
DEGREES = np.arange(VIEWS) * 30.0
_GENERATOR = np.random.default_rng(20)
STACK = (1 + _GENERATOR.random(SHAPE)).astype(np.float32)


def write_hdf5(folder: Path, data=STACK, theta=DEGREES, name: str = "scan.h5", **more) -> list:
    with h5py.File(folder / name, "w") as file:
        for key, value in {"data": data, "theta": theta, **more}.items():
            if value is not None:
                file[f"exchange/{key}"] = value
    return [name]


def write_nxtomo(folder: Path, data=STACK, keys=(0,) * VIEWS, theta=DEGREES) -> list:
    with h5py.File(folder / "scan.nxs", "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry["data/data"], entry["data/image_key"], entry["data/rotation_angle"] = data, keys, theta
    return ["scan.nxs"]


def write_csv(folder: Path, content: str | bytes | None = None) -> list:
    content = "angle\n" + "\n".join(f"{a:g}" for a in DEGREES) if content is None else content
    (folder / "angles.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return ["--angles", "angles.csv"]


def write_tiff(folder: Path, data=STACK, **how) -> list:
    tifffile.imwrite(folder / "scan.tif", data, photometric="minisblack", **how)
    return ["scan.tif", *write_csv(folder)]


def write_npz(folder: Path, **arrays) -> list:
    arrays = {"projections": STACK, "theta_deg": DEGREES, **arrays}
    np.savez(folder / "scan.npz", **{name: a for name, a in arrays.items() if a is not None})
    return ["scan.npz"]


def write_members(folder: Path, members: dict[str, bytes], name: str = "scan.npz", **how) -> list:
    with zipfile.ZipFile(folder / name, "w", **how) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return [name]


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array))
    return buffer.getvalue()


def npy_header(text: str) -> bytes:
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin1")


def npy_declaring(shape: tuple[int, ...], dtype: str = "<f4", content: bytes = b"") -> bytes:
    return npy_header(repr({"descr": dtype, "fortran_order": False, "shape": shape})) + content


SCAN_MEMBERS = {"projections.npy": npy(STACK), "theta_deg.npy": npy(DEGREES)}
WRITERS = {"HDF5": write_hdf5, "NXtomo": write_nxtomo, "TIFF": write_tiff, "npz": write_npz}
