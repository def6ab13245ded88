"""Malformed TIFF stacks are refused: types, shapes, declared sizes and pages."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from malformed import Cases, check_inspect_refuses, check_recon_refuses, rewrite
from tiny_scans import COLUMNS, ROWS, STACK, write_csv, write_tiff

CASES = Cases()


def set_tags(path: Path, **values: int) -> None:
    """Overwrite the values of tags on the first page of a TIFF file, in place; LONG where they were SHORT."""
    with tifffile.TiffFile(path) as tiff:
        offsets = {name: tiff.pages[0].tags[name].offset for name in values}
    content = bytearray(path.read_bytes())
    for name, value in values.items():
        content[offsets[name] + 2 : offsets[name] + 12] = struct.pack("<HII", 4, 1, value)
    path.write_bytes(content)


# Types and shapes.


@CASES.case("TIFF, complex", "expected real numbers")
def _(folder):
    return write_tiff(folder, STACK.astype(np.complex64))


@CASES.case("TIFF, five dimensions", "shape")
def _(folder):
    return write_tiff(folder, STACK.reshape(2, 3, 1, ROWS, COLUMNS))


@CASES.case("TIFF, pages of several shapes", "shape")
def _(folder):
    with tifffile.TiffWriter(folder / "scan.tif") as tiff:
        for columns in (COLUMNS, 8, 4):
            tiff.write(STACK[0, :, :columns], photometric="minisblack")
    return ["scan.tif", *write_csv(folder)]


# Declared sizes, and links between pages.


@CASES.case("TIFF, 2**31 - 1 columns", "")
def _(folder):
    args = write_tiff(folder)
    set_tags(folder / "scan.tif", ImageWidth=2**31 - 1)
    return args


@CASES.case("TIFF, 2**31 - 1 rows of 2**31 - 1 columns", "")
def _(folder):
    args = write_tiff(folder, metadata=None)
    set_tags(folder / "scan.tif", ImageWidth=2**31 - 1, ImageLength=2**31 - 1)
    return args


@CASES.case("TIFF, a gigabyte declared", "declares")
def _(folder):
    args = write_tiff(folder, metadata=None, compression="zlib")
    set_tags(folder / "scan.tif", ImageWidth=2**14, ImageLength=2**14, RowsPerStrip=2**14)
    return args


@CASES.case("TIFF, a description of more pages than there are", "")
def _(folder):
    return write_tiff(folder, metadata=None, description=json.dumps({"shape": [10**7, ROWS, COLUMNS]}))


@CASES.case("TIFF, pages of a file that is missing", "3 pages of files that are missing")
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


@CASES.case("TIFF, pages in a circle", "")
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


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_tiff_stack_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    check_recon_refuses(CASES, name, tmp_path, kept=list(CASES).index(name) % 2 == 1)


def test_inspect_refuses_it_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_inspect_refuses(CASES, "TIFF, complex", tmp_path)
