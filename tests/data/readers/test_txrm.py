"""Scans of Zeiss microscopes: reference, interrupted scans, shifts, and damaged files."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest
from field_files import scan_content, txrm, txrm_streams, xrm_folder
from ole_file import write_ole

from pfitre_jax.data.readers.registry import open_raw, read_raw

CONTENT = scan_content()
SHAPE = CONTENT.maps["Cu_K"].shape


def write(tmp_path, **changes):
    """A scan with changed streams, None for a missing one; ``__`` stands for ``/``."""
    changes = {name.replace("__", "/").replace("_", "-"): value for name, value in changes.items()}
    streams = {name: value for name, value in (txrm_streams(CONTENT) | changes).items() if value is not None}
    return write_ole(tmp_path / "scan.txrm", streams)


def test_large_images_are_read(tmp_path):
    """Images of more than 4096 bytes are stored in other sectors than small ones."""
    image = np.arange(5000.0, dtype="<f4").reshape(50, 100)
    sizes = {"ImageInfo__ImageWidth": struct.pack("<i", 100), "ImageInfo__ImageHeight": struct.pack("<i", 50)}
    images = {f"ImageData1__Image{k + 1}": (image + k).tobytes() for k in range(20)}
    path = write(tmp_path, **sizes, **images, ReferenceData__Image=None)
    raw = read_raw(path, kind="absorption")
    np.testing.assert_array_equal(raw.array, image + np.arange(20.0)[:, None, None])


def test_counts_without_a_reference_are_not_line_integrals(tmp_path):
    path = write(tmp_path, ReferenceData__Image=None)
    with pytest.raises(ValueError, match=r"no reference image .*data='absorption' or data='transmission'"):
        open_raw(path)
    assert open_raw(path, kind="transmission").kind == "transmission"
    path, _ = xrm_folder(tmp_path, CONTENT)
    for reference in path.glob("ref*"):
        reference.unlink()
    with pytest.raises(ValueError, match="flat"):
        open_raw(path)


def test_an_interrupted_scan_and_shifts(tmp_path):
    shifts = np.ones(20, "<f4").tobytes()
    taken = {"ImageInfo__ImagesTaken": struct.pack("<i", 12), "ImageData1__Image13": None}
    raw = read_raw(write(tmp_path, **taken, Alignment__X_Shifts=shifts))
    assert raw.projections.shape == (12, *SHAPE[1:]) and len(raw.theta_rad) == 12
    assert any("12 of 20 views" in note for note in raw.warnings)
    assert any("X-Shifts" in note for note in raw.warnings)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    path, _ = txrm(tmp_path, CONTENT)
    monkeypatch.setitem(sys.modules, "olefile", None)
    with pytest.raises(ValueError, match=r"needs the package olefile: pip install olefile"):
        open_raw(path)


def _integer(value: int) -> bytes:
    return struct.pack("<i", value)


STREAMS = {
    "no number of images": ({"ImageInfo__NoOfImages": None}, "ImageInfo/NoOfImages"),
    "an empty number of images": ({"ImageInfo__NoOfImages": b""}, "ImageInfo/NoOfImages"),
    "no images": ({"ImageInfo__NoOfImages": _integer(0)}, "states 0 images"),
    "a negative width": ({"ImageInfo__ImageWidth": _integer(-1)}, "states 20 images"),
    "a huge width": ({"ImageInfo__ImageWidth": _integer(2**30)}, "declares images"),
    "an unknown type": ({"ImageInfo__DataType": _integer(7)}, "ImageInfo/DataType is 7"),
    "a missing image": ({"ImageData1__Image7": None}, "ImageData1/Image7"),
    "a short image": ({"ImageData1__Image7": bytes(8)}, "ImageData1/Image7"),
    "a short reference": ({"ReferenceData__Image": bytes(8)}, "ReferenceData/Image"),
    "an unknown type of the reference": (
        {"ReferenceData__DataType": _integer(3)},
        "ReferenceData/DataType is 3",
    ),
    "no angles": ({"ImageInfo__Angles": None}, "ImageInfo/Angles"),
    "fewer angles": ({"ImageInfo__Angles": bytes(12)}, "ImageInfo/Angles"),
    "angles that are NaN": ({"ImageInfo__Angles": b"\xff" * 80}, "ImageInfo/Angles|finite"),
}


@pytest.mark.parametrize("case", STREAMS)
def test_malformed_streams_are_refused(tmp_path, case):
    changes, message = STREAMS[case]
    with pytest.raises(ValueError, match=message):
        read_raw(write(tmp_path, **changes))


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path, share):
    path, _ = txrm(tmp_path, CONTENT)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"scan\.txrm"):
        read_raw(path)
    folder, _ = xrm_folder(tmp_path, CONTENT)
    image = folder / "sample_3.xrm"
    image.write_bytes(image.read_bytes()[: int(share * image.stat().st_size)])
    with pytest.raises(ValueError, match=r"sample_3\.xrm"):
        read_raw(folder)


IMAGES = {
    "empty": (lambda image: image.write_bytes(b""), "sample_3.xrm"),
    "text": (lambda image: image.write_text("words"), "sample_3.xrm"),
    "two images": (
        lambda image: write_ole(image, txrm_streams(CONTENT, slice(0, 2))),
        "sample_3.xrm holds 2",
    ),
    "no angle": (lambda image: _change(image, "ImageInfo/Angles", None), "1 of 20 images .*sample_3.xrm"),
    "no image": (lambda image: _change(image, "ImageData1/Image1", None), "ImageData1/Image1"),
    "a short image": (lambda image: _change(image, "ImageData1/Image1", b"0"), "ImageData1/Image1"),
    "no width": (lambda image: _change(image, "ImageInfo/ImageWidth", None), "ImageInfo/ImageWidth"),
    "two rows": (lambda image: _change(image, "ImageInfo/ImageHeight", _integer(2)), "another shape"),
    "an unknown type": (lambda image: _change(image, "ImageInfo/DataType", _integer(4)), "DataType is 4"),
    "a damaged flat": (lambda image: image.with_name("ref_0.xrm").write_bytes(b"0"), "ref_0.xrm"),
}


def _change(image, name, value):
    streams = txrm_streams(CONTENT, slice(3, 4)) | {name: value}
    write_ole(image, {name: content for name, content in streams.items() if content is not None})


@pytest.mark.parametrize("case", IMAGES)
def test_malformed_images_are_refused(tmp_path, case):
    folder, _ = xrm_folder(tmp_path, CONTENT)
    damage, message = IMAGES[case]
    damage(folder / "sample_3.xrm")
    with pytest.raises(ValueError, match=message):
        read_raw(folder)
