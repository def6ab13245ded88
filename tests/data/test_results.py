import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.data.results import StoredResult, read_result, result_writers


def stored(views: int = 4, pixel_size: float | None = None) -> StoredResult:
    volume = np.random.default_rng(0).random((3, 5, 6)).astype(np.float32)
    theta = np.linspace(0, 1.5, views)
    return StoredResult(
        volume, theta, 2.25, -1.5, 7, 10, 84, pixel_size, "cgls", {"iterations": 20}, volume / 3
    )


@pytest.mark.parametrize("pixel_size", [None, 0.5])
def test_a_result_comes_back_as_it_was_written(tmp_path, pixel_size):
    before = stored(pixel_size=pixel_size)
    paths = write_files(tmp_path / "new" / "folder", result_writers(before, {"a": 1}, "pfitre recon x"))
    after = read_result(paths[0])
    np.testing.assert_array_equal(after.volume, before.volume)
    np.testing.assert_array_equal(after.measured, before.measured)
    np.testing.assert_array_equal(after.theta_rad, before.theta_rad)
    for name in ("center", "roll_deg", "columns", "row0", "raw_rows", "pixel_size", "method", "parameters"):
        assert getattr(after, name) == getattr(before, name)
    np.testing.assert_array_equal(tifffile.imread(paths[1]), before.volume)
    with h5py.File(paths[0]) as file:
        data = file["/exchange/data"]
        assert data.shape == (3, 5, 6) and data.dtype == np.float32
        assert data.attrs["units"] == ("1/pixel" if pixel_size is None else "1/um")
        assert data.attrs["command"] == "pfitre recon x"
        assert file["/trust/measured"].attrs["units"] == data.attrs["units"]
        assert "jax" in json.loads(data.attrs["versions"])


def test_a_long_list_of_angles_fits_into_the_attributes(tmp_path):
    paths = write_files(tmp_path, result_writers(stored(views=20000), {}))
    assert read_result(paths[0]).theta_rad.size == 20000


def test_the_summary_is_json_without_nan(tmp_path):
    summary = {
        "residual": np.array([0.5, np.nan]),
        "rows": np.arange(2),
        "scale": np.float32(2),
        "path": Path("a"),
    }
    paths = write_files(tmp_path, result_writers(stored(), summary))
    read = json.loads(paths[2].read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read == {"residual": [0.5, None], "rows": [0, 1], "scale": 2.0, "path": "a"}


def test_a_file_that_is_not_a_result_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"does not exist; expected the recon\.h5"):
        read_result(tmp_path / "none.h5")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_result(tmp_path)
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
