"""TIFF stacks: real files, and each way a file can be wrong."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import tifffile
from scan_formats import THETA

from pfitre_jax.data.readers.registry import read_raw


def test_stack_and_csv(tmp_path, stack, csv):
    tifffile.imwrite(tmp_path / "scan.tif", stack, photometric="minisblack")
    raw = read_raw(tmp_path / "scan.tif", csv)
    np.testing.assert_array_equal(raw.projections, stack)
    np.testing.assert_allclose(raw.theta_rad, THETA)
    assert raw.kind == "absorption" and raw.flat is None


def test_pages_written_one_by_one(tmp_path, stack, csv):
    with tifffile.TiffWriter(tmp_path / "scan.tif", bigtiff=True) as tiff:
        for view in stack:
            tiff.write(view, metadata=None)
    np.testing.assert_array_equal(read_raw(tmp_path / "scan.tif", csv).projections, stack)


def test_the_content_decides_not_the_name(tmp_path, stack, csv):
    tifffile.imwrite(tmp_path / "scan.dat", stack, photometric="minisblack")
    assert read_raw(tmp_path / "scan.dat", csv, kind="transmission").kind == "transmission"


def test_cu23(data_dir):
    folder = data_dir / "cu23_hxn_xrf"
    raw = read_raw(folder / "Cu_example_23_LimitedAngle.tiff", folder / "Cu_example_23_LimitedAngle.csv")
    assert raw.projections.shape == (51, 84, 150) and raw.kind == "absorption"
    degrees = np.concatenate([np.arange(-72, -1, 2), np.arange(94, 109)])
    np.testing.assert_allclose(np.rad2deg(raw.theta_rad), degrees, atol=2e-3)


def test_no_angles(tmp_path, stack):
    tifffile.imwrite(tmp_path / "scan.tif", stack, photometric="minisblack")
    with pytest.raises(ValueError, match="angles="):
        read_raw(tmp_path / "scan.tif")


@pytest.mark.parametrize("shape", [(5, 6), (2, 4, 5, 6)])
def test_no_stack(tmp_path, csv, shape):
    tifffile.imwrite(tmp_path / "scan.tif", np.ones(shape, np.uint8), photometric="minisblack")
    with pytest.raises(ValueError, match=r"expected one stack \(views, rows, columns\)"):
        read_raw(tmp_path / "scan.tif", csv)


@pytest.mark.parametrize(
    ("shape", "planar"),
    [((4, 6, 3), "contig"), ((4, 6, 4), "contig"), ((3, 5, 6), "separate"), ((4, 5, 6, 3), "contig")],
)
def test_colour(tmp_path, csv, shape, planar):
    tifffile.imwrite(tmp_path / "scan.tif", np.ones(shape, np.uint8), photometric="rgb", planarconfig=planar)
    with pytest.raises(
        ValueError, match=r"colour picture; expected a stack \(views, rows, columns\) of grey"
    ):
        read_raw(tmp_path / "scan.tif", csv)


@pytest.mark.skipif(importlib.util.find_spec("imagecodecs") is not None, reason="imagecodecs is installed")
@pytest.mark.skipif(importlib.util.find_spec("imagecodecs") is not None, reason="imagecodecs is installed")
@pytest.mark.parametrize("code", [tifffile.COMPRESSION.LZW, tifffile.COMPRESSION.ZSTD])
def test_compression_that_needs_a_package(tmp_path, stack, csv, code):
    if code == tifffile.COMPRESSION.ZSTD and sys.version_info >= (3, 14):
        pytest.skip("this Python reads it")
    tifffile.imwrite(tmp_path / "scan.tif", stack, photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "scan.tif", mode="r+b") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(int(code))
    with pytest.raises(
        ValueError, match=rf"compressed \({code.name}\): pip install imagecodecs, or save it unc"
    ):
        read_raw(tmp_path / "scan.tif", csv)


def test_empty(tmp_path, csv):
    (tmp_path / "scan.tif").write_bytes(b"")
    with pytest.raises(ValueError, match="0 bytes"):
        read_raw(tmp_path / "scan.tif", csv)


@pytest.mark.parametrize("whole", [True, False], ids=["one block", "page by page"])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.5, 0.8, 0.97])
def test_truncated(tmp_path, csv, whole, part):
    path = tmp_path / "scan.tif"
    stack = np.random.default_rng(0).uniform(1, 2, (4, 50, 60)).astype(np.float32)
    with tifffile.TiffWriter(path) as tiff:
        for block in [stack] if whole else stack:
            tiff.write(block, metadata=None, contiguous=False, photometric="minisblack")
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match="truncated"):
        read_raw(path, csv)


def test_text_called_tiff(tmp_path, csv):
    (tmp_path / "scan.tif").write_text("this is no picture")
    with pytest.raises(ValueError, match="not a TIFF"):
        read_raw(tmp_path / "scan.tif", csv)


def test_counts_need_flats(tmp_path, stack, csv):
    tifffile.imwrite(tmp_path / "scan.tif", stack, photometric="minisblack")
    with pytest.raises(ValueError, match="counts need flat and dark"):
        read_raw(tmp_path / "scan.tif", csv, kind="counts")
