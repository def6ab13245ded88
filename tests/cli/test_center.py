"""Tests of ``pfitre center``."""

import re

import numpy as np
import pytest
from analytic import CENTER
from pfitre_command import pfitre

from pfitre_jax.estimation.estimate import Estimate


def test_the_center_is_estimated(folder):
    done = pfitre("center", folder / "scan.tiff", "--angles", folder / "angles.csv")
    assert done.exit_code == 0, done.output
    assert float(re.search(r"center ([\d.]+) \+-", done.stdout)[1]) == pytest.approx(CENTER, abs=0.5)
    assert "roll unknown" in done.stdout


@pytest.mark.parametrize(("option", "column", "best"), [("--try", "center", 17), ("--try-roll", "roll", 0)])
def test_trials_are_drawn_and_listed(folder, tmp_path, option, column, best):
    values = f"{best - 2}:{best + 2}:2"
    done = pfitre("center", folder / "scan.npz", option, values, "--row", 1, "--out", tmp_path / "try")
    assert done.exit_code == 0, done.output
    table = np.genfromtxt(tmp_path / "try" / f"{column}.csv", delimiter=",", names=True)
    np.testing.assert_array_equal(table[column], [best - 2, best, best + 2])
    assert table[column][np.argmin(table["residual"])] == best
    assert (tmp_path / "try" / f"{column}.png").read_bytes().startswith(b"\x89PNG")


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
def test_invalid_trials_are_refused(folder, monkeypatch, args, message):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("pfitre_jax.cli.center.progress_bar", lambda *a, **k: pytest.fail("a bar was opened"))
    done = pfitre("center", "scan.npz", *args)
    assert done.exit_code == 2 and message in done.stderr, done.output
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "t").exists()


def test_a_known_center_is_not_estimated(folder, monkeypatch):
    def fail(*args):
        pytest.fail("the centre was estimated")

    centers = []

    def find_roll(scan):
        centers.append(scan.center)
        return Estimate(0.25, "pairs", 0.1, np.zeros(1), np.zeros(1), 0.0)

    monkeypatch.setattr("pfitre_jax.estimation.center.find_center", fail)
    monkeypatch.setattr("pfitre_jax.estimation.roll.find_roll", find_roll)
    done = pfitre("center", folder / "scan.npz", "--center", CENTER - 2)
    assert done.exit_code == 0, done.output
    assert centers == [CENTER - 2]
    assert f"center {CENTER - 2:g}, set by --center" in done.stdout and "roll 0.25 +-" in done.stdout
