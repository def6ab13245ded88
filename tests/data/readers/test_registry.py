"""Registry of the readers: rules that all formats share, and how to add a format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scan_formats import THETA, write_exchange

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers import registry
from pfitre_jax.data.readers.angles import read_angles
from pfitre_jax.data.readers.reader import Reader
from pfitre_jax.data.readers.registry import read_raw


def test_every_reader_takes_the_unit_of_the_csv_header(tmp_path, stack):
    csv = tmp_path / "angles.csv"
    csv.write_text("theta_rad\n" + "\n".join(map(str, THETA)))
    tifffile.imwrite(tmp_path / "scan.tif", stack, photometric="minisblack")
    np.savez(tmp_path / "scan.npz", projections=stack)
    write_exchange(tmp_path / "scan.h5", data=stack)
    for name in ("scan.tif", "scan.npz", "scan.h5"):
        np.testing.assert_allclose(read_raw(tmp_path / name, csv).theta_rad, THETA)
        with pytest.raises(ValueError, match="the angle unit is 'deg'"):
            read_raw(tmp_path / name, csv, angle_unit="deg")


def test_missing_files_and_folders(tmp_path, stack):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_raw(tmp_path / "none.tif")
    tifffile.imwrite(tmp_path / "scan.tif", stack, photometric="minisblack")
    with pytest.raises(FileNotFoundError, match=r"angles\.csv does not exist"):
        read_raw(tmp_path / "scan.tif", tmp_path / "angles.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder without views"):
        read_raw(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"shape \(4, 5, 6\).*of a stack, the path of the file"):
        read_raw(tmp_path)


def test_an_unknown_format(tmp_path):
    (tmp_path / "scan.xyz").write_text("words")
    with pytest.raises(ValueError, match="none of the known formats"):
        read_raw(tmp_path / "scan.xyz")


def test_an_unknown_kind(stack):
    with pytest.raises(ValueError, match="counts, transmission, absorption"):
        RawScan.create(stack, THETA, kind="phase")


#: Words of the page about scan files for formats that it does not call by their name.
DOCUMENTED = {
    "npz": "`.npz`",
    "TIFF folder": "a folder of TIFF images",
    "XRM folder": "a folder of `.xrm` images",
    "HDF5 dataset": "any HDF5 file",
    "HDF5 datasets": "a folder of any HDF5 files",
    "detector images": "other detector images",
}


class CountsReader(Reader):
    """A format for this test: a header line, and one row of numbers as text."""

    name = "counts"
    description = "text that begins with COUNTS"
    magic = (b"COUNTS",)
    suffixes = (".counts",)

    def read(self, file, options):
        projections = np.loadtxt(file.path, skiprows=1)[:, None]
        theta = read_angles(options.angles, options.angle_unit)
        provenance = {"file": str(file.path), "format": self.name, "angles": str(options.angles)}
        return RawScan.create(projections, theta, kind=options.kind, provenance=provenance)


def test_a_format_is_one_class_and_one_entry(tmp_path, monkeypatch, csv):
    monkeypatch.setattr(registry, "READERS", [*registry.READERS, CountsReader()])
    values = np.arange(1.0, 13).reshape(4, 3)
    for name in ("scan.counts", "scan.dat"):
        with (tmp_path / name).open("w") as file:
            np.savetxt(file, values, header="COUNTS", comments="")
        raw = read_raw(tmp_path / name, csv)
        np.testing.assert_array_equal(raw.projections[:, 0], values)
        assert raw.provenance["format"] == "counts"
    # The message for an unknown format lists it too.
    (tmp_path / "scan.xyz").write_text("words")
    with pytest.raises(ValueError, match=r"counts \(text that begins with COUNTS\)"):
        read_raw(tmp_path / "scan.xyz")


def test_names_of_the_formats_differ():
    names = [reader.name for reader in registry.READERS]
    assert len(set(names)) == len(names)


def test_every_format_is_documented():
    page = (Path(__file__).parents[3] / "docs/reference/scan_files.md").read_text()
    names = [reader.name for reader in (*registry.READERS, *registry.FOLDER_READERS)]
    missing = [name for name in names if DOCUMENTED.get(name, name) not in page]
    assert not missing
