import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from analytic import CENTER, COLUMNS, THETA_DEG, disc_image, disc_stack
from typer.testing import CliRunner

from pfitre_jax import cli
from pfitre_jax.cli.simulate import available_banks
from pfitre_jax.estimation.opposite_views import Estimate
from pfitre_jax.priors.files import available, locate, pretrained
from pfitre_jax.reconstruction import checkpoint as job
from pfitre_jax.reconstruction import executor as slices
from pfitre_jax.reconstruction.result import read_result
from pfitre_jax.solvers.loop import Status
from pfitre_jax.twin.artifacts.registry import ARTIFACTS

DISCS = [[(3.0, 1.0, 6.0 + r, 1.0)] for r in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Good and bad scans; nothing but `out` folders may appear beside them."""
    folder = tmp_path_factory.mktemp("scans")
    stack = disc_stack(DISCS)
    degrees = "\n".join(f"{a:g}" for a in THETA_DEG)
    text = {
        "angles.csv": f"angle\n{degrees}\n",
        "few.csv": "angle\n0\n1\n2\n",
        "words.csv": "angle\n" + degrees.replace("27", "north") + "\n",
        "nan.csv": "angle\n" + degrees.replace("27", "nan") + "\n",
        "radians.csv": "angle\n" + "\n".join(f"{a:g}" for a in np.deg2rad(THETA_DEG)) + "\n",
        "empty.csv": "",
        "file": "a file, not a folder",
        "no.h5": "not HDF5",
        "weights.npz": "no weights",
        "empty.tiff": "",
    }
    for name, content in text.items():
        (folder / name).write_text(content)
    tifffile.imwrite(folder / "scan.tiff", stack)
    tifffile.imwrite(folder / "flat.tiff", stack[0])
    (folder / "truncated.tiff").write_bytes((folder / "scan.tiff").read_bytes()[:5000])
    with h5py.File(folder / "no_theta.h5", "w") as file:
        file["/exchange/data"] = stack
    np.savez(folder / "scan.npz", projections=stack, theta_deg=THETA_DEG, center=CENTER)
    np.savez(folder / "no_angles.npz", projections=stack)
    np.savez(folder / "rad_like_deg.npz", projections=stack, theta_rad=THETA_DEG)
    np.savez(folder / "pickled.npz", projections=np.array([{"a": 1}], dtype=object), theta_deg=THETA_DEG)
    spoiled = stack.copy()
    spoiled[1, 1, 5] = np.nan
    np.savez(folder / "nan.npz", projections=spoiled, theta_deg=THETA_DEG, center=CENTER)
    spoiled[1, 1, 5] = np.inf
    np.savez(folder / "inf.npz", projections=spoiled, theta_deg=THETA_DEG, center=CENTER)
    return folder


def pfitre(*args):
    return CliRunner().invoke(cli.app, [str(arg) for arg in args])


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
    "rows outside the scan": (f"{GOOD} --rows 1:9", "lie outside the scan; expected A:B within 0:3"),
    "no rows": (f"{GOOD} --rows 2:2", "are empty"),
    "rows that are no selection": (f"{GOOD} --rows two", "is not a selection"),
    "views outside the scan": (f"{GOOD} --views 0:99", "lie outside the scan"),
    "no views left": (f"{GOOD} --exclude-views 0:20", "no view is left"),
    "unknown method": ("scan.npz --method magic", "unknown method 'magic'; expected one of fbp"),
    "unknown prior": ("scan.npz --method pfitre --prior oracle", "no prior 'oracle'"),
    "prior that is none": ("scan.npz --method pfitre --prior weights.npz", "weights.npz"),
    "zero iterations": (f"{GOOD} --iterations 0", "iterations is 0; expected a whole number of at least 1"),
    "negative iterations": (f"{GOOD} --iterations -3", "iterations is -3"),
    "iterations that are no number": (f"{GOOD} --iterations few", "--iterations"),
    "unknown option": (f"{GOOD} --iteration 3", "--iteration"),
    "setting of another method": (f"{GOOD} --rho 0.1", "takes no rho"),
    "unknown data term": (f"{GOOD} --robust very", "'very' is not one of 'huber', 'student-t'"),
    "negative pixel size": (f"{GOOD} --pixel-size -1", "pixel size"),
    "unknown data kind": (f"{GOOD} --data photons", "photons"),
    "counts without flat": (f"{GOOD} --data counts", "no flat frame"),
    "scan and sample": (f"{GOOD} --sample chip", "expected either a SCAN or --sample"),
    "neither scan nor sample": ("--method cgls", "expected either a SCAN or --sample"),
    "unknown sample": ("--sample rock", "no sample 'rock'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_message_before_anything_is_written(folder, monkeypatch, case):
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


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--missing", "180"], "--missing is 180; expected degrees between 0 and 180"),
        (["--card", "--only", "wedge"], "both --card and --only wedge were set"),
        (["--only", "weather"], "'weather' is not one of"),
        (["--scenes", "rock"], "the held-out files of 'rock' are not there"),
        (["--only", "sources"], "the held-out files of 'ihp' are not there"),
        (["--rho", "0"], "rho is 0"),
        (["--rho", "much"], "--rho is 'much'; expected a number or 'auto'"),
        (["--prior", "nobody"], "no prior 'nobody'"),
    ],
)
def test_evaluations_that_make_no_sense_are_refused(folder, monkeypatch, args, message):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PFITRE_DATA", str(folder / "nowhere"))
    before = sorted(folder.rglob("*"))
    done = pfitre("evaluate", "--quick", "--out", "judged", *args)
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.stderr.split()) and "Traceback" not in done.output
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/self/out"])
def test_an_output_folder_that_cannot_be_written_is_refused_before_the_work(folder, monkeypatch, out):
    if out.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("needs /proc, where nobody can write")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(
        "pfitre_jax.reconstruction.api.load_scan", lambda *a, **k: pytest.fail("the scan was read")
    )
    done = pfitre("recon", "scan.npz", "--method", "cgls", "--out", out)
    assert done.exit_code == 2 and "give another --out" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def recon(folder) -> Path:
    out = folder / "out"
    done = pfitre(
        "recon", folder / "scan.npz", "--method", "cgls", "--iterations", 15, "--rows", "0:2", "--out", out
    )
    assert done.exit_code == 0, done.output
    (folder / "output.txt").write_text(done.stdout)
    return out


def test_recon_writes_what_the_contract_says(recon, folder):
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
    ("told", "kept"),
    [
        (["--photons", 300], {"photons": 300}),
        (["--robust", "huber"], {"robust": "huber"}),
        (["--stripes"], {"stripes": True}),
        (["--gains"], {"gains": True}),
    ],
)
def test_what_is_told_of_the_data_reaches_the_method_and_no_other(folder, tmp_path, monkeypatch, told, kept):
    """And is what the run is known by: the same folder is refused to another one."""
    asked = []
    monkeypatch.setattr(job, "reconstruct_to", lambda *given, **_: asked.append(given) or sys.exit(9))
    line = ["recon", folder / "scan.npz", "--method", "sirt", "--out", tmp_path / "out"]
    pfitre(*line, *told)
    [(_, identity, _, settings, *_)] = asked
    assert settings.method == "sirt" and settings.record() == {"iterations": 200, **kept}
    assert {name: identity[name] for name in kept} == kept


def test_views_that_count_for_little_are_named(folder, tmp_path):
    """And not those of which there is nothing."""
    stack = disc_stack(DISCS).copy()
    stack[5], stack[9], stack[:, 2] = np.roll(stack[5], 4, axis=-1), np.nan, np.nan
    np.savez(tmp_path / "slipped.npz", projections=stack, theta_deg=THETA_DEG, center=CENTER)
    out, method = tmp_path / "out", ("--method", "fista-tv", "--tv-weight", 1e-4, "--iterations", 40)
    done = pfitre("recon", tmp_path / "slipped.npz", *method, "--robust", "views", "--mask-nan", "--out", out)
    assert done.exit_code == 0, done.output
    told = json.loads((out / "summary.json").read_text())["robust"]
    assert told["often"] == [5] and told["views"] == [1, 1, 0] and 0 < told["by"][0] < 0.5
    said = " ".join(done.output.split())
    assert "robust: 0.7 views down-weighted per row on average; in at least half of the rows: 5" in said


def test_project_gives_back_the_measured_sinogram(recon, folder, tmp_path):
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


def test_project_takes_the_unit_of_the_angles_from_their_header(recon, folder, tmp_path):
    radians = "\n".join(map(str, np.deg2rad(THETA_DEG)))
    (tmp_path / "named.csv").write_text(f"theta_rad\n{radians}\n")
    (tmp_path / "bare.csv").write_text(f"{radians}\n")
    runs = {
        "degrees": (folder / "angles.csv",),
        "named": (tmp_path / "named.csv",),
        "said": (tmp_path / "bare.csv", "--angle-unit", "rad"),
    }
    predicted = {}
    for name, angles in runs.items():
        done = pfitre("project", recon / "recon.h5", "--angles", *angles, "--out", tmp_path / f"{name}.tif")
        assert done.exit_code == 0, done.output
        predicted[name] = tifffile.imread(tmp_path / f"{name}.tif")
    np.testing.assert_allclose(predicted["named"], predicted["degrees"], atol=1e-3)
    np.testing.assert_array_equal(predicted["named"], predicted["said"])
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
        (["out/recon.h5", "--angles", "words.csv", "--out", "a.tif"], "is not a number"),
        (["out/recon.h5", "--center", "99", "--out", "a.tif"], "outside the detector"),
        (["out/recon.h5", "--columns", "0", "--out", "a.tif"], "columns is 0"),
    ],
)
def test_project_refuses_what_makes_no_sense(recon, folder, monkeypatch, args, message):
    monkeypatch.chdir(folder)
    done = pfitre("project", *args)
    assert done.exit_code == 2 and message in done.stderr
    assert not (folder / "a.tif").exists()


def test_inspect_says_what_a_scan_holds_and_draws_it(folder, tmp_path):
    out = tmp_path / "scan.png"
    done = pfitre("inspect", folder / "scan.tiff", "--angles", folder / "angles.csv", "--out", out)
    assert done.exit_code == 0, done.output
    for words in ("20 views x 3 rows x 33 columns", "0 to 171 degrees", "absorption", "not in the file"):
        assert words in done.stdout
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("center", [None, "auto", "16.5"])
def test_recon_says_where_the_centre_comes_from(folder, tmp_path, center):
    given = [] if center is None else ["--center", center]
    done = pfitre(
        "recon", folder / "scan.npz", "--method", "cgls", "--iterations", 1, *given, "--out", tmp_path / "out"
    )
    assert done.exit_code == 0, done.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    if center == "16.5":
        assert summary["center"] == 16.5 and "center" not in summary["scan"]
        assert "center 16.5;" in done.stderr
    else:
        assert summary["center"] == CENTER and summary["scan"]["center"] == "17, from the file"
        assert "center 17, from the file;" in done.stderr


def test_center_is_found(folder):
    done = pfitre("center", folder / "scan.tiff", "--angles", folder / "angles.csv")
    assert done.exit_code == 0, done.output
    assert float(re.search(r"center ([\d.]+) \+-", done.stdout)[1]) == pytest.approx(CENTER, abs=0.5)
    assert "roll unknown" in done.stdout


@pytest.mark.parametrize(("option", "what", "best"), [("--try", "center", 17), ("--try-roll", "roll", 0)])
def test_trials_are_drawn_and_listed(folder, tmp_path, option, what, best):
    values = f"{best - 2}:{best + 2}:2"
    done = pfitre("center", folder / "scan.npz", option, values, "--row", 1, "--out", tmp_path / "try")
    assert done.exit_code == 0, done.output
    table = np.genfromtxt(tmp_path / "try" / f"{what}.csv", delimiter=",", names=True)
    np.testing.assert_array_equal(table[what], [best - 2, best, best + 2])
    assert table[what][np.argmin(table["residual"])] == best
    assert (tmp_path / "try" / f"{what}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--try", "1:2:1"], "give --out DIR"),
        (["--try", "1:2:1", "--try-roll", "1:2:1", "--out", "t"], "expected one of them"),
        (["--try", "1:2", "--out", "t"], "is not a range of values"),
        (["--try", "1:99:50", "--out", "t"], "outside the detector"),
        (["--try", "16:17:1", "--row", "7", "--out", "t"], "row 7 is outside the scan"),
        (["--try-roll", "0:100:50", "--out", "t"], "the roll is 100"),
        (["--try-roll", "0:2:1", "--roll", "1.5", "--out", "t"], "leave --roll out"),
        (["--try-roll", "0:2:1", "--roll", "auto", "--out", "t"], "leave --roll out"),
        (["--try", "16:17:1", "--center", "17", "--out", "t"], "both --try and --center"),
        (["--out", "t"], "--out without trials"),
        (["--row", "1", "--method", "fbp"], "--row, --method without trials; expected --try A:B:S"),
        (["--center", "17", "--row", "0"], "--row without trials"),
        (["--try", "16:17:1", "--method", "magic", "--out", "t"], "unknown method 'magic'"),
    ],
)
def test_trials_that_make_no_sense_are_refused(folder, monkeypatch, args, message):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("pfitre_jax.cli.center.progress_bar", lambda *a, **k: pytest.fail("a bar was opened"))
    done = pfitre("center", "scan.npz", *args)
    assert done.exit_code == 2 and message in done.stderr, done.output
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "t").exists()


def test_a_given_center_is_not_looked_for(folder, monkeypatch):
    def fail(*args):
        pytest.fail("the centre was looked for")

    asked = []

    def find_roll(scan):
        asked.append(scan.center)
        return Estimate(0.25, "pairs", 0.1, np.zeros(1), np.zeros(1), 0.0)

    monkeypatch.setattr("pfitre_jax.estimation.center.find_center", fail)
    monkeypatch.setattr("pfitre_jax.estimation.center.find_roll", find_roll)
    done = pfitre("center", folder / "scan.npz", "--center", CENTER - 2)
    assert done.exit_code == 0, done.output
    assert asked == [CENTER - 2]
    assert f"center {CENTER - 2:g}, set by --center" in done.stdout and "roll 0.25 +-" in done.stdout


@pytest.mark.parametrize("pixel_size", [None, 0.25])
def test_the_sample_shows_its_truth(tmp_path, monkeypatch, pixel_size):
    stack = disc_stack(DISCS)
    truth = np.stack([disc_image(discs, COLUMNS) for discs in DISCS]).astype(np.float32)
    np.savez(tmp_path / "chip.npz", projections=stack, theta_deg=THETA_DEG, center=CENTER, truth=truth)
    monkeypatch.setattr("pfitre_jax.cli.samples.SAMPLES", tmp_path)
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


def test_an_interruption_and_a_failure_have_their_own_exit_codes(folder, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    def fail(*args, **kwargs):
        raise RuntimeError("the device is gone")

    args = ("recon", folder / "scan.npz", "--method", "cgls", "--out", tmp_path / "out")
    monkeypatch.setattr("pfitre_jax.reconstruction.checkpoint.reconstruct_to", stop)
    assert pfitre(*args).exit_code == 130
    monkeypatch.setattr("pfitre_jax.reconstruction.checkpoint.reconstruct_to", fail)
    done = pfitre(*args)
    assert done.exit_code == 1 and "error: RuntimeError: the device is gone" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("failure", [ValueError("shapes differ"), AssertionError(), OSError(28, "No space")])
def test_a_failing_solve_is_a_failure_that_names_itself(folder, tmp_path, monkeypatch, failure):
    def fail(*args, **kwargs):
        raise failure

    monkeypatch.setattr("pfitre_jax.reconstruction.executor.solve_blocks", fail)
    args = ("recon", folder / "scan.npz", "--method", "cgls", "--out", tmp_path / "out")
    done = pfitre(*args)
    assert done.exit_code == 1 and "Traceback" not in done.output
    assert f"error: {type(failure).__name__}: " in done.stderr
    monkeypatch.setenv("PFITRE_DEBUG", "1")
    done = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    assert done.exit_code == 1 and "Traceback" in done.output and "solve_blocks" in done.output


def test_all_rows_diverging_is_a_failure_but_the_result_is_kept(folder, tmp_path, monkeypatch):
    solve = slices.solve_blocks

    def diverge(*args, **kwargs):
        for solved in solve(*args, **kwargs):
            yield dataclasses.replace(solved, status=np.full_like(solved.status, int(Status.DIVERGED)))

    monkeypatch.setattr(slices, "solve_blocks", diverge)
    done = pfitre("recon", folder / "scan.npz", "--method", "cgls", "--out", tmp_path / "out")
    assert done.exit_code == 1 and "every row diverged" in done.stderr
    assert (tmp_path / "out" / "recon.h5").exists()


def test_a_folder_in_the_place_of_a_result_is_refused_before_the_work(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "pfitre_jax.reconstruction.api.load_scan", lambda *a, **k: pytest.fail("the scan was read")
    )
    (tmp_path / "recon.tif").mkdir()
    done = pfitre("recon", folder / "scan.npz", "--method", "cgls", "--out", tmp_path)
    assert done.exit_code == 2 and "recon.tif is a folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["recon.tif"]


def test_a_full_disk_is_a_failure_that_leaves_nothing(folder, tmp_path, monkeypatch):
    def full(path, *args, **kwargs):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("tifffile.imwrite", full)
    done = pfitre("recon", folder / "scan.npz", "--method", "cgls", "--out", tmp_path / "out")
    assert done.exit_code == 1 and "error: OSError: " in done.stderr
    assert "No space left on device" in done.stderr and "Traceback" not in done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["partial"]
    # What is solved is kept: the same command goes on once there is room.
    monkeypatch.undo()
    monkeypatch.setattr(
        "pfitre_jax.reconstruction.executor.solve_blocks", lambda program, scan, blocks: iter(blocks)
    )
    args = ("recon", folder / "scan.npz", "--method", "cgls", "--out", tmp_path / "out")
    assert pfitre(*args).exit_code == 0 and not (tmp_path / "out" / "partial").exists()


def test_a_broken_installation_is_a_failure_without_traceback(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pfitre_jax.data.truncation", None)
    done = pfitre("inspect", folder / "scan.npz")
    assert done.exit_code == 1 and done.stderr.startswith("error: ModuleNotFoundError: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_simulated_scan_is_reconstructed_and_holds_its_truth(tmp_path):
    path = tmp_path / "scan.h5"
    done = pfitre("simulate", "--out", path, "--rows", 2, "--columns", 32, "--views", 12)
    assert done.exit_code == 0, done.output
    with h5py.File(path) as file:
        assert file["/truth/data"].shape == (2, 32, 32)
        center = file["/exchange/data"].attrs["center"]
    done = pfitre("recon", path, "--method", "cgls", "--center", center, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output


def test_a_scan_is_simulated_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("cube.npy", np.indices((20, 20, 20))[1] // 10)
    options = ("--scene", "volumes", "--files", "cube.npy", "--rows", 1, "--columns", 32, "--views", 12)
    done = pfitre("simulate", "--out", tmp_path / "scan.h5", *options)
    assert done.exit_code == 0, done.output
    with h5py.File("scan.h5") as file:
        assert file["/truth/data"].shape == (1, 32, 32)


def test_training_without_its_files_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("PFITRE_DATA", str(tmp_path / "data"))
    done = pfitre("train", "--config", "general", "--out", tmp_path / "run")
    assert done.exit_code == 2 and not (tmp_path / "run").exists()
    assert f"in {tmp_path}/data; set PFITRE_DATA" in done.stderr and len(done.stderr.splitlines()) == 1


def test_training_on_imperfections_of_rows_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "mine.toml").write_text("[instrument]\nroll = [0.0, 2.0]\n")
    done = pfitre("train", "--config", tmp_path / "mine.toml", "--out", tmp_path / "run")
    assert done.exit_code == 2 and "roll need slices" in done.stderr and not (tmp_path / "run").exists()
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["train", "simulate"])
def test_layouts_without_gdstk_are_refused_before_anything_is_written(tmp_path, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "gdstk", None)
    (tmp_path / "chip.gds").write_bytes(b"")
    (tmp_path / "mine.toml").write_text(
        f'[scenes]\nlayouts = 1.0\n[banks]\nlayouts = ["{tmp_path}/chip.gds"]\n'
    )
    scene = ("--scene", "layouts") if command == "simulate" else ()
    done = pfitre(command, "--config", tmp_path / "mine.toml", *scene, "--out", tmp_path / "new.h5")
    assert done.exit_code == 2 and "pip install 'pfitre_jax[layouts]'" in done.stderr
    assert not (tmp_path / "new.h5").exists() and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_every_imperfection_can_be_switched_by_a_file_with_an_instrument_only(tmp_path):
    """All of them at once, on a volume; a scene of independent slices refuses those of rows."""
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
def test_simulate_refuses_what_makes_no_sense(tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    done = pfitre("simulate", *args)
    assert done.exit_code == 2 and message in done.stderr and not list(tmp_path.iterdir())


def test_info_names_versions_devices_and_methods():
    done = pfitre("info")
    assert done.exit_code == 0, done.output
    for words in ("versions", "jax", "devices", "method fista-tv", "method pfitre"):
        assert words in done.stdout


def test_the_command_runs_as_a_program(folder, tmp_path):
    command = [sys.executable, "-m", "pfitre_jax.cli"]
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "recon" in done.stdout
    bad = [*command, "recon", str(folder / "nowhere.npz"), "--method", "cgls", "--out", str(tmp_path / "out")]
    done = subprocess.run(bad, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


def test_priors_are_listed_with_their_hash_and_one_with_its_card():
    listed = pfitre("priors")
    assert listed.exit_code == 0
    names = available()
    assert [line.split()[0] for line in listed.output.strip().splitlines()] == names
    for name in names:
        card = pretrained(name).info.card
        assert card["sha256"] in listed.output
        shown = json.loads(pfitre("priors", name).output)
        assert shown == dict(card)


def test_a_prior_with_other_weights_than_its_hash_says_so(tmp_path):
    with np.load(locate(available()[0])) as file:
        content = dict(file)
    changed = next(name for name in content if name.startswith("params/") and content[name].size > 9)
    content[changed] = content[changed] + 1
    np.savez(tmp_path / "mine.npz", **content)
    done = pfitre("priors", tmp_path / "mine.npz")
    assert done.exit_code == 2 and "hash" in done.output and "Traceback" not in done.output
    assert len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [("[network]\nblocks = 1", "the weights belong to the network"), (None, "add a stage")],
    ids=["another network", "all steps made"],
)
def test_weights_that_do_not_fit_are_refused_before_anything_is_written(text, said, tmp_path):
    config, out = tmp_path / "mine.toml", tmp_path / "run"
    config.write_text(text or "")
    named = "circuits" if text is None else config
    done = pfitre("train", "--config", named, "--weights", "circuits", "--out", out)
    assert done.exit_code == 2 and said in done.output and len(done.output.strip().splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "mine.pth"], "--out is mine.pth; expected a file that ends in .npz"),
        (["--out", "mine.npz", "--steps", "0"], "--steps is 0"),
        (["--out", "mine.npz", "--prior", "nowhere"], "no prior 'nowhere'"),
        (["--out", "mine.npz", "--views", "0:8"], "the scan has 8 views; expected at least 12"),
        (["--out", "mine.npz", "--rows", "90:99"], "rows 90:99"),
    ],
)
def test_adaptations_that_make_no_sense_are_refused(options, said, tmp_path, monkeypatch):
    sample = Path(__file__).parents[2] / "pfitre_jax" / "samples" / "chip.npz"
    monkeypatch.chdir(tmp_path)
    done = pfitre("adapt", sample, *options)
    assert done.exit_code == 2 and said in done.output and "Traceback" not in done.output
    assert len(done.output.strip().splitlines()) == 1 and not list(tmp_path.iterdir())


def test_only_a_stage_that_is_there_is_trained(tmp_path):
    done = pfitre("train", "--config", "circuits", "--stage", "rolled", "--out", tmp_path / "run")
    assert done.exit_code == 2 and not (tmp_path / "run").exists()
    assert "circuits has no stage 'rolled'; expected one of its stages: unrolled" in done.output


def test_example_banks_are_made_of_the_files_that_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("PFITRE_DATA", str(tmp_path))
    assert available_banks(0) == {}
