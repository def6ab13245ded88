"""Tests of ``pfitre recon --align``, ``--alignment`` and ``--joint``."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from pfitre_jax import cli
from pfitre_jax.data.motion import Motion
from pfitre_jax.estimation import alignment as module
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.reconstruction import resumable_run, run_identity
from pfitre_jax.reconstruction.result import read_result
from pfitre_jax.twin.projection import project_finely
from pfitre_jax.twin.scenes.circuits3d import circuits3d

N, ROWS, VIEWS = 32, 8, 24
THETA = np.deg2rad(np.linspace(-50, 34, VIEWS))
MOVED = Motion(
    THETA,
    np.random.default_rng(0).normal(0, 1, VIEWS),
    np.zeros(VIEWS),
    np.ones(VIEWS),
    np.zeros(VIEWS),
    0.0,
    (N - 1) / 2,
)
OPTIONS = ["--method", "admm-tv", "--iterations", "20", "--tv-weight", "0.001"]


def pfitre(*args):
    done = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    return done


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    fine = circuits3d(jax.random.key(3), ROWS, 2 * N, 1 / N)
    geometry = ParallelGeometry.create(THETA, N)
    clean = np.moveaxis(np.asarray(jax.vmap(lambda image: project_finely(geometry, image))(fine)), 0, 1)
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    np.savez(path, projections=MOVED.undo(clean)[0], theta_rad=THETA, center=(N - 1) / 2)
    return path


@pytest.fixture(scope="module")
def out(path, tmp_path_factory) -> Path:
    """Folder of an aligned reconstruction."""
    out = tmp_path_factory.mktemp("align") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "align", functools.partial(module.align, steps=8))
        done = pfitre("recon", path, "--align", *OPTIONS, "--out", out)
    assert done.exit_code == 0, done.output
    assert "alignment: roll" in done.output
    return out


def test_the_alignment_is_saved_drawn_and_recorded(out):
    names = {"recon.h5", "recon.tif", "preview.png", "summary.json"}
    names |= {f"alignment.{suffix}" for suffix in ("csv", "xf", "aln", "png")}
    assert {file.name for file in out.iterdir()} == names
    assert (out / "alignment.png").read_bytes().startswith(b"\x89PNG")
    recorded = json.loads((out / "summary.json").read_text())["alignment"]
    with (out / "alignment.csv").open() as file:
        lines = list(csv.DictReader(file))
    np.testing.assert_allclose([float(line["theta_deg"]) for line in lines], np.rad2deg(THETA), atol=1e-6)
    np.testing.assert_allclose([float(line["shift_columns"]) for line in lines], recorded["shifts"])
    assert "centre" in recorded["pinned"] and recorded["residual"][-1] < recorded["residual"][0]


def test_alignment_reduces_the_residual(path, out, tmp_path):
    done = pfitre("recon", path, *OPTIONS, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    worse, better = (json.loads((f / "summary.json").read_text()) for f in (tmp_path / "out", out))
    assert np.mean(better["residual"]) < 0.6 * np.mean(worse["residual"])
    assert "alignment" not in worse


def test_a_known_alignment_gives_the_same_result(path, out, tmp_path):
    done = pfitre("recon", path, "--alignment", out / "alignment.csv", *OPTIONS, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    same = [read_result(folder / "recon.h5").volume for folder in (tmp_path / "out", out)]
    np.testing.assert_array_equal(*same)


def test_projections_follow_the_alignment(path, out, tmp_path):
    import tifffile

    measured = np.load(path)["projections"]
    errors = {}
    for name, extra in (("aligned", ["--alignment", out / "alignment.csv"]), ("not aligned", [])):
        target = tmp_path / f"{name}.tif"
        done = pfitre("project", out / "recon.h5", *extra, "--out", target)
        assert done.exit_code == 0, done.output
        predicted = tifffile.imread(target)
        finite = np.isfinite(predicted)
        errors[name] = np.linalg.norm((predicted - measured)[finite]) / np.linalg.norm(measured[finite])
    assert errors["aligned"] < 0.6 * errors["not aligned"]


@pytest.mark.slow
def test_a_resumed_run_uses_its_saved_alignment(path, out, tmp_path, monkeypatch):
    """The alignment is not estimated again."""
    folder = tmp_path / "out"
    monkeypatch.setattr(module, "align", functools.partial(module.align, steps=8))

    def stop(*args, **options):
        raise RuntimeError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(resumable_run, "reconstruct_to", stop)
        assert pfitre("recon", path, "--align", *OPTIONS, "--out", folder).exit_code == 1
    [kept] = (folder / "partial").glob("alignment-*.csv")
    # The alignment of another run is ignored.
    other = kept.with_name(f"alignment-{run_identity.digest({'scan': 'other'})}.csv")
    Motion.none(THETA[:5], 15.5).save(other)
    assert kept.read_text() == (out / "alignment.csv").read_text()

    def fail(*args, **options):
        raise AssertionError("estimated again")

    monkeypatch.setattr(module, "align", fail)
    done = pfitre("recon", path, "--align", *OPTIONS, "--out", folder)
    assert done.exit_code == 0, done.output
    same = [read_result(f / "recon.h5").volume for f in (folder, out)]
    np.testing.assert_array_equal(*same)


@pytest.mark.parametrize("drift", [False, True])
def test_the_drift_option_reaches_the_alignment(path, tmp_path, monkeypatch, drift):
    values = []

    def align(scan, start, **how):
        values.append(how["drift"])
        raise ValueError("that will do")

    monkeypatch.setattr(module, "align", align)
    done = pfitre("recon", path, "--align", *["--drift"] * drift, *OPTIONS, "--out", tmp_path / "out")
    assert values == [drift] and done.exit_code == 2 and "that will do" in done.output


@pytest.mark.slow
def test_joint_rows_differ_from_separate_rows(path, tmp_path):
    done = pfitre("recon", path, "--joint", *OPTIONS, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    alone = pfitre("recon", path, *OPTIONS, "--out", tmp_path / "alone")
    assert alone.exit_code == 0
    rough = lambda name: np.linalg.norm(np.diff(read_result(tmp_path / name / "recon.h5").volume, axis=0))  # noqa: E731
    assert rough("out") < rough("alone")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["chunk"] == ROWS
    other = pfitre("recon", path, *OPTIONS, "--out", tmp_path / "out")
    assert other.exit_code == 2 and "joint was True, is not set" in other.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--joint", "--method", "cgls"], "cgls solves every row separately"),
        (["--align", "--roll", "auto"], "leave --roll out"),
        (["--alignment", "none.csv"], "none.csv"),
        (["--alignment", "scan.npz"], "expected the alignment.csv"),
        (["--drift"], "--drift without --align"),
        (["--align", "--roll", "120"], "between -90 and 90"),
        (["--alignment", "turned.csv"], "the alignment has view 0 at"),
        (["--alignment", "turned.csv", "--center", "20"], "leave --center out"),
        (["--alignment", "few.csv"], "the alignment has 5 views, the scan has 24"),
    ],
)
def test_invalid_input_is_refused_in_one_line(path, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(path.parent)
    Motion.none(THETA[:5], 15.5).save("few.csv")
    Motion.none(THETA + 0.1, 15.5).save("turned.csv")
    done = pfitre("recon", path, *options, "--out", tmp_path / "out")
    assert done.exit_code == 2 and message in done.output and "Traceback" not in done.output
    assert not (tmp_path / "out").exists()
