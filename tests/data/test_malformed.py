"""Damaged and hostile inputs are refused in one line, at once, and leave nothing behind.

Each case makes its file from a tiny valid scan. What is refused is refused for its own reason, so each names
a part of the message; only flipped bytes may leave a file valid.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import signal
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from pfitre_jax import cli
from pfitre_jax.data.readers import file_checks as checks
from pfitre_jax.data.readers.registry import read_raw
from pfitre_jax.priors import files

VIEWS, ROWS, COLUMNS = SHAPE = 6, 3, 16
DEGREES = np.arange(VIEWS) * 30.0
_GENERATOR = np.random.default_rng(20)
STACK = (1 + _GENERATOR.random(SHAPE)).astype(np.float32)
#: Bytes that one command may allocate for any of these files, and seconds that it may take.
MEMORY, SECONDS = 300 * 2**20, 30
MARK = "executed"

#: name -> (function that writes into a folder and returns the arguments of recon, part of the message)
CASES: dict[str, tuple[Callable[[Path], list], str]] = {}


def case(name: str, message: str):
    def register(make):
        assert name not in CASES
        CASES[name] = make, message
        return make

    return register


class Bomb:
    """An object that creates a file when it is unpickled."""

    def __reduce__(self):
        return Path.write_text, (Path(MARK), "")


# Valid scans, and functions that damage them.


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


def set_tags(path: Path, **values: int) -> None:
    """Overwrite the values of tags on the first page of a TIFF file, in place; LONG where they were SHORT."""
    with tifffile.TiffFile(path) as tiff:
        offsets = {name: tiff.pages[0].tags[name].offset for name in values}
    content = bytearray(path.read_bytes())
    for name, value in values.items():
        content[offsets[name] + 2 : offsets[name] + 12] = struct.pack("<HII", 4, 1, value)
    path.write_bytes(content)


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


# Truncated files.

WRITERS = {"HDF5": write_hdf5, "NXtomo": write_nxtomo, "TIFF": write_tiff, "npz": write_npz}

for _format, _write in WRITERS.items():
    for _part in (0.0, 0.003, 0.2, 0.6, 0.97):

        @case(f"{_format}, {_part:.1%} of it", "")
        def _(folder, write=_write, part=_part):
            args = write(folder)
            rewrite(folder / args[0], lambda content: content[: int(part * len(content))])
            return args


# Shapes and types.

SHAPES = {
    "no dimension": np.float32(1),
    "one dimension": STACK.ravel(),
    "two dimensions": STACK[:, 0],
    "four dimensions": STACK[None],
    "no views": STACK[:0],
    "no columns": STACK[..., :0],
    "other views than angles": STACK[:4],
}
TYPES = {
    "complex": STACK.astype(complex),
    "text": np.full(SHAPE, b"text"),
    "compound": np.zeros(SHAPE, [("a", "f4"), ("b", "i2")]),
    "opaque": np.zeros(SHAPE, "V3"),
}
for _format, _write in (("HDF5", write_hdf5), ("npz", write_npz)):
    _key = "data" if _write is write_hdf5 else "projections"
    for _name, _array in SHAPES.items():

        @case(
            f"{_format}, projections: {_name}", "shape" if _name != "other views than angles" else "4 views"
        )
        def _(folder, write=_write, key=_key, array=_array):
            return write(folder, **{key: array})

    for _name, _array in TYPES.items():

        @case(f"{_format}, projections: {_name}", "expected real numbers")
        def _(folder, write=_write, key=_key, array=_array):
            return write(folder, **{key: array})

        if _name == "opaque":
            continue
        _angles = "theta" if _write is write_hdf5 else "theta_deg"

        @case(f"{_format}, angles: {_name}", "expected numbers")
        def _(folder, write=_write, key=_angles, array=_array[:, 0, 0]):
            return write(folder, **{key: array})

        _frames = ("data_white", "data_dark") if _write is write_hdf5 else ("flat", "dark")

        @case(f"{_format}, flat: {_name}", "expected real numbers")
        def _(folder, write=_write, frames=_frames, array=_array[0]):
            return write(folder, **dict.fromkeys(frames, array))


for _format, _write, _key in (("HDF5", write_hdf5, "data"), ("npz", write_npz, "projections")):

    @case(f"{_format}, numbers beyond float32", "NaN or infinite")
    def _(folder, write=_write, key=_key):
        return write(folder, **{key: STACK.astype(float) * 1e300})


@case("npz, projections of dates", "expected real numbers")
def _(folder):
    return write_npz(folder, projections=np.zeros(SHAPE, "M8[s]"))


@case("npz, angles in a table", "angles have shape (6, 1)")
def _(folder):
    return write_npz(folder, theta_deg=DEGREES[:, None])


@case("npz, a centre that is text", "'center'")
def _(folder):
    return write_npz(folder, center=np.array("left"))


@case("npz, a centre that is NaN", "the centre nan")
def _(folder):
    return write_npz(folder, center=np.nan)


@case("HDF5, text of any length", "expected real numbers")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("exchange/data", SHAPE, h5py.string_dtype())
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


@case("HDF5, references", "expected real numbers")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("exchange/data", SHAPE, h5py.ref_dtype)
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


@case("HDF5, a number that NumPy has not", "NumPy")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        group = file.create_group("exchange")
        group["theta"] = DEGREES
        h5py.h5d.create(group.id, b"data", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple(SHAPE))
    return ["scan.h5"]


@case("HDF5, a null dataset", "is empty")
def _(folder):
    return write_hdf5(folder, data=h5py.Empty("f4"))


@case("HDF5, null angles", "is empty")
def _(folder):
    return write_hdf5(folder, theta=h5py.Empty("f8"))


@case("HDF5, a group called data", "found")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_group("exchange/data")
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


@case("HDF5, units that are an empty list", "7 angles for 6 views")
def _(folder):
    write_hdf5(folder, theta=30 * np.arange(VIEWS + 1))
    with h5py.File(folder / "scan.h5", "a") as file:
        file["exchange/theta"].attrs["units"] = np.zeros(0)
    return ["scan.h5"]


@case("NXtomo, image keys that are text", "image_key")
def _(folder):
    return write_nxtomo(folder, keys=[b"projection"] * VIEWS)


@case("NXtomo, a compound image key", "image_key")
def _(folder):
    return write_nxtomo(folder, keys=np.zeros(VIEWS, [("a", "i4"), ("b", "i4")]))


@case("TIFF, complex", "expected real numbers")
def _(folder):
    return write_tiff(folder, STACK.astype(np.complex64))


@case("TIFF, five dimensions", "shape")
def _(folder):
    return write_tiff(folder, STACK.reshape(2, 3, 1, ROWS, COLUMNS))


@case("TIFF, pages of several shapes", "shape")
def _(folder):
    with tifffile.TiffWriter(folder / "scan.tif") as tiff:
        for columns in (COLUMNS, 8, 4):
            tiff.write(STACK[0, :, :columns], photometric="minisblack")
    return ["scan.tif", *write_csv(folder)]


# Declared sizes without data.


@case("HDF5, huge and nothing written", "declares")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("exchange/data", (10**5, 10**4, 10**4), "f4", chunks=(1, 100, 100))
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


@case("HDF5, huge angles and nothing written", "declares")
def _(folder):
    write_hdf5(folder, theta=None)
    with h5py.File(folder / "scan.h5", "a") as file:
        file.create_dataset("exchange/theta", (2 * 10**8,), "f8", chunks=(1000,))
    return ["scan.h5"]


@case("HDF5, huge flat and nothing written", "declares")
def _(folder):
    write_hdf5(folder, data_dark=STACK[:1] * 0)
    with h5py.File(folder / "scan.h5", "a") as file:
        file.create_dataset("exchange/data_white", (3, 10**4, 10**4), "f4", chunks=(1, 100, 100))
    return ["scan.h5"]


@case("HDF5, a huge volume instead of a stack", "declares")
def _(folder):
    write_hdf5(folder, data=None)
    with h5py.File(folder / "scan.h5", "a") as file:
        file.create_dataset("exchange/data", (10**4, 10**4), "f8", chunks=(100, 100))
    return ["scan.h5"]


@case("NXtomo, huge image keys", "declares")
def _(folder):
    write_nxtomo(folder)
    with h5py.File(folder / "scan.nxs", "a") as file:
        del file["entry/data/image_key"]
        file.create_dataset("entry/data/image_key", (10**9,), "i4", chunks=(1000,))
    return ["scan.nxs"]


@case("NXtomo, huge and nothing written", "declares")
def _(folder):
    write_nxtomo(folder)
    with h5py.File(folder / "scan.nxs", "a") as file:
        del file["entry/data/data"]
        file.create_dataset("entry/data/data", (VIEWS, 10**6, 10**7), "u2", chunks=(1, 100, 100))
    return ["scan.nxs"]


@case("TIFF, 2**31 - 1 columns", "")
def _(folder):
    args = write_tiff(folder)
    set_tags(folder / "scan.tif", ImageWidth=2**31 - 1)
    return args


@case("TIFF, 2**31 - 1 rows of 2**31 - 1 columns", "")
def _(folder):
    args = write_tiff(folder, metadata=None)
    set_tags(folder / "scan.tif", ImageWidth=2**31 - 1, ImageLength=2**31 - 1)
    return args


@case("TIFF, a gigabyte declared", "declares")
def _(folder):
    args = write_tiff(folder, metadata=None, compression="zlib")
    set_tags(folder / "scan.tif", ImageWidth=2**14, ImageLength=2**14, RowsPerStrip=2**14)
    return args


@case("TIFF, a description of more pages than there are", "")
def _(folder):
    return write_tiff(folder, metadata=None, description=json.dumps({"shape": [10**7, ROWS, COLUMNS]}))


@case("TIFF, pages of a file that is missing", "3 pages of files that are missing")
def _(folder):
    tifffile.imwrite(folder / "half.ome.tif", STACK[:3], photometric="minisblack", metadata={"axes": "TYX"})
    with tifffile.TiffFile(folder / "half.ome.tif") as tiff:
        text = tiff.ome_metadata.replace('SizeT="3"', 'SizeT="6"')
    here, there = '<TiffData IFD="0" PlaneCount="3"/>', '<UUID FileName="other.ome.tif">urn:uuid:1</UUID>'
    assert here in text
    elsewhere = f'<TiffData FirstT="3" IFD="0" PlaneCount="3">{there}</TiffData>'
    with tifffile.TiffWriter(folder / "scan.tif", ome=False) as tiff:
        for k, page in enumerate(STACK[:3]):
            description = text.replace(here, here + elsewhere) if k == 0 else None
            tiff.write(page, photometric="minisblack", metadata=None, description=description)
    return ["scan.tif", *write_csv(folder)]


@case("TIFF, pages in a circle", "")
def _(folder):
    args = write_tiff(folder, metadata=None)
    with tifffile.TiffFile(folder / "scan.tif") as tiff:
        first, last = tiff.pages[0], tiff.pages[-1]
        # Twelve bytes a tag after their count, then the offset of the next page.
        link = last.offset + 2 + 12 * len(last.tags)
    rewrite(
        folder / "scan.tif",
        lambda content: content[:link] + struct.pack("<I", first.offset) + content[link + 4 :],
    )
    return args


@case("npz, 10**12 elements declared", "damaged")
def _(folder):
    return write_members(folder, SCAN_MEMBERS | {"projections.npy": npy_declaring((10**4, 10**4, 10**4))})


@case("npz, 10**9 elements declared, of 100", "damaged")
def _(folder):
    content = npy_declaring((10**3, 10**3, 10**3), content=bytes(400))
    return write_members(folder, SCAN_MEMBERS | {"projections.npy": content})


@case("npz, a flat that unpacks to 400 MB", "declares")
def _(folder):
    members = SCAN_MEMBERS | {"dark.npy": npy(STACK[0] * 0)}
    write_members(folder, members)
    with zipfile.ZipFile(folder / "scan.npz", "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("flat.npy", "w") as member:
            member.write(npy_declaring((1, 10**4, 10**4)))
            for _ in range(100):
                member.write(bytes(4 * 10**6))
    assert (folder / "scan.npz").stat().st_size < 2 * 2**20
    return ["scan.npz"]


@case("npz, a member that declares 10**13 bytes", "damaged")
def _(folder):
    """Sizes of a packed member that nothing of its length could unpack to."""
    shape = (10**3, 10**4, 10**5)
    packed = zlib.compress(npy_declaring(shape))[2:-4]
    write_members(folder, {"theta_deg.npy": npy(DEGREES), "projections.npy": packed})
    whole = 128 + 4 * 10**12
    rewrite(folder / "scan.npz", lambda content: _declaring_size(content, b"projections.npy", whole))
    return ["scan.npz"]


def _declaring_size(content: bytes, member: bytes, size: int) -> bytes:
    """An archive whose ``member`` is called deflated, and ``size`` bytes long in a zip64 field."""
    start = content.rindex(b"PK\x01\x02", 0, content.rindex(member))
    entry = bytearray(content[start : content.rindex(member) + len(member)])
    extra = struct.pack("<HHQ", 1, 8, size)
    entry[10:12] = struct.pack("<H", zipfile.ZIP_DEFLATED)
    entry[24:28] = b"\xff" * 4
    entry[30:32] = struct.pack("<H", len(extra))
    directory = content.index(b"PK\x01\x02")
    end = bytearray(content[content.rindex(b"PK\x05\x06") :])
    changed = content[directory:start] + bytes(entry) + extra
    end[12:16] = struct.pack("<I", len(changed))
    local = bytearray(content[:directory])
    at = local.rindex(b"PK\x03\x04", 0, local.rindex(member))
    local[at + 8 : at + 10] = struct.pack("<H", zipfile.ZIP_DEFLATED)
    return bytes(local) + changed + bytes(end)


@case("angles: 64 GB", "too large")
def _(folder):
    args = write_tiff(folder)
    with (folder / "angles.csv").open("r+b") as file:
        file.truncate(64 * 2**30)
    return args


# Members, headers and objects of an archive.


@case("npz, pickled projections", "pickled")
def _(folder):
    return write_npz(folder, projections=np.array([Bomb()], dtype=object))


@case("npz, pickled flat", "pickled")
def _(folder):
    return write_npz(folder, flat=np.array([Bomb()], dtype=object), dark=STACK[0])


@case("npz, a pickle instead of an array", "damaged")
def _(folder):
    return write_members(folder, SCAN_MEMBERS | {"projections.npy": pickle.dumps(Bomb())})


@case("npz, a pickle with the archive's name", "not an .npz")
def _(folder):
    (folder / "scan.npz").write_bytes(pickle.dumps(Bomb()))
    return ["scan.npz"]


@case("npz, a pickle before an archive", "not an .npz")
def _(folder):
    write_npz(folder)
    rewrite(folder / "scan.npz", lambda content: pickle.dumps(Bomb()) + content)
    return ["scan.npz"]


@case("npz, an array before an archive", "not an .npz")
def _(folder):
    write_npz(folder)
    rewrite(folder / "scan.npz", lambda content: npy(STACK) + content)
    return ["scan.npz"]


@case("npz, members outside the folder", "expected 'projections'")
def _(folder):
    return write_members(folder, {"../projections.npy": npy(STACK), "/etc/theta_deg.npy": npy(DEGREES)})


@case("npz, a member that is no array", "damaged")
def _(folder):
    return write_members(folder, SCAN_MEMBERS | {"center": b"8"})


for _name, _header in {
    "that is code": "__import__('pathlib').Path('executed').write_text('')",
    "that is cut off": "{'descr': '<f4', ",
    "with brackets in brackets": "[" * 110,
    "with a list for a key": "{[]: 1, 'descr': '<f4', 'shape': (6,)}",
    "with a negative shape": "{'descr': '<f4', 'fortran_order': False, 'shape': (-6, 3, -16)}",
    "with a shape of fractions": "{'descr': '<f4', 'fortran_order': False, 'shape': (6.0, 3, 16)}",
    "of an unknown type": "{'descr': '<q9', 'fortran_order': False, 'shape': (6, 3, 16)}",
    "of a type of types": "{'descr': [('a', '<f4', -1)], 'fortran_order': False, 'shape': (6, 3, 16)}",
}.items():

    @case(f"npz, a header {_name}", "damaged")
    def _(folder, header=_header):
        return write_members(folder, SCAN_MEMBERS | {"projections.npy": npy_header(header) + STACK.tobytes()})


@case("npz, a member packed with damaged LZMA", "damaged")
def _(folder):
    args = write_members(folder, SCAN_MEMBERS, compression=zipfile.ZIP_LZMA)
    start = (folder / "scan.npz").read_bytes().index(b"projections.npy") + 40
    rewrite(folder / "scan.npz", lambda content: content[:start] + b"\xff" * 40 + content[start + 40 :])
    return args


@case("npz, encrypted", "damaged")
def _(folder):
    args = write_members(folder, SCAN_MEMBERS)
    content = bytearray((folder / "scan.npz").read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + flags] |= 1
    (folder / "scan.npz").write_bytes(content)
    return args


# Paths that lead out of an HDF5 file, or nowhere.


@case("HDF5, raw data of another file", "outside")
def _(folder):
    (folder / "secret").write_bytes(STACK.tobytes())
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("exchange/data", SHAPE, "f4", external=[("secret", 0, STACK.nbytes)])
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


def _linked(folder: Path, target) -> list:
    with h5py.File(folder / "scan.h5", "w") as file:
        file["exchange/data"] = target
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


@case("HDF5, a link to a file that is not HDF5", "none of the known formats")
def _(folder):
    return _linked(folder, h5py.ExternalLink("/etc/passwd", "/exchange/data"))


@case("HDF5, a link to a missing file", "none of the known formats")
def _(folder):
    return _linked(folder, h5py.ExternalLink("missing.h5", "/exchange/data"))


@case("HDF5, flats that are a link to nothing", "/exchange/data_white is a group, or a link")
def _(folder):
    """Without them the counts would pass for line integrals."""
    write_hdf5(folder, data_dark=STACK[:1] * 0)
    with h5py.File(folder / "scan.h5", "a") as file:
        file["exchange/data_white"] = h5py.ExternalLink("missing.h5", "/white")
    return ["scan.h5"]


@case("HDF5, flats whose header is damaged", "damaged")
def _(folder):
    write_hdf5(folder, data_dark=STACK[:1] * 0, data_white=STACK[:1] * 3)
    with h5py.File(folder / "scan.h5") as file:
        at = h5py.h5o.get_info(file["exchange/data_white"].id).addr
    rewrite(folder / "scan.h5", lambda content: content[:at] + b"\xff" * 16 + content[at + 16 :])
    return ["scan.h5"]


@case("HDF5, a link to itself", "none of the known formats")
def _(folder):
    return _linked(folder, h5py.SoftLink("/exchange/data"))


@case("HDF5, a circle of links", "none of the known formats")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        file["exchange/data"], file["a"] = h5py.SoftLink("/b"), h5py.SoftLink("/exchange/data")
        file["b"] = h5py.SoftLink("/a")
        file["exchange/up"] = file["/"]
    return ["scan.h5"]


@case("HDF5, files that link to each other", "none of the known formats")
def _(folder):
    for name, other in (("scan.h5", "other.h5"), ("other.h5", "scan.h5")):
        with h5py.File(folder / name, "w") as file:
            file["exchange/other"] = h5py.ExternalLink(other, "/")
    return ["scan.h5"]


@case("HDF5, groups that are reached on 2**40 paths", "links")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        for k in range(40):
            file.create_group(f"g{k}")
        for k in range(39):
            file[f"g{k}/left"] = file[f"g{k}/right"] = file[f"g{k + 1}"]
    return ["scan.h5"]


@case("HDF5, 3000 groups in each other", "")
def _(folder):
    with h5py.File(folder / "scan.h5", "w", libver="latest") as file:
        group = file
        for _ in range(3000):
            group = group.create_group("g")
    return ["scan.h5"]


def _virtual(folder: Path, sources: list[str]) -> list:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    for k, name in enumerate(sources):
        layout[2 * k : 2 * k + 2] = h5py.VirtualSource(name, "data", (2, ROWS, COLUMNS))
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_virtual_dataset("exchange/data", layout)
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


@case("HDF5, virtual, of missing files", "missing0.h5")
def _(folder):
    return _virtual(folder, [f"missing{k}.h5" for k in range(3)])


@case("HDF5, virtual, one file of three missing", "missing.h5")
def _(folder):
    for k in (0, 2):
        with h5py.File(folder / f"part{k}.h5", "w") as file:
            file["data"] = STACK[2 * k : 2 * k + 2]
    return _virtual(folder, ["part0.h5", "missing.h5", "part2.h5"])


@case("HDF5, virtual, of itself", "")
def _(folder):
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[:] = h5py.VirtualSource(".", "exchange/data", SHAPE)
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_virtual_dataset("exchange/data", layout)
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


# Paths that are no files.


@case("a link to nothing", "does not exist")
def _(folder):
    (folder / "scan.npz").symlink_to("nowhere.npz")
    return ["scan.npz"]


@case("a link to itself", "does not exist")
def _(folder):
    (folder / "scan.npz").symlink_to("scan.npz")
    return ["scan.npz"]


@case("a link to a folder", "is a folder")
def _(folder):
    (folder / "scan.npz").symlink_to(folder, target_is_directory=True)
    return ["scan.npz"]


@case("a name with a NUL", "")
def _(folder):
    return ["scan\0.npz"]


@case("a name of 500 letters", "")
def _(folder):
    return ["a" * 500 + ".npz"]


for _suffix in (".h5", ".tif", ".npz"):

    @case(f"a FIFO called {_suffix}", "expected a file")
    def _(folder, name=f"scan{_suffix}"):
        os.mkfifo(folder / name)
        return [name, *write_csv(folder)]


@case("a device", "expected a file")
def _(folder):
    return ["/dev/zero"]


@case("a device called .npz", "expected a file")
def _(folder):
    (folder / "scan.npz").symlink_to("/dev/zero")
    return ["scan.npz"]


@case("angles: a FIFO", "expected a file")
def _(folder):
    args = write_tiff(folder)
    (folder / "angles.csv").unlink()
    os.mkfifo(folder / "angles.csv")
    return args


@case("angles: a device", "expected a file")
def _(folder):
    return [*write_tiff(folder)[:1], "--angles", "/dev/zero"]


@case("angles: a folder", "is a folder")
def _(folder):
    return [*write_tiff(folder)[:1], "--angles", "."]


# Angles beside a stack.

for _name, (_content, _message) in {
    "binary": (bytes(range(256)), "not a text file"),
    "UTF-16": ("angle\n1\n2\n".encode("utf-16"), "not a text file"),
    "empty": (b"", "no angles"),
    "blank lines": (b"\n \n\t\n", "no angles"),
    "comments": (b"# 1\n# 2\n", "no angles"),
    "a header": (b"angle\n", "no angles"),
    "NaN": (b"0\n30\nnan\n90\n120\n150\n", "finite"),
    "infinite": (b"0\n30\n1e999\n90\n120\n150\n", "finite"),
    "five": (b"0\n30\n60\n90\n120\n", "5 angles for 6 views"),
    "10**5": (b"0\n90\n" * (10**5 // 2), "100000 angles for 6 views"),
    "words": (b"0\n30\nsixty\n90\n120\n150\n", "'sixty' is not a number"),
    "a hexadecimal number": (b"0x10\n30\n60\n90\n120\n150\n", "'0x10' is not a number"),
    "two in a line": (b"0\n30\n60, 70\n90\n120\n150\n", "fields"),
    "a blank of 10**5": (b"0" + b" " * 10**5 + b"1\n30\n", "is not a number"),
    "a word of 10**6 letters": (b"0\n" + b"x" * 10**6, "is not a number"),
    "10**4 columns": (b",".join([b"0"] * 10**4), "10000 columns"),
    "10**4 columns with names": (b",".join([b"name"] * 10**4) + b"\n", "columns"),
}.items():

    @case(f"angles: {_name}", _message)
    def _(folder, content=_content):
        return [*write_tiff(folder)[:1], *write_csv(folder, content)]


# Weights of a prior.

CARD = {"format": 2, "operator": "joseph-1", "network": {}}


def _prior(folder: Path, members: dict[str, bytes] | bytes, name: str = "prior.npz") -> list:
    if isinstance(members, bytes):
        (folder / name).write_bytes(members)
    else:
        write_members(folder, members, name)
    return [*write_npz(folder), "--method", "pfitre", "--prior", name]


def _shipped() -> bytes:
    return files.locate("circuits").read_bytes()


def _archive(**arrays) -> dict[str, bytes]:
    return {f"{name}.npy": npy(array) for name, array in arrays.items()}


for _name, (_make, _message) in {
    "empty": (lambda: b"", "not an .npz"),
    "binary": (lambda: bytes(range(256)), "not an .npz"),
    "half of it": (lambda: _shipped()[: len(_shipped()) // 2], "not an .npz"),
    "no card": (lambda: {"a.npy": npy(STACK)}, "no readable model card"),
    "a card that is a number": (lambda: _archive(card=np.array(3.0)), "no readable model card"),
    "a card that is no JSON": (lambda: _archive(card=np.array("{")), "no readable model card"),
    "a card of brackets": (lambda: _archive(card=np.array("[" * 10**5)), "no readable model card"),
    "a card that is a list": (lambda: _archive(card=np.array("[1]")), "no readable model card"),
    "a card that is not an array": (lambda: {"card": b"{}"}, "prior.npz"),
    "another format": (lambda: _archive(card=np.array(json.dumps(CARD | {"format": 99}))), "format 99"),
    "a network of text": (
        lambda: _archive(card=np.array(json.dumps(CARD | {"network": "wide"}))),
        "expected a table",
    ),
    "a network of 10**9 blocks": (
        lambda: _archive(card=np.array(json.dumps(CARD | {"network": {"blocks": 10**9}}))),
        "cannot be built",
    ),
    "a network of 10**30 channels": (
        lambda: _archive(card=np.array(json.dumps(CARD | {"network": {"channels": [10**30] * 3}}))),
        "cannot be built",
    ),
    "no arrays": (lambda: _archive(card=np.array(json.dumps(CARD))), "cannot be built"),
    "a rho that is not an array": (
        lambda: _archive(card=np.array(json.dumps(CARD))) | {"rho": b"0.1"},
        "prior.npz",
    ),
    "pickled": (lambda: _archive(card=np.array(json.dumps(CARD))) | {"a.npy": _pickled()}, "prior.npz"),
    "a pickle": (lambda: pickle.dumps(Bomb()), "not an .npz"),
    "an array before an archive": (lambda: npy(STACK) + _shipped(), "prior.npz"),
    "10**12 elements declared": (lambda: {"a.npy": npy_declaring((10**12,))}, "prior.npz"),
    "10**9 elements declared": (lambda: {"a.npy": npy_declaring((10**9,), content=bytes(64))}, "prior.npz"),
    "a header that is code": (lambda: {"card.npy": npy_header("print(1)")}, "prior.npz"),
}.items():

    @case(f"prior: {_name}", _message)
    def _(folder, make=_make):
        return _prior(folder, make())


def _pickled() -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([Bomb()], dtype=object))
    return buffer.getvalue()


@case("prior: a FIFO", "no prior")
def _(folder):
    os.mkfifo(folder / "prior.npz")
    return [*write_npz(folder), "--method", "pfitre", "--prior", "prior.npz"]


@case("prior: a device", "no prior")
def _(folder):
    return [*write_npz(folder), "--method", "pfitre", "--prior", "/dev/zero"]


for _name, _content in {"text": b"weights", "a pickle": pickle.dumps(Bomb()), "empty": b""}.items():

    @case(f"prior: {_name} called .pth", "prior.pth")
    def _(folder, content=_content):
        return _prior(folder, content, "prior.pth")


# Requirements for all cases.


@contextlib.contextmanager
def limits():
    """Limits the time to :data:`SECONDS` and allocated or requested memory to :data:`MEMORY`."""

    def stop(signum, frame):
        raise TimeoutError(f"not done in {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    tracemalloc.start(1)
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert peak < MEMORY


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Names, sizes and times of all files in a folder, and names of its folders; links are not followed."""
    entries = {}
    for parent, folders, names in os.walk(folder):
        for name in folders + names:
            stat = os.lstat(os.path.join(parent, name))
            # The lock of a run changes the time of the folder that it lies in.
            size_and_time = (0, 0) if name in folders else (stat.st_size, stat.st_mtime_ns)
            entries[os.path.relpath(os.path.join(parent, name), folder)] = size_and_time
    return entries


def pfitre(*args):
    return CliRunner().invoke(cli.app, [str(arg) for arg in args])


def check_refused(done, message: str) -> None:
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr) < 2000
    assert message in done.stderr


@pytest.mark.parametrize("name", CASES)
def test_malformed_input_is_refused(tmp_path, monkeypatch, name):
    make, message = CASES[name]
    monkeypatch.chdir(tmp_path)
    args = make(tmp_path)
    if "--method" not in args:
        args += ["--method", "cgls"]
    out = ("new", "kept")[list(CASES).index(name) % 2]
    if out == "kept":
        (tmp_path / out).mkdir()
        # Of an earlier run of the program, which may replace it.
        (tmp_path / out / "recon.h5").write_text("pfitre_jax")
    before = contents(tmp_path)
    with limits():
        done = pfitre("recon", *args, "--out", out)
    check_refused(done, message)
    assert not Path(MARK).exists() and contents(tmp_path) == before


@pytest.mark.parametrize("name", ["HDF5, huge and nothing written", "TIFF, complex", "npz, pickled flat"])
def test_inspect_refuses_malformed_input(tmp_path, monkeypatch, name):
    make, message = CASES[name]
    monkeypatch.chdir(tmp_path)
    args = make(tmp_path)
    before = contents(tmp_path)
    with limits():
        done = pfitre("inspect", *args, "--out", "picture.png")
    check_refused(done, message)
    assert not Path(MARK).exists() and contents(tmp_path) == before


def test_the_unmodified_scans_are_valid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for write in WRITERS.values():
        done = pfitre("inspect", *write(tmp_path))
        assert done.exit_code == 0 and "6 views x 3 rows x 16 columns" in done.stdout


@pytest.mark.parametrize("format", WRITERS)
def test_a_scan_larger_than_the_memory_is_refused(tmp_path, monkeypatch, format):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "free_memory", lambda: 1000)
    check_refused(pfitre("inspect", *WRITERS[format](tmp_path)), "1 kB of memory are free")


def test_valid_links_are_followed(tmp_path, monkeypatch):
    """Files of a beamline link to raw data in other folders, to a file's root, and through each other."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    write_nxtomo(tmp_path / "raw")
    layout = h5py.VirtualLayout(SHAPE, "f4")
    for name, source, inside in (
        ("virtual.h5", "raw/scan.nxs", "entry/data/data"),
        ("twice.h5", "virtual.h5", "exchange/data"),
    ):
        layout[:] = h5py.VirtualSource(source, inside, SHAPE)
        with h5py.File(tmp_path / name, "w") as file:
            file.create_virtual_dataset("exchange/data", layout)
            file["exchange/theta"] = DEGREES
    with h5py.File(tmp_path / "root.h5", "w") as file:
        file["scan"] = h5py.ExternalLink("raw/scan.nxs", "/")
        file["nothing"] = h5py.SoftLink("/nowhere")
    for name in ("virtual.h5", "twice.h5", "root.h5"):
        np.testing.assert_array_equal(read_raw(name).projections, STACK)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("format", WRITERS)
def test_flipped_bytes_are_refused_or_harmless(tmp_path, monkeypatch, format, seed):
    """A flipped byte may be one of the data: the scan is then read, with another value or a warning."""
    monkeypatch.chdir(tmp_path)
    args = WRITERS[format](tmp_path)
    generator = np.random.default_rng([seed, list(WRITERS).index(format)])
    content = bytearray((tmp_path / args[0]).read_bytes())
    # Two in three of them in the headers, which these formats keep at either end.
    ends = np.r_[0:512, len(content) - 512 : len(content)] if seed % 3 else np.arange(len(content))
    for at in generator.choice(ends, 1 + seed % 4, replace=False):
        content[at] ^= int(generator.integers(1, 256))
    (tmp_path / args[0]).write_bytes(content)
    before = contents(tmp_path)
    with limits():
        done = pfitre("inspect", *args)
    if done.exit_code != 0:
        check_refused(done, "")
    assert "Traceback" not in done.output and contents(tmp_path) == before
