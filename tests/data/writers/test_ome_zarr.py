"""OME-Zarr images, read by zarr, and by the readers of OME where they are installed."""

import json

import numpy as np
import pytest
import zarr
from skimage.transform import downscale_local_mean

from pfitre_jax.data.writers.image_stack import ImageStack
from pfitre_jax.data.writers.ome_zarr import OmeZarrWriter, level_shapes
from pfitre_jax.runtime.file_mark import has_mark


def write(path, slices, **more):
    OmeZarrWriter().write(path, ImageStack.of_array(np.asarray(slices, np.float32), **more))
    return path


@pytest.fixture(scope="module", name="example")
def _example(tmp_path_factory):
    """A volume of 6 x 260 x 520 pixels, and its file."""
    slices = np.random.default_rng(0).random((6, 260, 520)).astype(np.float32)
    path = tmp_path_factory.mktemp("zarr") / "recon.ome.zarr"
    return slices, write(path, slices, pixel_size=0.05, row0=40, units="1/um")


def test_levels_are_means_of_2_x_2_x_2_pixels(example):
    slices, path = example
    group = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == 3 and sorted(group.array_keys()) == ["0", "1", "2"]
    np.testing.assert_array_equal(group["0"][:], slices)
    np.testing.assert_allclose(group["1"][:], downscale_local_mean(slices, (2, 2, 2)), rtol=1e-6)
    assert group["2"].shape == (2, 65, 130)
    np.testing.assert_allclose(group["2"][:1], downscale_local_mean(slices[:4], (4, 4, 4)), rtol=1e-5)
    assert group["0"].chunks == (1, 260, 520) and group["0"].dtype == np.float32
    assert has_mark(path) and not has_mark(path.parent)


def test_the_metadata_are_those_of_ngff_0_5(example):
    _, path = example
    ome = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    assert ome["version"] == "0.5"
    [image] = ome["multiscales"]
    assert [axis["name"] for axis in image["axes"]] == ["z", "y", "x"]
    assert {axis["type"] for axis in image["axes"]} == {"space"}
    assert {axis["unit"] for axis in image["axes"]} == {"micrometer"}
    assert image["datasets"][0]["coordinateTransformations"][0] == {"type": "scale", "scale": [0.05] * 3}
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]["pfitre_jax"]
    assert attributes["row0"] == 40 and attributes["units"] == "1/um"


def test_scale_and_translation_give_the_coordinates_of_every_level(tmp_path):
    """The value of a pixel is its coordinate; a mean is the coordinate of the middle, then."""
    shape, size = (2, 8, 1024), 0.5
    for axis in range(3):
        coordinates = size * np.indices(shape)[axis]
        group = zarr.open_group(write(tmp_path / f"{axis}.ome.zarr", coordinates, pixel_size=size), mode="r")
        [image] = group.attrs["ome"]["multiscales"]
        assert len(image["datasets"]) == 3
        for level in image["datasets"]:
            scale, translation = level["coordinateTransformations"]
            stored = group[level["path"]][:]
            expected = (
                scale["scale"][axis] * np.indices(stored.shape)[axis] + translation["translation"][axis]
            )
            np.testing.assert_allclose(stored, expected, rtol=1e-6)


def test_odd_sizes_keep_the_last_pixel(tmp_path):
    slices = np.zeros((3, 1, 257))
    slices[:, :, -1] = slices[-1] = 4.0
    group = zarr.open_group(write(tmp_path / "a.ome.zarr", slices), mode="r")
    assert level_shapes((3, 1, 257)) == [(3, 1, 257), (2, 1, 129)]
    coarse = group["1"][:]
    assert (coarse[:, :, -1] == 4).all() and (coarse[-1] == 4).all() and (coarse[0, 0, :-1] == 0).all()
    [image] = group.attrs["ome"]["multiscales"]
    assert "unit" not in image["axes"][0]
    # An axis of one pixel is the same in every level.
    assert image["datasets"][1]["coordinateTransformations"][0]["scale"] == [2.0, 1.0, 2.0]


@pytest.mark.filterwarnings("ignore")
def test_the_models_of_ngff_accept_the_file(example):
    models = pytest.importorskip("ome_zarr_models.v05", reason="needs ome-zarr-models")
    _, path = example
    image = models.Image.from_zarr(zarr.open_group(path, mode="r"))
    assert [axis.name for axis in image.attributes.ome.multiscales[0].axes] == ["z", "y", "x"]


@pytest.mark.filterwarnings("ignore")
def test_the_reader_of_ome_zarr_opens_the_file(example):
    reader = pytest.importorskip("ome_zarr.reader", reason="needs ome-zarr")
    from ome_zarr.io import parse_url

    slices, path = example
    [node] = reader.Reader(parse_url(path))()
    assert [level.shape for level in node.data] == [(6, 260, 520), (3, 130, 260), (2, 65, 130)]
    np.testing.assert_array_equal(np.asarray(node.data[0]), slices)
    assert [axis["name"] for axis in node.metadata["axes"]] == ["z", "y", "x"]
    assert node.metadata["coordinateTransformations"][0][0]["scale"] == [0.05] * 3
