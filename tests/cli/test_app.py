"""Tests of ``pfitre``, ``pfitre info``."""

import subprocess
import sys

from pfitre_command import pfitre


def test_info_prints_versions_devices_and_methods():
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
