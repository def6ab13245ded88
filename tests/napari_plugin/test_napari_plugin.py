"""The plugin of napari: manifest, reader and sample data, without a window."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import pfitre_jax
from pfitre_jax.napari_plugin.layers import gray_range
from pfitre_jax.napari_plugin.result_reader import get_reader
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.runtime.file_version import FileReplaced

MANIFEST = Path(pfitre_jax.__file__).parent / "napari_plugin" / "napari.yaml"
ROWS, N = 4, 12


@pytest.fixture
def result() -> Result:
    volume = np.random.default_rng(0).random((ROWS, N, N)).astype(np.float32)
    return Result.of_volume(
        volume,
        np.linspace(0, 1.5, 9),
        center=5.5,
        columns=N,
        row0=40,
        pixel_size=0.05,
        method="pfitre",
        measured=0.75 * volume,
    )


@pytest.fixture
def path(result, tmp_path) -> Path:
    return result.save(tmp_path / "out")[0]


def layers_of(path: Path) -> dict[str, tuple]:
    read = get_reader(str(path))
    assert read is not None
    return {properties["name"]: (data, properties, kind) for data, properties, kind in read(str(path))}


def test_layers_are_the_slices_and_their_components(path, result):
    layers = layers_of(path)
    assert list(layers) == ["slices", "measured", "supplied"]
    supplied = result.volume - result.measured
    for name, expected in (
        ("slices", result.volume),
        ("measured", result.measured),
        ("supplied", supplied),
    ):
        data, properties, kind = layers[name]
        assert kind == "image" and data.shape == (ROWS, N, N) and data.ndim == 3 and data.dtype == np.float32
        np.testing.assert_array_equal(np.asarray(data), expected)
        np.testing.assert_array_equal(data[2], expected[2])
        np.testing.assert_array_equal(data[1:3, 4, ::2], expected[1:3, 4, ::2])
        assert properties["scale"] == [0.05] * 3 and properties["units"] == ["um"] * 3
        assert properties["visible"] == (name == "slices")
        assert properties["metadata"]["row0"] == 40 and properties["metadata"]["method"] == "pfitre"
    assert layers["slices"][1]["contrast_limits"] == layers["measured"][1]["contrast_limits"]
    low, high = layers["supplied"][1]["contrast_limits"]
    assert low == -high


def test_an_interval_is_shown_where_there_is_one(path, result):
    with h5py.File(path, "r+") as file:
        file["/trust/lower"], file["/trust/upper"] = result.volume - 1, result.volume + 1
    layers = layers_of(path)
    assert set(layers) == {"slices", "measured", "supplied", "lower", "upper"}
    np.testing.assert_array_equal(np.asarray(layers["upper"][0]), result.volume + 1)


def test_layers_never_mix_the_slices_of_two_runs(path, result):
    layers = layers_of(path)
    result.save(path.parent)
    for data, _, _ in layers.values():
        with pytest.raises(FileReplaced, match="was replaced or changed after it was first read"):
            data[0]


def test_a_result_without_pixel_size_is_in_pixels(tmp_path):
    bare = Result.of_volume(np.ones((1, N, N), np.float32), [0.0, 1.0], center=5.5, columns=N)
    [(_, properties, _)] = layers_of(bare.save(tmp_path)[0]).values()
    assert properties["scale"] == [1.0] * 3 and properties["units"] == ["pixel"] * 3
    # A constant image has a range, too.
    assert properties["contrast_limits"] == [1.0, 2.0]


@pytest.fixture
def overview(tmp_path, result) -> Path:
    """Result of two elements: one file that leads to both."""
    for element in ("Cu_K", "Fe_K"):
        result.save(tmp_path / element)
    with h5py.File(tmp_path / "recon.h5", "w") as file:
        file.attrs["creator"], file.attrs["elements"] = "pfitre_jax", ["Cu_K", "Fe_K"]
        for element in ("Cu_K", "Fe_K"):
            file[element] = h5py.ExternalLink(f"{element}/recon.h5", "/")
    return tmp_path / "recon.h5"


def test_a_result_of_several_elements_has_the_layers_of_each(overview, result):
    layers = layers_of(overview)
    components = ("slices", "measured", "supplied")
    assert list(layers) == [f"{element} {name}" for element in ("Cu_K", "Fe_K") for name in components]
    np.testing.assert_array_equal(layers["Fe_K slices"][0][1], result.volume[1])
    assert [name for name, (_, properties, _) in layers.items() if properties["visible"]] == ["Cu_K slices"]
    assert layers["Fe_K supplied"][1]["colormap"] == "PiYG"


def test_a_missing_element_is_named(overview):
    (overview.parent / "Fe_K" / "recon.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"Fe_K.recon\.h5 does not exist; expected the folders of"):
        layers_of(overview)


def test_the_range_ignores_single_outliers():
    image = np.random.default_rng(0).random((5, 64, 64)).astype(np.float32)
    image[2, 3, 3] = 1e6
    low, high = gray_range(image)
    assert 0 <= low < 0.01 and 0.99 < high <= 1


def test_other_files_are_left_to_other_readers(tmp_path):
    from pfitre_jax.data.readers.dxchange import write_dxchange

    write_dxchange(tmp_path / "scan.h5", np.ones((4, 2, 8), np.float32), np.linspace(0, 1, 4))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["/exchange/data"] = np.zeros((2, 3, 3))
    (tmp_path / "text.h5").write_text("words")
    for name in ("scan.h5", "other.h5", "text.h5", "nowhere.h5"):
        assert get_reader(str(tmp_path / name)) is None


def test_several_files_are_opened_together(path, tmp_path, result):
    second = result.save(tmp_path / "second")[0]
    read = get_reader([str(path), str(second)])
    assert len(read([str(path), str(second)])) == 6


def test_the_plugin_imports_neither_napari_nor_jax(path):
    """napari asks every reader about every file that is opened."""
    code = (
        "import sys; from pfitre_jax.napari_plugin.result_reader import get_reader;"
        f"layers = get_reader({str(path)!r})(None); assert len(layers) == 3;"
        "print([name for name in ('napari', 'jax', 'flax') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.filterwarnings("ignore")
def test_the_manifest_is_valid_and_its_commands_can_be_imported():
    npe2 = pytest.importorskip("npe2", reason="needs npe2")
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    assert manifest.name == "pfitre_jax"
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.filterwarnings("ignore")
def test_npe2_reads_a_result_through_the_manifest(path, result):
    npe2 = pytest.importorskip("npe2", reason="needs npe2")
    manager = npe2.PluginManager()
    manager.register(npe2.PluginManifest.from_file(MANIFEST))
    assert not list(manager.iter_compatible_readers([str(path.with_suffix(".tif"))]))
    [reader] = manager.iter_compatible_readers([str(path)])
    manager.activate("pfitre_jax")
    layers = manager.commands.execute(reader.command, (str(path),))(str(path))
    assert [properties["name"] for _, properties, _ in layers] == ["slices", "measured", "supplied"]
    np.testing.assert_array_equal(np.asarray(layers[0][0]), result.volume)


@pytest.mark.filterwarnings("ignore")
def test_the_viewer_shows_the_layers_in_micrometres(path, result):
    pytest.importorskip("napari", reason="needs napari")
    from napari.components import ViewerModel
    from napari.layers import Layer

    viewer = ViewerModel()
    for layer in get_reader(str(path))(str(path)):
        viewer.add_layer(Layer.create(*layer))
    viewer.dims.set_point(0, 2 * 0.05)
    shown = {layer.name: layer for layer in viewer.layers}
    assert list(shown) == ["slices", "measured", "supplied"]
    assert [layer.name for layer in viewer.layers if layer.visible] == ["slices"]
    assert {str(unit) for unit in shown["slices"].units} == {"micrometer"}
    # The extent is that of the sample: the centres of the first and the last voxel.
    extent = shown["slices"].extent.world
    np.testing.assert_allclose(extent[1] - extent[0], 0.05 * (np.array([ROWS, N, N]) - 1), atol=0.051)
    value = shown["slices"].get_value((2 * 0.05, 3 * 0.05, 7 * 0.05), world=True)
    assert value == result.volume[2, 3, 7]


@pytest.mark.slow
def test_the_sample_data_show_the_chip():
    from pfitre_jax.napari_plugin.sample_data import chip

    layers = {properties["name"]: data for data, properties, _ in chip()}
    assert list(layers) == ["slices", "measured", "supplied", "truth"]
    assert {data.shape for data in layers.values()} == {(8, 140, 140)}
    correlation = np.corrcoef(layers["slices"].ravel(), layers["truth"].ravel())[0, 1]
    assert correlation > 0.7
