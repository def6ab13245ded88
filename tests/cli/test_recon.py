"""Tests of ``pfitre recon``."""

import dataclasses
import hashlib
import json
import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from analytic import CENTER, COLUMNS, THETA_DEG, disc_image, disc_stack
from finished_runs import without_figures
from pfitre_command import pfitre

from pfitre_jax.data.readers.dxchange import write_dxchange
from pfitre_jax.reconstruction import executor, resumable_run
from pfitre_jax.reconstruction.result import read_result
from pfitre_jax.solvers.loop import Status

#: Discs of the three rows of the scans in conftest.py.
DISCS = [[(3.0, 1.0, 6.0 + r, 1.0)] for r in range(3)]
GOOD = "scan.npz --method cgls"


BAD = {
    "angle count": ("scan.tiff --angles few.csv", "3 angles for 20 views"),
    "radians that look like degrees": ("rad_like_deg.npz", "look like degrees"),
    "degrees that look like radians": ("scan.tiff --angles radians.csv", "look like radians"),
    "degrees called radians": ("scan.tiff --angles angles.csv --angle-unit rad", "look like degrees"),
    "NaN in the data": ("nan.npz", "first at view 1, row 1, column 5"),
    "infinity in the data": ("inf.npz", "NaN or infinite"),
    "NaN in the angles": ("scan.tiff --angles nan.csv", "finite"),
    "no angles beside a TIFF": ("scan.tiff", "--angles"),
    "no angles in the file": ("no_angles.npz", "no angles"),
    "2D TIFF": ("flat.tiff --angles angles.csv", "shape"),
    "empty TIFF": ("empty.tiff --angles angles.csv", "empty"),
    "truncated TIFF": ("truncated.tiff --angles angles.csv", "truncated"),
    "words in the CSV": ("scan.tiff --angles words.csv", "'north' is not a number"),
    "empty CSV": ("scan.tiff --angles empty.csv", "no angles"),
    "HDF5 without theta": ("no_theta.h5", "theta"),
    "no HDF5": ("no.h5", "HDF5"),
    "pickled archive": ("pickled.npz", "pickled"),
    "no such file": ("nowhere.npz", "does not exist"),
    "centre outside the detector": (f"{GOOD} --center 40", "outside the detector"),
    "centre that is no number": (f"{GOOD} --center left", "--center is 'left'; expected a number or 'auto'"),
    "rho that is no number": (f"{GOOD} --rho much", "--rho is 'much'; expected a number or 'auto'"),
    "roll that is no number": (f"{GOOD} --roll much", "--roll is 'much'"),
    "air that is no number": (f"{GOOD} --air thin", "--air is 'thin'; expected a line integral"),
    "rows outside the scan": (f"{GOOD} --rows 1:9", "lie outside the scan; expected A:B within 0:3"),
    "no rows": (f"{GOOD} --rows 2:2", "are empty"),
    "rows that are no selection": (f"{GOOD} --rows two", "is not a selection"),
    "views outside the scan": (f"{GOOD} --views 0:99", "lie outside the scan"),
    "no views left": (f"{GOOD} --exclude-views 0:20", "no view is left"),
    "unknown method": ("scan.npz --method magic", "unknown method 'magic'; expected one of fbp"),
    "unknown prior": ("scan.npz --method pfitre --prior oracle", "no prior 'oracle'"),
    "prior that is none": ("scan.npz --method pfitre --prior weights.npz", "weights.npz"),
    "intervals without a table": (
        "scan.npz --method pfitre-original --intervals full",
        "--intervals full, but the method 'pfitre-original' has no calibrated table",
    ),
    "unknown intervals": (f"{GOOD} --intervals wide", "'wide' is not one of 'quick', 'full', 'off'"),
    "zero iterations": (f"{GOOD} --iterations 0", "iterations is 0; expected a whole number of at least 1"),
    "negative iterations": (f"{GOOD} --iterations -3", "iterations is -3"),
    "iterations that are no number": (f"{GOOD} --iterations few", "--iterations"),
    "unknown option": (f"{GOOD} --iteration 3", "--iteration"),
    "setting of another method": (f"{GOOD} --rho 0.1", "takes no --rho"),
    "unknown data term": (f"{GOOD} --robust very", "'very' is not one of 'huber', 'student-t'"),
    "negative pixel size": (f"{GOOD} --pixel-size -1", "pixel size"),
    "unknown data kind": (f"{GOOD} --data photons", "photons"),
    "counts without flat": (f"{GOOD} --data counts", "no flat frame"),
    "scan and sample": (f"{GOOD} --sample chip", "expected either a SCAN or --sample"),
    "neither scan nor sample": ("--method cgls", "expected either a SCAN or --sample"),
    "unknown sample": ("--sample rock", "no sample 'rock'"),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_input_is_refused_in_one_line_before_anything_is_written(folder, monkeypatch, case):
    line, expected = BAD[case]
    if not line.startswith("-") and "--method" not in line:
        line += " --method cgls"
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    done = pfitre("recon", *line.split(), "--out", "out")
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output and done.stdout == ""
    assert expected in " ".join(done.stderr.split())
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/self/out"])
def test_an_output_folder_that_cannot_be_written_is_refused_before_the_scan_is_read(folder, monkeypatch, out):
    if out.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("needs /proc, which cannot be written")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(
        "pfitre_jax.reconstruction.scan_loading.open_scan", lambda *a, **k: pytest.fail("the scan was read")
    )
    done = pfitre("recon", "scan.npz", "--method", "cgls", "--out", out)
    assert done.exit_code == 2 and "use another --out" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_result_files_have_their_documented_content(recon, folder):
    assert sorted(p.name for p in recon.iterdir()) == ["preview.png", "recon.h5", "recon.tif", "summary.json"]
    summary = json.loads((recon / "summary.json").read_text())
    assert summary["method"] == "cgls" and summary["rows"] == [0, 1] and summary["center"] == CENTER
    assert summary["iterations"] == [15, 15] and max(summary["residual"]) < 0.02
    contract = "roll_deg wedge_deg scale status supplied seconds_compile seconds_run device versions".split()
    assert set(contract) <= set(summary) and len(summary["supplied"]) == 2
    stored = read_result(recon / "recon.h5")
    assert stored.volume.shape == (2, COLUMNS, COLUMNS) and stored.parameters == {"iterations": 15}
    with h5py.File(recon / "recon.h5") as file:
        command = file["/exchange/data"].attrs["command"]
    assert re.fullmatch(
        r"pfitre recon \S+scan.npz --method cgls --iterations 15 --rows 0:2 --out \S+out", command
    )
    assert stored.measured.shape == stored.volume.shape
    np.testing.assert_array_equal(tifffile.imread(recon / "recon.tif"), stored.volume)
    assert (recon / "preview.png").read_bytes().startswith(b"\x89PNG")
    output = (folder / "output.txt").read_text()
    assert all(str(recon / name) in output for name in ("recon.h5", "preview.png"))


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--photons", 300], {"photons": 300}),
        (["--robust", "huber"], {"robust": "huber"}),
        (["--stripes"], {"stripes": True}),
        (["--gains"], {"gains": True}),
    ],
)
def test_the_data_model_reaches_the_method_and_identifies_the_run(
    folder, tmp_path, monkeypatch, options, settings
):
    calls = []
    monkeypatch.setattr(resumable_run, "reconstruct_to", lambda *args, **_: calls.append(args) or sys.exit(9))
    pfitre("recon", folder / "scan.npz", "--method", "sirt", "--out", tmp_path / "out", *options)
    [(_, identity, _, used, *_)] = calls
    assert used.method == "sirt" and used.record() == {"iterations": 200, **settings}
    assert {name: identity[name] for name in settings} == settings


def test_down_weighted_views_are_listed(folder, tmp_path):
    """Views and columns without data are not among them."""
    stack = disc_stack(DISCS).copy()
    stack[5], stack[9], stack[:, 2] = np.roll(stack[5], 4, axis=-1), np.nan, np.nan
    np.savez(tmp_path / "slipped.npz", projections=stack, theta_deg=THETA_DEG, center=CENTER)
    out, method = tmp_path / "out", ("--method", "fista-tv", "--tv-weight", 1e-4, "--iterations", 40)
    done = pfitre("recon", tmp_path / "slipped.npz", *method, "--robust", "views", "--mask-nan", "--out", out)
    assert done.exit_code == 0, done.output
    robust = json.loads((out / "summary.json").read_text())["robust"]
    assert robust["often"] == [5] and robust["views"] == [1, 1, 0] and 0 < robust["by"][0] < 0.5
    output = " ".join(done.output.split())
    assert "robust: 0.7 views down-weighted per row on average; in at least half of the rows: 5" in output


@pytest.mark.parametrize("center", [None, "auto", "16.5"])
def test_the_origin_of_the_center_is_recorded(folder, tmp_path, center):
    center_option = [] if center is None else ["--center", center]
    done = pfitre(
        "recon",
        folder / "scan.npz",
        "--method",
        "cgls",
        "--iterations",
        1,
        *center_option,
        "--out",
        tmp_path / "out",
    )
    assert done.exit_code == 0, done.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    if center == "16.5":
        assert summary["center"] == 16.5 and "center" not in summary["scan"]
        assert "center 16.5;" in done.stderr
    else:
        assert summary["center"] == CENTER and summary["scan"]["center"] == "17, from the file"
        assert "center 17, from the file;" in done.stderr


@pytest.mark.parametrize("pixel_size", [None, 0.25])
def test_the_preview_of_the_sample_shows_its_truth(tmp_path, monkeypatch, pixel_size):
    stack = disc_stack(DISCS)
    truth = np.stack([disc_image(discs, COLUMNS) for discs in DISCS]).astype(np.float32)
    np.savez(tmp_path / "chip.npz", projections=stack, theta_deg=THETA_DEG, center=CENTER, truth=truth)
    monkeypatch.setattr("pfitre_jax.data.sample_files.SAMPLES", tmp_path)
    drawn = []
    from pfitre_jax.cli import result_display

    real = result_display.draw_preview
    monkeypatch.setattr(
        result_display, "draw_preview", lambda panels, **k: drawn.extend(panels) or real(panels, **k)
    )
    out = tmp_path / "out"
    done = pfitre(
        "recon",
        "--sample",
        "chip",
        "--method",
        "fista-tv",
        "--tv-weight",
        "1e-3",
        "--iterations",
        40,
        "--out",
        out,
        *([] if pixel_size is None else ["--pixel-size", pixel_size]),
    )
    assert done.exit_code == 0, done.output
    assert [panel.title.split()[0] for panel in drawn] == ["truth", "fista-tv", "row"]
    stored = read_result(out / "recon.h5")
    np.testing.assert_allclose(drawn[2].supplied, stored.volume[1] - stored.measured[1], atol=1e-6)
    unit = 1 if pixel_size is None else pixel_size
    np.testing.assert_array_equal(drawn[0].image, truth[1] / unit)
    shown = float(re.search(r"PSNR ([\d.]+) dB", drawn[1].title)[1])
    k = np.arange(COLUMNS) - (COLUMNS - 1) / 2
    disc = k[None, :] ** 2 + k[:, None] ** 2 <= (COLUMNS / 2) ** 2
    error = np.mean((drawn[1].image * unit - truth[1])[disc] ** 2)
    assert shown == pytest.approx(-10 * np.log10(error), abs=0.06)


def test_interruption_and_failure_have_their_own_exit_codes(folder, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    def fail(*args, **kwargs):
        raise RuntimeError("the device is gone")

    args = ("recon", folder / "scan.npz", "--method", "cgls", "--out", tmp_path / "out")
    monkeypatch.setattr("pfitre_jax.reconstruction.resumable_run.reconstruct_to", stop)
    assert pfitre(*args).exit_code == 130
    monkeypatch.setattr("pfitre_jax.reconstruction.resumable_run.reconstruct_to", fail)
    done = pfitre(*args)
    assert done.exit_code == 1 and "error: RuntimeError: the device is gone" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("failure", [ValueError("shapes differ"), AssertionError(), OSError(28, "No space")])
def test_an_exception_in_the_solver_is_a_failure_with_its_name(folder, tmp_path, monkeypatch, failure):
    def fail(*args, **kwargs):
        raise failure

    monkeypatch.setattr("pfitre_jax.reconstruction.executor.solve_blocks", fail)
    args = ("recon", folder / "scan.npz", "--method", "cgls", "--out", tmp_path / "out")
    done = pfitre(*args)
    assert done.exit_code == 1 and "Traceback" not in done.output
    assert f"error: {type(failure).__name__}: " in done.stderr
    monkeypatch.setenv("PFITRE_DEBUG", "1")
    done = pfitre(*args)
    assert done.exit_code == 1 and "Traceback" in done.output and "solve_blocks" in done.output


def test_divergence_of_all_rows_is_a_failure_but_the_result_is_kept(folder, tmp_path, monkeypatch):
    solve = executor.solve_blocks

    def diverge(*args, **kwargs):
        for solved in solve(*args, **kwargs):
            yield dataclasses.replace(solved, status=np.full_like(solved.status, int(Status.DIVERGED)))

    monkeypatch.setattr(executor, "solve_blocks", diverge)
    done = pfitre("recon", folder / "scan.npz", "--method", "cgls", "--out", tmp_path / "out")
    assert done.exit_code == 1 and "every row diverged" in done.stderr
    assert (tmp_path / "out" / "recon.h5").exists()


def test_a_folder_named_like_a_result_file_is_refused_before_the_scan_is_read(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "pfitre_jax.reconstruction.scan_loading.open_scan", lambda *a, **k: pytest.fail("the scan was read")
    )
    (tmp_path / "recon.tif").mkdir()
    done = pfitre("recon", folder / "scan.npz", "--method", "cgls", "--out", tmp_path)
    assert done.exit_code == 2 and "recon.tif is a folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["recon.tif"]


def test_after_a_full_disk_the_run_is_resumed(folder, tmp_path, monkeypatch):
    def full(path, *args, **kwargs):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("tifffile.TiffWriter", full)
    done = pfitre("recon", folder / "scan.npz", "--method", "cgls", "--out", tmp_path / "out")
    assert done.exit_code == 1 and "error: OSError: " in done.stderr
    assert "No space left on device" in done.stderr and "Traceback" not in done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["partial"]
    # Finished rows are kept; the same command resumes once there is space.
    monkeypatch.undo()
    monkeypatch.setattr(
        "pfitre_jax.reconstruction.executor.solve_blocks", lambda program, scan, blocks: iter(blocks)
    )
    args = ("recon", folder / "scan.npz", "--method", "cgls", "--out", tmp_path / "out")
    assert pfitre(*args).exit_code == 0 and not (tmp_path / "out" / "partial").exists()


def test_a_support_of_another_detector_is_refused_before_anything_is_written(tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((7, 7)))
    support = ["--support", str(tmp_path / "mask.npy")]
    done = pfitre("recon", "--sample", "chip", *support, "--out", tmp_path / "out")
    assert done.exit_code == 2 and "expected 140 x 140" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("suffix", ["npz", "h5"])
@pytest.mark.parametrize("command", ["recon", "inspect"])
def test_a_detector_of_one_or_two_columns_is_refused_with_the_least_width(tmp_path, columns, suffix, command):
    path, stack = tmp_path / f"scan.{suffix}", np.random.default_rng(0).random((20, 2, columns))
    if suffix == "npz":
        np.savez(path, projections=stack, theta_deg=THETA_DEG)
    else:
        write_dxchange(path, stack, np.deg2rad(THETA_DEG))
    more = ("--method", "sirt", "--out", tmp_path / "out") if command == "recon" else ()
    done = pfitre(command, path, *more)
    assert done.exit_code == 2 and not (tmp_path / "out").exists()
    plural = "s" if columns == 2 else ""
    assert f"the detector has {columns} column{plural}; expected at least 3" in done.stderr


def test_a_report_is_written_on_request_and_renewed_with_the_result(recon, folder, tmp_path, monkeypatch):
    without_figures(monkeypatch)
    line = ["recon", folder / "scan.npz", "--method", "cgls", "--iterations", 15, "--out", tmp_path / "out"]
    report = tmp_path / "out" / "report.html"
    done = pfitre(*line, "--rows", "0:2", "--report")
    assert done.exit_code == 0 and done.stdout.endswith(f"{report}\n"), done.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    sha256 = hashlib.sha256((folder / "scan.npz").read_bytes()).hexdigest()
    assert summary["inputs"]["scan"]["sha256"] == sha256 and sha256 in report.read_text()
    # The result exists already: the report alone is written.
    report.unlink()
    again = pfitre(*line, "--rows", "0:2", "--report")
    assert again.exit_code == 0 and "already contains this result" in again.stderr and report.exists()
    # A report must not outlive its result.
    assert pfitre(*line, "--rows", "1:3", "--overwrite").exit_code == 0
    assert "2 rows (1 to 2)" in report.read_text()
    solved = read_result(tmp_path / "out" / "recon.h5")

    def stop(*args, **kwargs):
        raise resumable_run.Interrupted(solved, 1, 2)

    monkeypatch.setattr(resumable_run, "reconstruct_to", stop)
    assert pfitre(*line, "--rows", "0:1", "--overwrite").exit_code == 130
    assert not json.loads((tmp_path / "out" / "summary.json").read_text())["complete"]
    assert not report.exists()
