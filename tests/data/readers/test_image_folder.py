"""Folders of TIFF and EDF images: natural order, angles in headers, and damaged images."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tifffile
from field_files import edf_folder, scan_content, tiff_folder

import pfitre_jax as pf
from pfitre_jax.data.readers.registry import open_raw, read_raw

CONTENT = scan_content()
COPPER = CONTENT.maps["Cu_K"]


def test_another_motor_of_edf(tmp_path):
    path, _ = edf_folder(tmp_path, CONTENT)
    for other in sorted(path.iterdir()):
        other.write_bytes(other.read_bytes().replace(b"sx srot sz", b"sx phi9 sz"))
    with pytest.raises(ValueError, match=r"no angles in the header \(srot, .*theta_path='NAME'"):
        open_raw(path)
    assert len(open_raw(path, theta_path="phi9").theta_rad) == 20
    image = sorted(path.iterdir())[4]
    image.write_bytes(image.read_bytes().replace(b"phi9", b"othr"))
    with pytest.raises(ValueError, match=rf"1 of 20 images state no angle .*{image.name}"):
        open_raw(path, theta_path="phi9")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    path, _ = edf_folder(tmp_path, CONTENT)
    monkeypatch.setitem(sys.modules, "fabio", None)
    with pytest.raises(ValueError, match=r"needs the package fabio: pip install fabio"):
        open_raw(path)


def _write(name, values, **how):
    return lambda path: tifffile.imwrite(path / name, values, **how)


def _bytes(name, change):
    return lambda path: (path / name).write_bytes(change((path / name).read_bytes()))


GREY = {"photometric": "minisblack"}
TIFF = {
    "half of it": (_bytes("view_3.tif", lambda content: content[: len(content) // 2]), "view_3.tif"),
    "its first bytes": (_bytes("view_3.tif", lambda content: content[:20]), "view_3.tif"),
    "empty": (_bytes("view_3.tif", lambda content: b""), "view_3.tif"),
    "text": (_bytes("view_3.tif", lambda content: b"words"), "view_3.tif"),
    "another shape": (_write("view_3.tif", COPPER[0, :2], **GREY), "1 of 20 images .*view_3.tif"),
    "a colour picture": (
        _write("view_3.tif", np.zeros((3, 33, 3), "u1")),
        "view_3.tif holds a colour picture",
    ),
    "a stack": (_write("view_3.tif", COPPER[:2], **GREY), "view_3.tif"),
    "complex": (_write("view_3.tif", COPPER[0].astype("c8"), **GREY), "expected real numbers"),
    "one image too many": (_write("view_20.tif", COPPER[0], **GREY), "20 angles for 21 views"),
    "one image too few": (lambda path: (path / "view_3.tif").unlink(), "20 angles for 19 views"),
    "NaN": (_write("view_3.tif", np.where(np.eye(3, 33), np.nan, COPPER[0]), **GREY), "view 3, row 0"),
}


@pytest.mark.parametrize("case", TIFF)
def test_malformed_tiff_folders_are_refused(tmp_path, case):
    path, options = tiff_folder(tmp_path, CONTENT)
    damage, message = TIFF[case]
    damage(path)
    with pytest.raises(ValueError, match=message):
        pf.load_scan(path, **options)


def test_a_folder_of_tiff_needs_angles(tmp_path):
    path, _ = tiff_folder(tmp_path, CONTENT)
    with pytest.raises(ValueError, match=r"\(TIFF folder\) holds no angles .*angles='angles\.csv'"):
        open_raw(path)


def _edf(old: bytes, new: bytes):
    return lambda content: content.replace(old, new, 1)


EDF = {
    "half of it": (lambda content: content[:1200], "scan101.edf"),
    "a part of the header": (lambda content: content[:300], "scan101.edf"),
    "empty": (lambda content: b"", "scan101.edf"),
    "text": (lambda content: b"words", "scan101.edf"),
    "other bytes": (lambda content: bytes(range(256)) * 5, "scan101.edf"),
    "another shape": (_edf(b"Dim_2 = 3", b"Dim_2 = 2"), "1 of 20 images .*scan101.edf"),
    "huge": (_edf(b"Dim_1 = 33 ", b"Dim_1 = 99999999999 "), "scan101.edf"),
    "an unknown type": (_edf(b"FloatValue", b"QuarkValue"), "scan101.edf"),
    "no angle": (_edf(b"srot", b"none"), "scan101.edf"),
    "an angle that is a word": (_edf(b"motor_pos = 0.1 ", b"motor_pos = 0.1 x"), "scan101.edf"),
    "NaN": (lambda content: content[:1024] + b"\xff" * 8 + content[1032:], "view 3, row 0"),
}


@pytest.mark.parametrize("case", EDF)
def test_malformed_edf_folders_are_refused(tmp_path, case):
    path, options = edf_folder(tmp_path, CONTENT)
    change, message = EDF[case]
    image = path / "scan101.edf"
    image.write_bytes(change(image.read_bytes()))
    with pytest.raises(ValueError, match=message):
        pf.load_scan(path, **options)


def test_other_files_of_the_folder_are_reported(tmp_path):
    path, options = tiff_folder(tmp_path, CONTENT)
    (path / "notes.txt").write_text("words")
    (path / ".hidden").write_text("words")
    raw = read_raw(path, **options)
    assert raw.projections.shape == COPPER.shape and "1 other files" in raw.warnings[0]
