"""Reconstruction to files: resuming after a kill, several processes, and atomic results."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from analytic import CENTER, THETA, disc_stack
from typer.testing import CliRunner

import pfitre_jax as pf
from pfitre_jax import cli
from pfitre_jax.data.lazy_scan import FileRows
from pfitre_jax.data.readers.dxchange import write_dxchange
from pfitre_jax.reconstruction import resumable_run, run_identity, run_state
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.result import read_result
from pfitre_jax.solvers.loop import Status

ROWS = 9
DISCS = [[(2.0 - 0.3 * r, 1.0, 6.0 + 0.3 * r, 3.0)] for r in range(ROWS)]
SETTINGS = Settings.create("cgls")
#: Rows solved together in the runs of this file.
CHUNK = 2


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """A scan of 9 rows."""
    path = tmp_path_factory.mktemp("scans") / "scan.h5"
    write_dxchange(path, disc_stack(DISCS), THETA)
    return path


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("pfitre_jax.reconstruction.executor.CHUNK", CHUNK)


def run(path, folder, rows=slice(0, ROWS), settings=SETTINGS, **more):
    identity = run_identity.identify({"scan": path}, {"rows": f"{rows.start}:{rows.stop}"}, settings)
    assert not run_state.is_complete(folder, identity)
    scan = pf.open_scan(path, center=CENTER)
    result = resumable_run.reconstruct_to(folder, identity, scan, settings, rows, **more)
    result.save(folder, extra={run_identity.IDENTITY: identity, "complete": True})
    run_state.remove_partial(folder)
    return read_result(folder / "recon.h5")


def command(path, folder, *more):
    """The command line, on chunks of two rows."""
    module = "pfitre_jax.reconstruction.executor"
    code = f"import {module} as s, pfitre_jax.cli as c; s.CHUNK = {CHUNK}; c.main()"
    args = ["recon", path, "--center", CENTER, "--method", "cgls", "--out", folder, *more]
    return [sys.executable, "-c", code, *map(str, args)]


def check_same(a, b):
    np.testing.assert_array_equal(a.volume, b.volume)
    np.testing.assert_array_equal(a.measured, b.measured)


def test_result_equals_the_reconstruction_in_memory(path, small, tmp_path):
    stored = run(path, tmp_path)
    result = pf.reconstruct(pf.load_scan(path, center=CENTER), "cgls", chunk=CHUNK)
    np.testing.assert_array_equal(stored.volume, result.volume)
    np.testing.assert_array_equal(stored.measured, result.measured)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["recon.h5", "recon.tif", "summary.json"]


class _Killed(Exception):
    pass


def test_finished_rows_are_not_recomputed_and_the_result_is_equal(path, small, tmp_path):
    whole = run(path, tmp_path / "whole")
    seen = []

    def die(done, *_):
        seen.append(done)
        if done >= 6:
            raise _Killed

    with pytest.raises(_Killed):
        run(path, tmp_path / "parts", events=resumable_run.Events(solved=die))
    assert seen == [2, 4, 6]
    # A truncated file, a damaged file, and a file of an older version with fewer values for each row.
    partial = tmp_path / "parts" / "partial"
    first = partial / "rows-000000-000002.npz"
    first.write_bytes(first.read_bytes()[:-2000])
    second = partial / "rows-000002-000004.npz"
    with np.load(second) as content:
        known = {name: content[name] for name in content.files if name != "gains"}
    np.savez(second, **known)
    (partial / ".partial-1-rows-000006-000008.npz").write_bytes(b"half")
    began, seen = [], []
    events = resumable_run.Events(
        planned=lambda _, done: began.append(done), solved=lambda done, *_: seen.append(done)
    )
    check_same(run(path, tmp_path / "parts", events=events), whole)
    assert began == [2] and seen == [4, 6, 8, 9]
    assert not partial.exists()


def test_resuming_with_other_settings_is_refused_with_the_difference(path, small, tmp_path):
    run(path, tmp_path)
    same = run_identity.identify({"scan": path}, {"rows": f"0:{ROWS}"}, SETTINGS)
    assert run_state.is_complete(tmp_path, same)
    other = same | {"iterations": 5}
    with pytest.raises(ValueError, match=r"another result: iterations was 20, is 5; .*overwrite=True"):
        run_state.is_complete(tmp_path, other)
    (tmp_path / "partial").mkdir()
    assert not run_state.is_complete(tmp_path, other, overwrite=True) and (tmp_path / "partial").exists()
    # A run that overwrites another result can be resumed.
    (tmp_path / "partial" / "plan.json").write_text(json.dumps({run_identity.IDENTITY: other}))
    assert not run_state.is_complete(tmp_path, other)
    scan = pf.open_scan(path, center=CENTER)
    with pytest.raises(ValueError, match="belongs to another run: iterations was 5, is 20; remove it"):
        resumable_run.reconstruct_to(tmp_path, same, scan, SETTINGS, slice(0, ROWS))
    run_state.remove_partial(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match="its origin is not recorded"):
        run_state.is_complete(tmp_path, same)
    os.utime(path)
    assert run_identity.identify({"scan": path}, {"rows": f"0:{ROWS}"}, SETTINGS) != same


def test_an_interrupted_run_writes_the_finished_rows(path, small, tmp_path):
    whole = run(path, tmp_path / "whole")

    def stop(done, *_):
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(resumable_run.Interrupted) as stopped:
        run(path, tmp_path / "parts", events=resumable_run.Events(solved=stop))
    assert (stopped.value.done, stopped.value.rows) == (6, ROWS)
    stopped.value.result.save(tmp_path / "parts", extra={"complete": False})
    stored = read_result(tmp_path / "parts" / "recon.h5")
    np.testing.assert_array_equal(stored.volume, whole.volume[:6])


def test_insufficient_memory_is_refused_with_the_numbers(path, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"slices of 33 x 33 .* need .* GiB, and 0\.0 GiB are free"):
        run(path, tmp_path, limit=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(ValueError, match=r"needs .* GiB on disk, and 0\.00 GiB are free"):
        run(path, tmp_path)
    assert not (tmp_path / "partial").exists()


def test_a_diverged_row_is_marked_and_the_others_are_unaffected(path, small, tmp_path, monkeypatch):
    whole = run(path, tmp_path / "whole")
    read = FileRows.read

    def corrupt_row(self, rows):
        projections, mask = read(self, rows)
        if rows.start <= 3 < rows.stop:
            projections = projections.copy()
            projections[0, 3 - rows.start, 20] = np.inf
        return projections, mask

    scan = pf.open_scan(path, center=CENTER)
    identity = {"some": "run"}
    monkeypatch.setattr(FileRows, "read", corrupt_row)
    result = resumable_run.reconstruct_to(tmp_path / "diverged", identity, scan, SETTINGS, slice(0, ROWS))
    assert np.flatnonzero(result.status == Status.DIVERGED).tolist() == [3]
    assert any("rows 3 diverged" in warning for warning in result.warnings)
    for row in (2, 4, 8):
        # The scale differs, because the row is missing in it, and conjugate gradients magnify rounding.
        difference = np.linalg.norm(result.volume[row] - whole.volume[row])
        assert difference < 0.01 * np.linalg.norm(whole.volume[row])


# --- whole commands


def environment(**more):
    return {**os.environ, "JAX_PLATFORMS": "cpu", **more}


def call(line, check=True, **more):
    return subprocess.run(line, env=environment(**more), check=check, capture_output=True, text=True)


@pytest.fixture(scope="module")
def one(path, tmp_path_factory):
    """The result of one process on one device."""
    folder = tmp_path_factory.mktemp("one") / "out"
    call(command(path, folder))
    return read_result(folder / "recon.h5")


def test_four_devices_give_the_result_of_one(path, one, tmp_path):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    done = call(command(path, tmp_path / "four"), XLA_FLAGS=flags)
    assert "4 device(s)" in done.stderr
    four = read_result(tmp_path / "four" / "recon.h5")
    np.testing.assert_array_equal(four.support, one.support)
    # Conjugate gradients over views without a wedge magnify rounding.
    assert np.linalg.norm(four.volume - one.volume) < 5e-3 * np.linalg.norm(one.volume)
    assert np.linalg.norm(four.measured - one.measured) < 5e-3 * np.linalg.norm(one.measured)


def team_of_two() -> list:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return ["--coordinator", f"127.0.0.1:{port}", "--num-processes", 2]


def test_two_processes_share_the_rows(path, one, tmp_path):
    team = team_of_two()
    both = [
        subprocess.Popen(
            command(path, tmp_path / "two", *team, "--process-id", k),
            env=environment(),
            stderr=subprocess.PIPE,
        )
        for k in range(2)
    ]
    errors = [process.communicate(timeout=300)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    two = read_result(tmp_path / "two" / "recon.h5")
    np.testing.assert_allclose(two.volume, one.volume, atol=3e-3)
    assert not (tmp_path / "two" / "partial").exists()


@pytest.mark.slow
def test_all_processes_stop_if_one_fails(path, tmp_path):
    team = team_of_two()
    # The weights of a learned prior are placed on a device only after the processes are connected.
    learned = ["--method", "pfitre", "--iterations", 1]
    short = [learned, [*learned, "--memory", 0.001]]
    lines = [command(path, tmp_path / "two", *team, "--process-id", k, *short[k]) for k in range(2)]
    both = [subprocess.Popen(line, env=environment(), stderr=subprocess.PIPE, text=True) for line in lines]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert both[1].returncode == 2 and "GiB are free" in errors[1]
    assert both[0].returncode == 1 and "another process failed" in errors[0]


@pytest.mark.slow
def test_five_kills_at_random_times_do_not_change_the_result(tmp_path):
    """The shipped sample, one row at a time; each kill loses only the row in progress."""
    code = (
        "import pfitre_jax.reconstruction.executor as s; s.CHUNK = 1; from pfitre_jax.cli import main; main()"
    )
    line = lambda folder: [  # noqa: E731
        *(sys.executable, "-c", code, "recon", "--sample", "chip", "--out", str(folder))
    ]
    began = time.monotonic()
    call(line(tmp_path / "whole"))
    whole = time.monotonic() - began
    folder, done = tmp_path / "killed", 0
    for seconds in np.random.default_rng(5).uniform(0.2, 0.9, 5) * whole:
        process = subprocess.Popen(line(folder), env=environment(), stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if not (folder / "recon.h5").exists():
            had, done = done, len(list(folder.glob("partial/rows-*.npz")))
            assert done >= had
    call(line(folder))
    check_same(*(read_result(f / "recon.h5") for f in (folder, tmp_path / "whole")))
    assert not (folder / "partial").exists()


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 3])
def test_a_killed_command_resumes_bit_for_bit(path, tmp_path, moment):
    """``kill -9`` after the given number of parts."""
    folder = tmp_path / "killed"
    process = subprocess.Popen(command(path, folder), env=environment(), stderr=subprocess.DEVNULL)
    until = time.monotonic() + 240
    while len(list(folder.glob("partial/rows-*.npz"))) < moment and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "recon.h5").exists() or process.returncode == 0
    done = subprocess.run(
        command(path, folder), env=environment(), capture_output=True, text=True, check=True
    )
    call(command(path, tmp_path / "whole"))
    check_same(*(read_result(f / "recon.h5") for f in (folder, tmp_path / "whole")))
    assert "rows are finished already" in done.stderr or process.returncode == 0


@pytest.mark.slow
def test_events_are_machine_readable(path, tmp_path):
    done = subprocess.run(
        command(path, tmp_path / "out", "--json"),
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    events = [json.loads(line) for line in done.stderr.splitlines()]
    kinds = [event["event"] for event in events]
    assert {"note", "plan", "preview", "rows", "done"} <= set(kinds) and done.stdout == ""
    progress = [event for event in events if event["event"] == "rows"]
    assert [event["done"] for event in progress] == [2, 4, 6, 8, 9]
    assert progress[-1]["seconds_left"] == 0 and progress[0]["slices_per_second"] > 0
    assert all(Path(file).exists() for file in events[-1]["files"])
    quiet = subprocess.run(
        command(path, tmp_path / "quiet", "--quiet"),
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert quiet.stdout == quiet.stderr == ""


def test_the_memory_check_reports_the_need_and_writes_nothing(path, small, tmp_path):
    def call(*more):
        arguments = ["recon", path, "--center", CENTER, "--method", "cgls", "--out", tmp_path / "out", *more]
        return CliRunner().invoke(cli.app, [str(arg) for arg in arguments])

    done = call("--memory-check")
    assert "GiB needed" in done.stdout and "rows    9, in batches of 2" in done.stdout
    assert not (tmp_path / "out").exists()
    done = call("--memory", 0.001)
    assert done.exit_code == 2 and "GiB are free" in done.stderr and not (tmp_path / "out").exists()


def test_a_lazy_scan_equals_the_scan_in_memory(tmp_path):
    """With a roll, excluded views, a dead column, padding and flats, a few rows at a time."""
    rng = np.random.default_rng(0)
    stack = disc_stack([*DISCS, *DISCS]).astype(np.float32)
    counts = 1000 * np.exp(-0.1 * stack) + rng.normal(0, 1, stack.shape)
    counts[:, :, 12] = 7.0
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["exchange/data"] = counts
        file["exchange/data_white"] = np.full((2, *counts.shape[1:]), 1000.0)
        file["exchange/data_dark"] = np.zeros((1, *counts.shape[1:]))
        file["exchange/theta"] = np.rad2deg(THETA)
    options = dict(center=CENTER, roll=3.0, views="2:18", exclude_views="5:7")
    whole = pf.load_scan(tmp_path / "scan.h5", **options)
    stored = pf.open_scan(tmp_path / "scan.h5", **options)
    assert (stored.views, stored.rows, stored.columns) == (whole.views, whole.rows, whole.columns)
    for rows in (slice(0, 18), slice(0, 1), slice(5, 9), slice(17, 18)):
        part, expected = stored.select_rows(rows), whole.select_rows(rows)
        np.testing.assert_array_equal(part.mask, expected.mask)
        np.testing.assert_allclose(part.projections, expected.projections, atol=1e-5)
    assert not part.mask[:, :, 12].all()
    result, other = (pf.reconstruct(scan, "cgls", rows="8:10") for scan in (whole, stored))
    assert other.scale == pytest.approx(result.scale, rel=1e-4)
    np.testing.assert_allclose(other.volume, result.volume, atol=1e-3 * result.scale)
