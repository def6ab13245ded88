"""Malformed HDF5 files are refused: types, declared sizes, and paths that lead out of the file or nowhere."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from malformed import Cases, check_inspect_refuses, check_recon_refuses, rewrite
from malformed_arrays import add_array_cases
from tiny_scans import COLUMNS, DEGREES, ROWS, SHAPE, STACK, VIEWS, write_hdf5, write_nxtomo

from pfitre_jax.data.readers.registry import read_raw

CASES = Cases()
add_array_cases(
    CASES, "HDF5", write_hdf5, projections="data", angles="theta", frames=("data_white", "data_dark")
)


# Types and shapes.


@CASES.case("HDF5, text of any length", "expected real numbers")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("exchange/data", SHAPE, h5py.string_dtype())
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


@CASES.case("HDF5, references", "expected real numbers")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("exchange/data", SHAPE, h5py.ref_dtype)
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


@CASES.case("HDF5, a number that NumPy has not", "NumPy")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        group = file.create_group("exchange")
        group["theta"] = DEGREES
        h5py.h5d.create(group.id, b"data", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple(SHAPE))
    return ["scan.h5"]


@CASES.case("HDF5, a null dataset", "is empty")
def _(folder):
    return write_hdf5(folder, data=h5py.Empty("f4"))


@CASES.case("HDF5, null angles", "is empty")
def _(folder):
    return write_hdf5(folder, theta=h5py.Empty("f8"))


@CASES.case("HDF5, a group called data", "found")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_group("exchange/data")
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


@CASES.case("HDF5, units that are an empty list", "7 angles for 6 views")
def _(folder):
    write_hdf5(folder, theta=30 * np.arange(VIEWS + 1))
    with h5py.File(folder / "scan.h5", "a") as file:
        file["exchange/theta"].attrs["units"] = np.zeros(0)
    return ["scan.h5"]


@CASES.case("NXtomo, image keys that are text", "image_key")
def _(folder):
    return write_nxtomo(folder, keys=[b"projection"] * VIEWS)


@CASES.case("NXtomo, a compound image key", "image_key")
def _(folder):
    return write_nxtomo(folder, keys=np.zeros(VIEWS, [("a", "i4"), ("b", "i4")]))


# Declared sizes without data.


@CASES.case("HDF5, huge and nothing written", "declares")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("exchange/data", (10**5, 10**4, 10**4), "f4", chunks=(1, 100, 100))
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


@CASES.case("HDF5, huge angles and nothing written", "declares")
def _(folder):
    write_hdf5(folder, theta=None)
    with h5py.File(folder / "scan.h5", "a") as file:
        file.create_dataset("exchange/theta", (2 * 10**8,), "f8", chunks=(1000,))
    return ["scan.h5"]


@CASES.case("HDF5, huge flat and nothing written", "declares")
def _(folder):
    write_hdf5(folder, data_dark=STACK[:1] * 0)
    with h5py.File(folder / "scan.h5", "a") as file:
        file.create_dataset("exchange/data_white", (3, 10**4, 10**4), "f4", chunks=(1, 100, 100))
    return ["scan.h5"]


@CASES.case("HDF5, a huge volume instead of a stack", "declares")
def _(folder):
    write_hdf5(folder, data=None)
    with h5py.File(folder / "scan.h5", "a") as file:
        file.create_dataset("exchange/data", (10**4, 10**4), "f8", chunks=(100, 100))
    return ["scan.h5"]


@CASES.case("NXtomo, huge image keys", "declares")
def _(folder):
    write_nxtomo(folder)
    with h5py.File(folder / "scan.nxs", "a") as file:
        del file["entry/data/image_key"]
        file.create_dataset("entry/data/image_key", (10**9,), "i4", chunks=(1000,))
    return ["scan.nxs"]


@CASES.case("NXtomo, huge and nothing written", "declares")
def _(folder):
    write_nxtomo(folder)
    with h5py.File(folder / "scan.nxs", "a") as file:
        del file["entry/data/data"]
        file.create_dataset("entry/data/data", (VIEWS, 10**6, 10**7), "u2", chunks=(1, 100, 100))
    return ["scan.nxs"]


# Paths that lead out of a file, or nowhere.


@CASES.case("HDF5, raw data of another file", "outside")
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


@CASES.case("HDF5, a link to a file that is not HDF5", "none of the known formats")
def _(folder):
    return _linked(folder, h5py.ExternalLink("/etc/passwd", "/exchange/data"))


@CASES.case("HDF5, a link to a missing file", "none of the known formats")
def _(folder):
    return _linked(folder, h5py.ExternalLink("missing.h5", "/exchange/data"))


@CASES.case("HDF5, flats that are a link to nothing", "/exchange/data_white is a group, or a link")
def _(folder):
    """Without them the counts would pass for line integrals."""
    write_hdf5(folder, data_dark=STACK[:1] * 0)
    with h5py.File(folder / "scan.h5", "a") as file:
        file["exchange/data_white"] = h5py.ExternalLink("missing.h5", "/white")
    return ["scan.h5"]


@CASES.case("HDF5, flats whose header is damaged", "damaged")
def _(folder):
    write_hdf5(folder, data_dark=STACK[:1] * 0, data_white=STACK[:1] * 3)
    with h5py.File(folder / "scan.h5") as file:
        at = h5py.h5o.get_info(file["exchange/data_white"].id).addr
    rewrite(folder / "scan.h5", lambda content: content[:at] + b"\xff" * 16 + content[at + 16 :])
    return ["scan.h5"]


@CASES.case("HDF5, a link to itself", "none of the known formats")
def _(folder):
    return _linked(folder, h5py.SoftLink("/exchange/data"))


@CASES.case("HDF5, a circle of links", "none of the known formats")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        file["exchange/data"], file["a"] = h5py.SoftLink("/b"), h5py.SoftLink("/exchange/data")
        file["b"] = h5py.SoftLink("/a")
        file["exchange/up"] = file["/"]
    return ["scan.h5"]


@CASES.case("HDF5, files that link to each other", "none of the known formats")
def _(folder):
    for name, other in (("scan.h5", "other.h5"), ("other.h5", "scan.h5")):
        with h5py.File(folder / name, "w") as file:
            file["exchange/other"] = h5py.ExternalLink(other, "/")
    return ["scan.h5"]


@CASES.case("HDF5, groups that are reached on 2**40 paths", "links")
def _(folder):
    with h5py.File(folder / "scan.h5", "w") as file:
        for k in range(40):
            file.create_group(f"g{k}")
        for k in range(39):
            file[f"g{k}/left"] = file[f"g{k}/right"] = file[f"g{k + 1}"]
    return ["scan.h5"]


@CASES.case("HDF5, 3000 groups in each other", "")
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


@CASES.case("HDF5, virtual, of missing files", "missing0.h5")
def _(folder):
    return _virtual(folder, [f"missing{k}.h5" for k in range(3)])


@CASES.case("HDF5, virtual, one file of three missing", "missing.h5")
def _(folder):
    for k in (0, 2):
        with h5py.File(folder / f"part{k}.h5", "w") as file:
            file["data"] = STACK[2 * k : 2 * k + 2]
    return _virtual(folder, ["part0.h5", "missing.h5", "part2.h5"])


@CASES.case("HDF5, virtual, of itself", "")
def _(folder):
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[:] = h5py.VirtualSource(".", "exchange/data", SHAPE)
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_virtual_dataset("exchange/data", layout)
        file["exchange/theta"] = DEGREES
    return ["scan.h5"]


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_hdf5_file_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    check_recon_refuses(CASES, name, tmp_path, kept=list(CASES).index(name) % 2 == 1)


def test_inspect_refuses_it_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_inspect_refuses(CASES, "HDF5, huge and nothing written", tmp_path)


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
