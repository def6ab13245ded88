"""The experiments run, at their tiny presets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_real_chip_runs_at_its_tiny_preset(data_dir, tmp_path):
    command = [sys.executable, "-m", "experiments.real_chip", "--preset", "tiny", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PFITRE_DATA": str(data_dir)})
    [table] = json.loads((tmp_path / "real_chip.json").read_text())["results"].values()
    assert 0 < table["pfitre_residual"]["40"] < 0.2
    assert 0 < table["error_on_views_left_out"]["one end"]["pfitre"] < 1
    assert (tmp_path / "real_chip.png").read_bytes().startswith(b"\x89PNG")
