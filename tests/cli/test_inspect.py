"""Tests of ``pfitre inspect``."""

import sys

from pfitre_command import pfitre


def test_the_contents_of_a_scan_are_printed_and_drawn(folder, tmp_path):
    out = tmp_path / "scan.png"
    done = pfitre("inspect", folder / "scan.tiff", "--angles", folder / "angles.csv", "--out", out)
    assert done.exit_code == 0, done.output
    for words in ("20 views x 3 rows x 33 columns", "0 to 171 degrees", "absorption", "not in the file"):
        assert words in done.stdout
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_broken_installation_is_a_failure_without_traceback(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pfitre_jax.data.truncation", None)
    done = pfitre("inspect", folder / "scan.npz")
    assert done.exit_code == 1 and done.stderr.startswith("error: ModuleNotFoundError: ")
    assert len(done.stderr.splitlines()) == 1
