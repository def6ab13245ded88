"""HDF5 files: missing filters, damaged files and unknown layouts."""

from __future__ import annotations

import sys

import h5py
import numpy as np
import pytest
from scan_formats import DEGREES, THETA, write_exchange

from pfitre_jax.data.readers import hdf5_file
from pfitre_jax.data.readers.registry import read_raw


@pytest.mark.parametrize(("code", "name"), [(40001, "LZ4"), (40000, "")])
@pytest.mark.parametrize("linked", [False, True])
def test_a_filter_that_is_not_installed(tmp_path, monkeypatch, code, name, linked):
    # The numbers that exist are available once another test has imported hdf5plugin.
    monkeypatch.setitem(hdf5_file._FILTERS, 40001, "LZ4")
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        data = file.create_dataset(
            "exchange/data",
            (4, 5, 6),
            "f4",
            chunks=(4, 5, 6),
            compression=code,
            allow_unknown_filter=True,
        )
        data.id.write_direct_chunk((0, 0, 0), b"compressed")
        file["exchange/theta"] = DEGREES
    layout = h5py.VirtualLayout((4, 5, 6), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "raw.h5", "exchange/data", (4, 5, 6))
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file.create_virtual_dataset("exchange/data", layout)
        file["exchange/theta"] = DEGREES
    # A plugin package without this filter.
    (tmp_path / "hdf5plugin.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hdf5plugin", raising=False)
    what = "of a linked file" if linked else f"{code} {name}".strip()
    with pytest.raises(
        ValueError, match=rf"/exchange/data .* HDF5 filter .* \({what}\):.*hdf5plugin.*h5repack"
    ):
        read_raw(tmp_path / ("linked.h5" if linked else "raw.h5"))
    assert sys.modules.pop("hdf5plugin").__file__ == str(tmp_path / "hdf5plugin.py")


def test_angles_that_are_text(tmp_path, stack, csv):
    path = write_exchange(tmp_path / "scan.h5", data=stack, theta=["0", "40", "80", "120"])
    with pytest.raises(
        ValueError, match=r"scan\.h5: /exchange/theta is text; expected numbers.*angles='angles.csv'"
    ):
        read_raw(path)
    np.testing.assert_allclose(read_raw(path, csv).theta_rad, THETA)


def test_text_called_hdf5(tmp_path):
    (tmp_path / "scan.h5").write_text("no")
    with pytest.raises(ValueError, match="not an HDF5 file"):
        read_raw(tmp_path / "scan.h5")


def test_empty(tmp_path):
    (tmp_path / "scan.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="0 bytes"):
        read_raw(tmp_path / "scan.h5")


def test_truncated(tmp_path, stack):
    path = write_exchange(tmp_path / "scan.h5", data=stack, theta=DEGREES)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated"):
        read_raw(path)


def test_another_layout(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["results/volume"] = np.ones(3)
    with pytest.raises(
        ValueError, match=r"none of the known formats.*DXchange.*NXtomo.*found /results/volume"
    ):
        read_raw(tmp_path / "scan.h5")
