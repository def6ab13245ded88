"""Tests of ``pfitre simulate``."""

import h5py
import numpy as np
import pytest
from pfitre_command import pfitre

from pfitre_jax.cli.simulate import available_banks
from pfitre_jax.twin.artifacts.registry import ARTIFACTS


def test_a_simulated_scan_contains_its_truth_and_is_reconstructed(tmp_path):
    path = tmp_path / "scan.h5"
    done = pfitre("simulate", "--out", path, "--rows", 2, "--columns", 32, "--views", 12)
    assert done.exit_code == 0, done.output
    with h5py.File(path) as file:
        assert file["/truth/data"].shape == (2, 32, 32)
        center = file["/exchange/data"].attrs["center"]
    done = pfitre("recon", path, "--method", "cgls", "--center", center, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output


def test_a_scene_is_cut_from_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("cube.npy", np.indices((20, 20, 20))[1] // 10)
    options = ("--scene", "volumes", "--files", "cube.npy", "--rows", 1, "--columns", 32, "--views", 12)
    done = pfitre("simulate", "--out", tmp_path / "scan.h5", *options)
    assert done.exit_code == 0, done.output
    with h5py.File("scan.h5") as file:
        assert file["/truth/data"].shape == (1, 32, 32)


@pytest.mark.slow
def test_every_artifact_can_be_set_by_a_file_with_an_instrument_only(tmp_path):
    """All artifacts at once on a volume; independent slices refuse artifacts of rows."""
    config, path = tmp_path / "mine.toml", tmp_path / "scan.h5"
    lines = [f"{name} = [0.1, 0.2]" for name in ARTIFACTS if name not in ("noise", "counts")]
    config.write_text("\n".join(["[instrument]", "counts = [50, 80]", "probability = 1", *lines]))
    args = ("simulate", "--config", config, "--out", path, "--columns", 24, "--views", 6)
    refused = pfitre(*args)
    assert refused.exit_code == 2 and "rows of one volume" in refused.stderr and not path.exists()
    done = pfitre(*args, "--scene", "circuits3d", "--rows", 4)
    assert done.exit_code == 0, done.output
    with h5py.File(path) as file:
        assert file["/truth/data"].shape == (4, 24, 24)
        assert np.all(np.isfinite(file["/exchange/data"]))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "expected either --out scan.h5 or --gallery DIR"),
        (["--out", "a.h5", "--gallery", "b"], "expected either --out scan.h5 or --gallery DIR"),
        (["--out", "a.tif"], "expected an HDF5 file"),
        (["--out", "a.h5", "--scene", "clouds"], "unknown scene 'clouds'; expected one of circuits"),
        (["--out", "a.h5", "--config", "nowhere"], "no training configuration at nowhere"),
        (
            ["--out", "a.h5", "--scene", "images"],
            "expected some in --files, or in the configuration's [banks]",
        ),
        (
            ["--out", "a.h5", "--scene", "volumes", "--files", "none.npy"],
            "no file for volumes at none.npy in",
        ),
        (["--out", "a.h5", "--files", "a.png"], "--files with --scene circuits; expected one of layouts"),
    ],
)
def test_invalid_input_is_refused(tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    done = pfitre("simulate", *args)
    assert done.exit_code == 2 and message in done.stderr and not list(tmp_path.iterdir())


def test_example_banks_are_made_of_the_files_that_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("PFITRE_DATA", str(tmp_path))
    assert available_banks(0) == {}
