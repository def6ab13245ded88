"""TIFF stacks of slices, read by tifffile and by Pillow."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from pfitre_jax.data.writers import tiff
from pfitre_jax.data.writers.image_stack import ImageStack
from pfitre_jax.data.writers.tiff import TiffWriter
from pfitre_jax.runtime.file_mark import has_mark

SLICES = np.random.default_rng(0).random((5, 6, 7)).astype(np.float32)
RESOLUTION = (282, 283)


def write(path, slices=SLICES, **more):
    TiffWriter().write(path, ImageStack.of_array(slices, **more))
    return path


def test_imagej_sees_slices_with_their_size_and_row(tmp_path):
    path = write(tmp_path / "a.tif", pixel_size=0.05, row0=40)
    with tifffile.TiffFile(path) as file:
        found = file.imagej_metadata
        assert not file.is_bigtiff and len(file.pages) == 5
        np.testing.assert_array_equal(file.asarray(), SLICES)
    assert found["images"] == found["slices"] == 5 and not {"channels", "frames"} & set(found)
    assert found["unit"] == "micron" and found["spacing"] == 0.05
    assert found["Labels"] == [f"row {row}" for row in range(40, 45)]
    assert has_mark(path)


def test_an_independent_reader_finds_the_same_order_values_and_resolution(tmp_path):
    with Image.open(write(tmp_path / "a.tif", pixel_size=0.05)) as image:
        assert image.n_frames == 5
        # Pixels per micrometre; the unit of the tag is none, because that of ImageJ holds.
        assert [image.tag_v2[tag] for tag in RESOLUTION] == [20, 20] and image.tag_v2[296] == 1
        for k, expected in enumerate(SLICES):
            image.seek(k)
            np.testing.assert_array_equal(np.asarray(image), expected)


def test_an_unknown_size_is_one_pixel(tmp_path):
    with tifffile.TiffFile(write(tmp_path / "a.tif")) as file:
        assert file.imagej_metadata["unit"] == "pixel" and file.imagej_metadata["spacing"] == 1
        assert file.pages[0].tags["XResolution"].value == (1, 1)


def test_a_single_slice(tmp_path):
    path = write(tmp_path / "a.tif", SLICES[:1], pixel_size=2.0)
    with tifffile.TiffFile(path) as file:
        assert file.imagej_metadata["images"] == 1 and file.imagej_metadata["unit"] == "micron"
    np.testing.assert_array_equal(np.asarray(Image.open(path)), SLICES[0])


def test_a_file_above_4_gb_is_bigtiff_with_the_same_description(tmp_path, monkeypatch):
    assert 0.98 * 2**32 < tiff.BIGTIFF_BYTES < 2**32
    monkeypatch.setattr(tiff, "BIGTIFF_BYTES", SLICES.nbytes - 1)
    path = write(tmp_path / "big.tif", pixel_size=0.05)
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff and file.imagej_metadata["slices"] == 5
        assert file.imagej_metadata["spacing"] == 0.05
        np.testing.assert_array_equal(file.asarray(), SLICES)
    with Image.open(path) as image:
        image.seek(4)
        np.testing.assert_array_equal(np.asarray(image), SLICES[4])


@pytest.mark.slow
def test_a_file_of_4_5_gb_is_written_and_read(tmp_path):
    rows, side = 18, 8192

    def read():
        for row in range(rows):
            yield slice(row, row + 1), np.full((1, side, side), row, np.float32)

    TiffWriter().write(tmp_path / "big.tif", ImageStack((rows, side, side), read, pixel_size=0.5))
    with tifffile.TiffFile(tmp_path / "big.tif") as file:
        assert file.is_bigtiff and file.imagej_metadata["slices"] == rows
        assert float(file.pages[17].asarray()[-1, -1]) == 17
