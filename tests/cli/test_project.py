"""Tests of ``pfitre project``."""

import json

import numpy as np
import pytest
import tifffile
from analytic import THETA_DEG
from pfitre_command import pfitre


def test_projections_agree_with_the_measured_ones_to_the_recorded_residual(recon, folder, tmp_path):
    out = tmp_path / "sinogram.tif"
    done = pfitre("project", recon / "recon.h5", "--angles", folder / "angles.csv", "--out", out)
    assert done.exit_code == 0, done.output
    predicted = tifffile.imread(out)
    measured = tifffile.imread(folder / "scan.tiff")
    assert predicted.shape == measured.shape
    summary = json.loads((recon / "summary.json").read_text())
    for k, residual in zip(summary["rows"], summary["residual"], strict=True):
        difference = np.linalg.norm(predicted[:, k] - measured[:, k]) / np.linalg.norm(measured[:, k])
        assert difference == pytest.approx(residual, rel=1e-3)
    assert np.isnan(predicted[:, 2]).all() and "NaN" in done.stderr


def test_the_folder_of_the_result_is_read_through_its_file(recon, tmp_path):
    predicted = []
    for number, path in enumerate((recon / "recon.h5", recon)):
        done = pfitre("project", path, "--out", tmp_path / f"{number}.tif")
        assert done.exit_code == 0, done.output
        predicted.append(tifffile.imread(tmp_path / f"{number}.tif"))
    np.testing.assert_array_equal(*predicted)


def test_the_unit_of_the_angles_is_read_from_their_header(recon, folder, tmp_path):
    radians = "\n".join(map(str, np.deg2rad(THETA_DEG)))
    (tmp_path / "named.csv").write_text(f"theta_rad\n{radians}\n")
    (tmp_path / "bare.csv").write_text(f"{radians}\n")
    runs = {
        "degrees": (folder / "angles.csv",),
        "named": (tmp_path / "named.csv",),
        "option": (tmp_path / "bare.csv", "--angle-unit", "rad"),
    }
    predicted = {}
    for name, angles in runs.items():
        done = pfitre("project", recon / "recon.h5", "--angles", *angles, "--out", tmp_path / f"{name}.tif")
        assert done.exit_code == 0, done.output
        predicted[name] = tifffile.imread(tmp_path / f"{name}.tif")
    np.testing.assert_allclose(predicted["named"], predicted["degrees"], atol=1e-3)
    np.testing.assert_array_equal(predicted["named"], predicted["option"])
    done = pfitre(
        "project", recon / "recon.h5", "--angles", tmp_path / "named.csv", "--angle-unit", "deg",
        "--out", tmp_path / "refused.tif",
    )  # fmt: skip
    assert done.exit_code == 2 and "'theta_rad' is in 'rad'" in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["scan.npz", "--out", "a.tif"], "is not HDF5"),
        (["nowhere.h5", "--out", "a.tif"], "does not exist"),
        (["out/recon.h5", "--out", "a.png"], "expected a TIFF file"),
        (["out/recon.h5", "--out", "file/a.tif"], "is a file"),
        (["out/recon.h5", "--out", "out/recon.tif"], "the slices of this result"),
        (["out", "--out", "out/recon.tif"], "the slices of this result"),
        ([".", "--out", "a.tif"], "contains no recon.h5"),
        (["out/recon.h5", "--angles", "words.csv", "--out", "a.tif"], "is not a number"),
        (["out/recon.h5", "--center", "99", "--out", "a.tif"], "outside the detector"),
        (["out/recon.h5", "--columns", "0", "--out", "a.tif"], "columns is 0"),
    ],
)
def test_invalid_input_is_refused(recon, folder, monkeypatch, args, message):
    monkeypatch.chdir(folder)
    done = pfitre("project", *args)
    assert done.exit_code == 2 and message in done.stderr
    assert not (folder / "a.tif").exists()
