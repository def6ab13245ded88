"""Tests of ``pfitre watch``."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest
import tifffile
from analytic import CENTER, COLUMNS, THETA, disc_image, disc_stack
from typer.testing import CliRunner

from pfitre_jax import cli
from pfitre_jax.data.readers.growing import GrowingScan

DISCS = [[(2.0, 1.0, 6.0, 3.0)], [(-3.0, 2.0, 5.0, 2.0)]]


#: Writes the views of a stack one after the other in a separate process.
WRITER = """
import sys, time, h5py, numpy as np
source = np.load(sys.argv[2])
stack, theta = source["stack"], source["theta"]
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    data = file.create_dataset("exchange/data", (0, *stack.shape[1:]), maxshape=(None, *stack.shape[1:]),
                               chunks=(1, *stack.shape[1:]), dtype="f4")
    angles = file.create_dataset("exchange/theta", (0,), maxshape=(None,), chunks=(16,), dtype="f8")
    file.swmr_mode = True
    print("open", flush=True)
    for k in range(len(stack)):
        for dataset, value in ((data, stack[k]), (angles, np.rad2deg(theta[k]))):
            dataset.resize(k + 1, axis=0)
            dataset[k] = value
            dataset.flush()
        time.sleep(float(sys.argv[3]))
"""


def write_all(path, views=20):
    with h5py.File(path, "w") as file:
        file["exchange/data"] = disc_stack(DISCS)[:views]
        file["exchange/theta"] = np.rad2deg(THETA)[:views]


def test_a_file_is_read_while_it_is_written(tmp_path):
    np.savez(tmp_path / "source.npz", stack=disc_stack(DISCS), theta=THETA)
    path = tmp_path / "scan.h5"
    args = [sys.executable, "-c", WRITER, path, tmp_path / "source.npz", "0.2"]
    with subprocess.Popen(args, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"open\n"
        growing = GrowingScan(path)
        seen = [growing.views()]
        while writer.poll() is None:
            views = growing.views()
            if views > seen[-1]:
                seen.append(views)
                raw = growing.read(slice(1, 2), views)
                np.testing.assert_allclose(raw.projections[:, 0], disc_stack(DISCS)[:views, 1], atol=1e-6)
                np.testing.assert_allclose(raw.theta_rad, THETA[:views], atol=1e-9)
    assert len(seen) > 3 and growing.views() == len(THETA)


def test_the_command_refreshes_until_the_scan_is_complete(tmp_path):
    write_all(tmp_path / "scan.h5")
    args = ["watch", tmp_path / "scan.h5", "--center", CENTER, "--method", "cgls", "--rows", "0:2"]
    done = CliRunner().invoke(cli.app, [*map(str, args), "--out", str(tmp_path / "out"), "--max-views", "20"])
    assert done.exit_code == 0 and "20 views, " in done.stderr, done.output
    images = tifffile.imread(tmp_path / "out" / "live.tif")
    truth = disc_image(DISCS[1], COLUMNS)
    assert np.linalg.norm(images[1] - truth) < 0.3 * np.linalg.norm(truth)
    assert (tmp_path / "out" / "live.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--support", "auto"], "--support auto compares reconstructions of a complete scan"),
        (["--support", "faces:-5,5"], "relative to the missing directions of a complete scan"),
        (["--refresh-views", "0"], "--refresh-views is 0; expected more than 0"),
        (["--step", "0"], "--refresh-views is 0; expected more than 0"),
        (["--joint"], "--joint without --rows; expected --rows A:B"),
        (["--joint", "--rows", "1:2", "--method", "admm-tv", "--tv-weight", "1"], "is one row; expected two"),
        (["--joint", "--rows", "0:2", "--method", "cgls"], "solves every row separately"),
        (["--rho", "much"], "--rho is 'much'; expected a number or 'auto'"),
        (["--rho", "0.01", "--method", "cgls"], "method 'cgls' takes no --rho"),
        (["--prior", "volume"], "uses the neighbouring rows of every row"),
        (["--rows", "5:9"], "the rows 5:9 are not in"),
        (["--center", "99"], "the centre 99 is outside the detector"),
    ],
)
def test_invalid_input_is_refused(tmp_path, more, message):
    write_all(tmp_path / "scan.h5")
    args = [
        "watch",
        str(tmp_path / "scan.h5"),
        "--center",
        str(CENTER),
        "--out",
        str(tmp_path / "out"),
        *more,
    ]
    done = CliRunner().invoke(cli.app, args)
    assert done.exit_code == 2 and message in done.stderr and "Traceback" not in done.output
    assert not (tmp_path / "out").exists()
