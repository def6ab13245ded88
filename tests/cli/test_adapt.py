"""Tests of ``pfitre adapt``."""

from pathlib import Path

import pytest
from pfitre_command import pfitre


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "mine.pth"], "--out is mine.pth; expected a file that ends in .npz"),
        (["--out", "mine.npz", "--minutes", "0"], "--minutes is 0"),
        (["--out", "mine.npz", "--prior", "nowhere"], "no prior 'nowhere'"),
        (["--out", "mine.npz", "--views", "0:8"], "the scan has 8 views; expected at least 12"),
        (["--out", "mine.npz", "--rows", "90:99"], "rows 90:99"),
    ],
)
def test_invalid_input_is_refused(options, message, tmp_path, monkeypatch):
    sample = Path(__file__).parents[2] / "pfitre_jax" / "samples" / "chip.npz"
    monkeypatch.chdir(tmp_path)
    done = pfitre("adapt", sample, *options)
    assert done.exit_code == 2 and message in done.output and "Traceback" not in done.output
    assert len(done.output.strip().splitlines()) == 1 and not list(tmp_path.iterdir())
