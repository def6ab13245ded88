"""A result in ``recon.h5``, ``recon.tif`` and ``summary.json``."""

import json
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr

from pfitre_jax.data.writers.mrc import MrcWriter
from pfitre_jax.reconstruction.result import UNKNOWN, Result, read_result
from pfitre_jax.reconstruction.row_block import LazyVolume
from pfitre_jax.runtime.file_version import FileReplaced
from pfitre_jax.solvers.loop import Status


def example(views: int = 4, pixel_size: float | None = None, **recorded) -> Result:
    volume = np.random.default_rng(0).random((3, 5, 6)).astype(np.float32)
    return Result.of_volume(
        volume,
        np.linspace(0, 1.5, views),
        center=2.25,
        roll_deg=-1.5,
        columns=7,
        row0=10,
        raw_rows=84,
        pixel_size=pixel_size,
        method="cgls",
        parameters={"iterations": 20},
        measured=volume / 3,
        **recorded,
    )


def complete(**changes) -> Result:
    """A result with a value for every attribute."""
    return example(
        **{
            "status": np.array([int(Status.CONVERGED), int(Status.DIVERGED), 0]),
            "iterations": np.array([3, 2, 4]),
            "residual": np.array([0.1, 0.2, 0.3], np.float32),
            "supplied": np.array([0.5, 0.25, 0], np.float32),
            "residual_history": np.array([[1, 0.5, 0.1, np.nan]] * 3, np.float32),
            "change_history": np.array([[1, 0.1, 0.01, np.nan]] * 3, np.float32),
            "gains": np.array([[1, 1.5, 1, 1]] * 3, np.float32),
            "stripes": np.array([[0, 0.25, 0, 0, 0, 0, 0]] * 3, np.float32),
            "sinogram": np.ones((4, 7), np.float32),
            "residual_sinogram": np.full((4, 7), 0.01, np.float32),
            "scale": 1.75,
            "domain_score": 0.4,
            "chunk": 2,
            "warnings": ["rows 11 diverged"],
            "timings": {"seconds_run": 1.5},
            "provenance": {"file": "scan.h5"},
            "device": "cpu: cpu",
            "versions": {"jax": "1"},
        }
        | changes
    )


@pytest.mark.parametrize("pixel_size", [None, 0.5])
def test_a_result_is_loaded_as_saved(tmp_path, pixel_size):
    before = complete(pixel_size=pixel_size)
    paths = before.save(tmp_path / "new" / "folder", command="pfitre recon x")
    after = read_result(paths[0])
    for name, value in vars(before).items():
        np.testing.assert_array_equal(getattr(after, name), value, err_msg=name)
    assert str(after.summary()) == str(before.summary())
    np.testing.assert_array_equal(tifffile.imread(paths[1]), before.volume)
    with h5py.File(paths[0]) as file:
        data = file["/exchange/data"]
        assert data.shape == (3, 5, 6) and data.dtype == np.float32
        assert data.attrs["units"] == ("1/pixel" if pixel_size is None else "1/um")
        assert data.attrs["command"] == "pfitre recon x"
        assert file["/trust/measured"].attrs["units"] == data.attrs["units"]
        assert "jax" in json.loads(data.attrs["versions"])


def test_missing_values_stay_missing(tmp_path):
    [path, *_] = example().save(tmp_path)
    after = read_result(path)
    assert np.isnan(after.residual).all() and np.isnan(after.scale) and after.domain_score is None
    assert list(after.status) == [UNKNOWN] * 3 and after.summary()["status"] == ["unknown"] * 3


def test_a_file_of_version_0_2_can_be_loaded(tmp_path):
    before = example(pixel_size=0.5)
    [path, *_] = before.save(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["/result"]
    after = read_result(path)
    np.testing.assert_array_equal(after.volume, before.volume)
    np.testing.assert_array_equal(after.measured, before.measured)
    for name in ("center", "roll_deg", "columns", "row0", "raw_rows", "pixel_size", "method", "parameters"):
        assert getattr(after, name) == getattr(before, name)
    assert list(after.status) == [UNKNOWN] * 3 and not after.corrections()


def test_a_lazy_volume_is_written_block_by_block(tmp_path):
    volume = example().volume
    reads = []

    def reader(rows):
        return lambda: reads.append(rows) or volume[rows]

    rows = [slice(0, 2), slice(2, 3)]
    lazy = LazyVolume(volume.shape, [(r, reader(r)) for r in rows])
    np.testing.assert_array_equal(lazy[2], volume[2])
    np.testing.assert_array_equal(np.asarray(lazy), volume)
    reads.clear()
    paths = Result.of_volume(lazy, [0.0, 0.5], center=2.0, columns=6).save(tmp_path)
    assert reads == 2 * rows
    np.testing.assert_array_equal(read_result(paths[0]).volume, volume)
    np.testing.assert_array_equal(tifffile.imread(paths[1]), volume)


@pytest.mark.parametrize("replacement", ["another result", "nothing"])
def test_a_lazy_result_never_mixes_the_slices_of_two_runs(tmp_path, replacement):
    [path, *_] = example().save(tmp_path)
    lazy = read_result(path, lazy=True)
    first = lazy.volume[0]
    if replacement == "another result":
        np.testing.assert_array_equal(first, example().volume[0])
        Result.of_volume(-example().volume, np.linspace(0, 1.5, 4), center=2.25, columns=7).save(tmp_path)
    else:
        path.unlink()
    with pytest.raises(FileReplaced, match=r"recon\.h5 was re.* after it was first read; expected one file"):
        _ = lazy.volume[1]
    with pytest.raises(FileReplaced):
        lazy.export(tmp_path / "exported", ["tiff"])
    assert not list((tmp_path / "exported").iterdir())


@pytest.mark.parametrize("pixel_size", [None, 0.5])
def test_slices_and_components_are_exported_alike_from_memory_and_from_the_file(tmp_path, pixel_size):
    plain = example()
    limits = {"lower": plain.volume - 1, "upper": plain.volume + 2}
    result = example(pixel_size=pixel_size, **limits)
    [path, *_] = result.save(tmp_path)
    expected = limits | {
        "slices": result.volume,
        "measured": result.measured,
        "supplied": result.volume - result.measured,
    }
    for source in (result, read_result(path), read_result(path, lazy=True)):
        for image, values in expected.items():
            names = [file.name for file in source.export(tmp_path / image, ["tiff", "mrc"], image=image)]
            start = "recon" if image == "slices" else f"recon_{image}"
            assert names == [f"{start}.tif", f"{start}.mrc"]
            np.testing.assert_array_equal(tifffile.imread(tmp_path / image / names[0]), values)
            with mrcfile.open(tmp_path / image / names[1]) as file:
                np.testing.assert_array_equal(file.data, values.transpose(1, 0, 2))
                assert file.voxel_size.x == (1 if pixel_size is None else 5000)


def test_a_result_is_saved_in_all_formats_and_replaced_as_a_whole(tmp_path):
    names = ["recon.h5", "recon.tif", "recon.ome.zarr", "recon.mrc", "summary.json"]
    paths = example().save(tmp_path, formats=["hdf5", "tiff", "ome-zarr", "mrc"])
    assert [path.name for path in paths] == names
    image = zarr.open_group(tmp_path / "recon.ome.zarr", mode="r")
    np.testing.assert_array_equal(image["0"][:], example().volume)
    assert image.attrs["pfitre_jax"]["row0"] == 10 and image.attrs["pfitre_jax"]["method"] == "cgls"
    example().export(tmp_path, ["mrc"], image="supplied")
    (tmp_path / "recon_measured.tif").write_bytes(b"of another program")
    # No slices of the earlier result stay beside those of the new one.
    other = Result.of_volume(np.ones((1, 4, 4), np.float32), [0.0, 0.5], center=1.5, columns=4)
    other.save(tmp_path, formats=["ome-zarr"])
    names = ["recon.h5", "recon.ome.zarr", "recon_measured.tif", "summary.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert zarr.open_group(tmp_path / "recon.ome.zarr", mode="r")["0"].shape == (1, 4, 4)


def test_a_failing_export_keeps_the_earlier_files(tmp_path, monkeypatch):
    formats = ["ome-zarr", "mrc"]
    example().export(tmp_path, formats)

    def fail(self, path, stack):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MrcWriter, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        example(pixel_size=2.0).export(tmp_path, formats)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recon.mrc", "recon.ome.zarr"]
    image = zarr.open_group(tmp_path / "recon.ome.zarr", mode="r")
    assert "unit" not in image.attrs["ome"]["multiscales"][0]["axes"][0]


def test_a_folder_of_another_program_is_kept(tmp_path):
    folder = tmp_path / "recon.ome.zarr"
    folder.mkdir()
    (folder / "zarr.json").write_text("{}")
    with pytest.raises(FileExistsError, match=r"recon\.ome\.zarr was not written by pfitre"):
        example().export(tmp_path, ["ome-zarr"])
    assert (folder / "zarr.json").read_text() == "{}"


def test_an_unknown_or_missing_image_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown image 'noise'; expected one of slices, measured"):
        example().export(tmp_path, ["tiff"], image="noise")
    bare = Result.of_volume(np.ones((1, 4, 4), np.float32), [0.0, 0.5], center=1.5, columns=4)
    with pytest.raises(ValueError, match="no supplied component"):
        bare.export(tmp_path, ["tiff"], image="supplied")


def test_a_long_list_of_angles_fits_into_the_attributes(tmp_path):
    paths = example(views=20000).save(tmp_path)
    assert read_result(paths[0]).theta_rad.size == 20000


def test_the_summary_is_json_without_nan(tmp_path):
    result = complete(residual=np.array([0.5, np.nan, 1]), scale=np.float32(2))
    paths = result.save(tmp_path, extra={"path": Path("a")})
    read = json.loads(paths[2].read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read["residual"] == [0.5, None, 1] and read["rows"] == [10, 11, 12]
    assert read["scale"] == 2.0 and read["path"] == "a"
    assert read["status"] == ["converged", "diverged", "all iterations done"]


@pytest.mark.parametrize("lazy", [False, True])
def test_a_folder_is_read_through_its_file(tmp_path, lazy):
    result = complete()
    result.save(tmp_path)
    read = read_result(tmp_path, lazy=lazy)
    np.testing.assert_array_equal(read.volume[1], result.volume[1])
    assert read.method == result.method


def test_a_folder_without_a_result_is_refused(tmp_path):
    (tmp_path / "recon.tif").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"contains no recon\.h5; expected the output folder .*check"):
        read_result(tmp_path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"does not exist; expected the recon\.h5"):
        read_result(tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("words")
    with pytest.raises(ValueError, match="is not HDF5, or is truncated"):
        read_result(text)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(ValueError, match="does not contain /exchange/data"):
        read_result(other)
    with h5py.File(other, "w") as file:
        file["/exchange/data"] = np.zeros((2, 3, 3))
    with pytest.raises(ValueError, match="lacks theta_rad, center"):
        read_result(other)
