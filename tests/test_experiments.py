"""The experiments run, at their tiny presets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
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


@pytest.mark.slow
def test_prior_ablation_runs_at_its_tiny_preset(tmp_path):
    command = [sys.executable, "-m", "experiments.prior_ablation", "--preset", "tiny", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    results = json.loads((tmp_path / "prior_ablation.json").read_text())["results"]
    assert {part: set(table) for part, table in results.items()} == {
        "wedge": {"all", "not turned", "not told", "no data gradient"},
        "scenes": {"10", "unlimited"},
        "imperfections": {"all", "without zingers"},
    }
    for table in results.values():
        scores = [score for tests in table.values() for score in tests.values()]
        assert np.all(np.isfinite([list(score.values()) for score in scores]))
        # All are judged on the same scans.
        np.testing.assert_allclose([score["start"] for score in scores], scores[0]["start"], rtol=1e-5)
    said = (tmp_path / "prior_ablation.md").read_text()
    assert all(f"| {name} |" in said for name in ("not turned", "unlimited", "zingers"))
    assert (tmp_path / "prior_ablation.png").read_bytes().startswith(b"\x89PNG")
