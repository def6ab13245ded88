"""Slices in other formats: ``pfitre recon --format`` and ``pfitre export``."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from types import SimpleNamespace

import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from pfitre_command import pfitre

from pfitre_jax.data import folder_lock
from pfitre_jax.reconstruction import disk_space, resumable_run
from pfitre_jax.reconstruction.result import read_result

METHOD = ("--method", "cgls", "--iterations", 15, "--rows", "1:3", "--pixel-size", 0.5)


@pytest.fixture(scope="module", name="saved")
def _saved(folder):
    """A result in OME-Zarr and MRC, and the arguments that made it."""
    out = folder.parent / "saved"
    words = ("recon", folder / "scan.npz", *METHOD, "--out", out)
    done = pfitre(*words, "--format", "ome-zarr,hdf5", "--format", "mrc")
    assert done.exit_code == 0, done.output
    assert all(name in done.stdout for name in ("recon.h5", "recon.ome.zarr", "recon.mrc"))
    return out, words


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_recon_writes_the_formats_that_are_named(saved):
    out, _ = saved
    assert names(out) == ["preview.png", "recon.h5", "recon.mrc", "recon.ome.zarr", "summary.json"]
    volume = read_result(out / "recon.h5").volume
    image = zarr.open_group(out / "recon.ome.zarr", mode="r")
    np.testing.assert_array_equal(image["0"][:], volume)
    assert image.attrs["pfitre_jax"] == {
        "row0": 1,
        "units": "1/um",
        "method": "cgls",
        "parameters": {"iterations": 15},
    }
    with mrcfile.open(out / "recon.mrc") as file:
        np.testing.assert_array_equal(file.data, volume.transpose(1, 0, 2))
        assert file.voxel_size.x == 5000


def test_a_complete_result_gets_the_formats_that_it_lacks_without_a_new_run(saved, tmp_path, monkeypatch):
    out, words = saved
    shutil.copytree(out, tmp_path / "out")
    monkeypatch.setattr(resumable_run, "reconstruct_to", lambda *a, **k: pytest.fail("reconstructed again"))
    done = pfitre(*words[:-1], tmp_path / "out", "--format", "tiff,mrc")
    assert done.exit_code == 0, done.output
    assert "already contains this result" in done.stderr and "recon.tif written from recon.h5" in done.stderr
    volume = read_result(out / "recon.h5").volume
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "recon.tif"), volume)
    # The next time, nothing is left to do.
    done = pfitre(*words[:-1], tmp_path / "out", "--format", "tiff,mrc")
    assert done.exit_code == 0 and "written from" not in done.stderr


def test_export_writes_components_beside_the_result_or_elsewhere(saved, tmp_path):
    out, _ = saved
    shutil.copytree(out, tmp_path / "out")
    stored = read_result(out / "recon.h5")
    done = pfitre("export", tmp_path / "out", "--format", "tiff", "--image", "supplied")
    assert done.exit_code == 0 and "recon_supplied.tif" in done.stdout, done.output
    supplied = tifffile.imread(tmp_path / "out" / "recon_supplied.tif")
    np.testing.assert_array_equal(supplied, stored.volume - stored.measured)
    done = pfitre("export", out / "recon.h5", "--format", "tiff", "--out", tmp_path / "new")
    assert done.exit_code == 0 and names(tmp_path / "new") == ["recon.tif"], done.output
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "new" / "recon.tif"), stored.volume)
    assert names(out) == ["preview.png", "recon.h5", "recon.mrc", "recon.ome.zarr", "summary.json"]


def test_export_reads_the_result_that_is_there_once_the_folder_is_its_own(saved, tmp_path, monkeypatch):
    """A run that ends while export waits for the folder replaces the result."""
    out = tmp_path / "out"
    shutil.copytree(saved[0], out)
    new = dataclasses.replace(read_result(out / "recon.h5"), volume=np.ones((2, 33, 33), np.float32))

    @contextlib.contextmanager
    def lock(folder, command):
        new.save(folder)
        yield

    monkeypatch.setattr(folder_lock, "lock_folder", lock)
    done = pfitre("export", out, "--format", "mrc")
    assert done.exit_code == 0, done.output
    with mrcfile.open(out / "recon.mrc") as file:
        np.testing.assert_array_equal(file.data, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["out", "--format", "vtk"], "unknown format 'vtk'; expected one of tiff, ome-zarr, mrc"),
        (["out", "--format", "hdf5"], "unknown format 'hdf5'"),
        (["out", "--format", ","], "--format names no format"),
        (["out"], "Missing option '--format'"),
        (["nowhere", "--format", "mrc"], "does not exist"),
        (
            ["out", "--format", "mrc", "--image", "lower"],
            "no lower limit of the intervals; expected the recon.h5",
        ),
        (["out", "--format", "tiff"], "recon.tif was not written by pfitre"),
    ],
)
def test_invalid_input_is_refused_in_one_line(saved, tmp_path, monkeypatch, words, message):
    shutil.copytree(saved[0], tmp_path / "out")
    (tmp_path / "out" / "recon.tif").write_bytes(b"of another program")
    monkeypatch.chdir(tmp_path)
    before = names(tmp_path / "out")
    done = pfitre("export", *words)
    assert done.exit_code == 2 and message in done.stderr, done.output
    assert len(done.stderr.splitlines()) == 1 and names(tmp_path / "out") == before


def test_recon_refuses_an_unknown_format_before_the_scan_is_read(folder, tmp_path):
    done = pfitre("recon", folder / "scan.npz", *METHOD, "--format", "zarr", "--out", tmp_path / "out")
    assert done.exit_code == 2 and not (tmp_path / "out").exists()
    assert "unknown format 'zarr'; expected one of hdf5, tiff, ome-zarr, mrc" in done.stderr


def test_the_disk_space_counts_every_format(tmp_path):
    """Checkpoints and recon.h5 hold two volumes each; coarser levels add at most a third."""
    plan, volume = SimpleNamespace(image_shape=(100, 100), intervals=None), 4 * 12 * 100 * 100
    needed = {
        formats: disk_space.check_disk(tmp_path, plan, slice(0, 12), formats)[0] / volume
        for formats in (("hdf5",), ("hdf5", "tiff"), ("tiff", "mrc", "ome-zarr"))
    }
    assert list(needed.values()) == pytest.approx([4, 5, 4 + 1 + 1 + 4 / 3], abs=1e-4)
