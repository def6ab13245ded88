"""``pfitre recon --intervals``: files, summary and messages."""

from __future__ import annotations

import json

import h5py
import jax
import numpy as np
import pytest
from pfitre_command import pfitre

from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors import files
from pfitre_jax.priors.interval_table import IntervalCell, IntervalTable
from pfitre_jax.priors.network import NetworkPrior

CONFIG = UNetConfig(channels=(3, 4, 5), blocks=1, dilations=(1,), growth=3, embedding=4, expected_error=True)
#: The scans of conftest.py have no missing wedge, which this table does not cover.
TABLE = IntervalTable(0.9, 0, (IntervalCell((30.0, 120.0), (1e-5, 0.2), 2.0, 40),))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.npz"
    files.save(path, NetworkPrior.create(CONFIG, jax.random.key(0), {"name": "small"}))
    return path


def recon(folder, weights, out, *more):
    options = ("--prior", weights, "--iterations", 2, "--support", "disc", "--rows", "0:2", "--out", out)
    return pfitre("recon", folder / "scan.npz", *options, *more)


def test_a_prior_without_a_table_says_so_and_has_no_limits(folder, weights, tmp_path):
    done = recon(folder, weights, tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "no intervals: the prior 'small' has no calibrated table" in " ".join(done.stderr.split())
    assert json.loads((tmp_path / "out/summary.json").read_text())["intervals"] is None


def test_limits_are_written_and_a_scan_outside_of_the_table_is_flagged(folder, weights, tmp_path):
    files.save_intervals(weights, "expected-error", TABLE)
    done = recon(folder, weights, tmp_path / "out")
    assert done.exit_code == 0, done.output
    with h5py.File(tmp_path / "out/recon.h5") as file:
        volume, lower, upper = (file[name][()] for name in ("/exchange/data", "/trust/lower", "/trust/upper"))
    assert np.all(lower <= volume) and np.all(volume <= upper) and lower.min() >= 0
    assert np.mean(upper > volume) > 0.5
    record = json.loads((tmp_path / "out/summary.json").read_text())["intervals"]
    assert record["holds"] is False and "the missing wedge is 0 degrees wide" in record["reasons"][0]
    words = " ".join(done.output.split())
    assert "the true value of 9 of 10 pixels is within ±" in words
    assert "the intervals do not hold for this scan" in words
    # The same command finds its result, and another table is another result.
    assert "already contains this result" in " ".join(recon(folder, weights, tmp_path / "out").output.split())
    files.save_intervals(weights, "expected-error", IntervalTable(0.9, 0, (*TABLE.cells, *TABLE.cells)))
    again = recon(folder, weights, tmp_path / "out")
    assert again.exit_code == 2 and "intervals was expected-error" in " ".join(again.output.split())


def test_off_writes_none(folder, weights, tmp_path):
    assert recon(folder, weights, tmp_path / "out", "--intervals", "off").exit_code == 0
    with h5py.File(tmp_path / "out/recon.h5") as file:
        assert set(file["/trust"]) == {"measured"}
