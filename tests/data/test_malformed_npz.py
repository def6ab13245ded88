"""Malformed .npz scans are refused: types, declared sizes, members, headers and pickled objects."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
from malformed import Bomb, Cases, check_inspect_refuses, check_recon_refuses, rewrite
from malformed_arrays import add_array_cases
from tiny_scans import (
    DEGREES,
    SCAN_MEMBERS,
    SHAPE,
    STACK,
    npy,
    npy_declaring,
    npy_header,
    write_members,
    write_npz,
)

CASES = Cases()
add_array_cases(
    CASES, "npz", write_npz, projections="projections", angles="theta_deg", frames=("flat", "dark")
)


# Types and shapes.


@CASES.case("npz, projections of dates", "expected real numbers")
def _(folder):
    return write_npz(folder, projections=np.zeros(SHAPE, "M8[s]"))


@CASES.case("npz, angles in a table", "angles have shape (6, 1)")
def _(folder):
    return write_npz(folder, theta_deg=DEGREES[:, None])


@CASES.case("npz, a centre that is text", "'center'")
def _(folder):
    return write_npz(folder, center=np.array("left"))


@CASES.case("npz, a centre that is NaN", "the centre nan")
def _(folder):
    return write_npz(folder, center=np.nan)


# Declared sizes without data.


@CASES.case("npz, 10**12 elements declared", "damaged")
def _(folder):
    return write_members(folder, SCAN_MEMBERS | {"projections.npy": npy_declaring((10**4, 10**4, 10**4))})


@CASES.case("npz, 10**9 elements declared, of 100", "damaged")
def _(folder):
    content = npy_declaring((10**3, 10**3, 10**3), content=bytes(400))
    return write_members(folder, SCAN_MEMBERS | {"projections.npy": content})


@CASES.case("npz, a flat that unpacks to 400 MB", "declares")
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


@CASES.case("npz, a member that declares 10**13 bytes", "damaged")
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


# Members, headers and objects of an archive.


@CASES.case("npz, pickled projections", "pickled")
def _(folder):
    return write_npz(folder, projections=np.array([Bomb()], dtype=object))


@CASES.case("npz, pickled flat", "pickled")
def _(folder):
    return write_npz(folder, flat=np.array([Bomb()], dtype=object), dark=STACK[0])


@CASES.case("npz, a pickle instead of an array", "damaged")
def _(folder):
    return write_members(folder, SCAN_MEMBERS | {"projections.npy": pickle.dumps(Bomb())})


@CASES.case("npz, a pickle with the archive's name", "not an .npz")
def _(folder):
    (folder / "scan.npz").write_bytes(pickle.dumps(Bomb()))
    return ["scan.npz"]


@CASES.case("npz, a pickle before an archive", "not an .npz")
def _(folder):
    write_npz(folder)
    rewrite(folder / "scan.npz", lambda content: pickle.dumps(Bomb()) + content)
    return ["scan.npz"]


@CASES.case("npz, an array before an archive", "not an .npz")
def _(folder):
    write_npz(folder)
    rewrite(folder / "scan.npz", lambda content: npy(STACK) + content)
    return ["scan.npz"]


@CASES.case("npz, members outside the folder", "expected 'projections'")
def _(folder):
    return write_members(folder, {"../projections.npy": npy(STACK), "/etc/theta_deg.npy": npy(DEGREES)})


@CASES.case("npz, a member that is no array", "damaged")
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

    @CASES.case(f"npz, a header {_name}", "damaged")
    def _(folder, header=_header):
        return write_members(folder, SCAN_MEMBERS | {"projections.npy": npy_header(header) + STACK.tobytes()})


@CASES.case("npz, a member packed with damaged LZMA", "damaged")
def _(folder):
    args = write_members(folder, SCAN_MEMBERS, compression=zipfile.ZIP_LZMA)
    start = (folder / "scan.npz").read_bytes().index(b"projections.npy") + 40
    rewrite(folder / "scan.npz", lambda content: content[:start] + b"\xff" * 40 + content[start + 40 :])
    return args


@CASES.case("npz, encrypted", "damaged")
def _(folder):
    args = write_members(folder, SCAN_MEMBERS)
    content = bytearray((folder / "scan.npz").read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + flags] |= 1
    (folder / "scan.npz").write_bytes(content)
    return args


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_npz_scan_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    check_recon_refuses(CASES, name, tmp_path, kept=list(CASES).index(name) % 2 == 1)


def test_inspect_refuses_it_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_inspect_refuses(CASES, "npz, pickled flat", tmp_path)
