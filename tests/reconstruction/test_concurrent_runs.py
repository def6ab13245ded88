"""Commands that share an output folder: rows of two runs are never mixed, and no finished row is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from analytic import CENTER, THETA, disc_stack
from pfitre_command import pfitre

import pfitre_jax as pf
from pfitre_jax.data.folder_lock import LOCK, lock_folder
from pfitre_jax.data.readers.dxchange import write_dxchange
from pfitre_jax.reconstruction import resumable_run, run_identity, run_state
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.result import read_result

ROWS, CHUNK, PAIRS = 8, 1, 20
#: Options of commands that spend most of their time on starting and on writing rows.
QUICK = "--method fista-tv --tv-weight 0.001 --iterations 5 --support disc --air none"
DISCS = [[(2.0 - 0.3 * r, 1.0, 6.0 + 0.3 * r, 3.0)] for r in range(ROWS)]


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scans") / "scan.h5"
    write_dxchange(path, disc_stack(DISCS), THETA)
    return path


def test_a_command_is_refused_while_another_one_writes_to_its_folder(path, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "pfitre_jax.reconstruction.scan_loading.open_scan", lambda *a, **k: pytest.fail("the scan was read")
    )
    with lock_folder(tmp_path / "out", "pfitre recon other.h5"):
        for more in ([], ["--overwrite"]):
            done = pfitre("recon", path, "--method", "cgls", "--out", tmp_path / "out", *more)
            assert done.exit_code == 2, done.output
            assert f"process {os.getpid()} on " in done.stderr and "pfitre recon other.h5" in done.stderr
            assert "use another --out" in done.stderr and len(done.stderr.splitlines()) == 1
        assert [file.name for file in (tmp_path / "out").iterdir()] == [LOCK]


class _Killed(Exception):
    pass


def die(done, *_):
    if done >= 2 * CHUNK:
        raise _Killed


def run(path, folder, center, **events):
    settings, rows = Settings.create("cgls", iterations=3, support="disc"), slice(0, ROWS)
    identity = run_identity.identify({"scan": path}, {"center": center}, settings)
    scan = pf.open_scan(path, center=center, air="none")
    return resumable_run.reconstruct_to(
        folder, identity, scan, settings, rows, events=resumable_run.Events(**events)
    )


def test_rows_of_another_plan_are_not_used(path, tmp_path, monkeypatch):
    """Two plans in one folder, as on a file system whose locks fail."""
    monkeypatch.setattr("pfitre_jax.reconstruction.executor.CHUNK", CHUNK)
    expected = np.asarray(run(path, tmp_path / "alone", CENTER).volume)
    with pytest.raises(_Killed):
        run(path, tmp_path / "both", CENTER - 2, solved=die)
    partial = tmp_path / "both" / "partial"
    assert len(list(partial.glob("rows-*.npz"))) == 2
    (partial / "plan.json").unlink()
    began = []
    result = run(path, tmp_path / "both", CENTER, planned=lambda _, done: began.append(done))
    assert began == [0]
    np.testing.assert_array_equal(np.asarray(result.volume), expected)
    # A block that another run replaces before it is read is an error, too.
    block = next(partial.glob("rows-*.npz"))
    with np.load(block) as content:
        arrays = {name: content[name] for name in content.files}
    np.savez(block, **(arrays | {"plan": "another"}))
    with pytest.raises(OSError, match="replaced by another run"):
        np.asarray(result.volume)


def test_the_command_of_a_complete_result_keeps_the_rows_of_the_run_that_replaces_it(tmp_path):
    old, new = ({"center": center} for center in (1, 2))
    for name, content in (
        ("summary.json", {run_identity.IDENTITY: old, "complete": True}),
        ("partial/plan.json", {run_identity.IDENTITY: new}),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "recon.h5").write_bytes(b"")
    assert run_state.is_complete(tmp_path, old)
    run_state.remove_partial(tmp_path, old)
    assert (tmp_path / "partial" / "plan.json").exists()
    run_state.remove_partial(tmp_path, new)
    assert not (tmp_path / "partial").exists()


def command(path, folder, center, *more):
    """One row at a time, each for a moment, so that kills fall between rows."""
    code = (
        "import time, pfitre_jax.reconstruction.executor as s, pfitre_jax.reconstruction.resumable_run as c\n"
        f"s.CHUNK, write = {CHUNK}, c.write_block\n"
        "c.write_block = lambda *a: (write(*a), time.sleep(0.1))\n"
        "from pfitre_jax.cli import main; main()"
    )
    words = ["recon", path, "--center", center, "--out", folder, *QUICK.split(), *more]
    return [sys.executable, "-c", code, *map(str, words)]


def start(path, *line):
    # Every program is cached, so that the commands of all pairs compile once.
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(path.parent / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", **cache}
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(path, *line), env=environment, **output)


def finish(process):
    errors = process.communicate(timeout=600)[1]
    return process.returncode, errors


def finished_rows(folder):
    """Names of the checkpoints of the plan in the folder."""
    plan = folder / "partial" / "plan.json"
    if not plan.exists():
        return set()
    digest, names = run_identity.digest(json.loads(plan.read_text())), set()
    for block in (folder / "partial").glob("rows-*.npz"):
        with np.load(block) as content:
            if str(content["plan"]) == digest:
                names.add(block.name)
    return names


@pytest.mark.slow
def test_twenty_random_pairs_of_commands_and_kills_neither_mix_nor_lose_rows(path, tmp_path):
    """Two commands start with a random delay; one may be killed, after some rows or after some time."""
    centers, whole, seconds = (CENTER, CENTER - 2), {}, 0.0
    for center in centers:
        began = time.monotonic()
        code, errors = finish(start(path, tmp_path / f"whole{center}", center))
        seconds = time.monotonic() - began
        assert code == 0, errors
        whole[center] = read_result(tmp_path / f"whole{center}" / "recon.h5").volume
    rng, outcomes = np.random.default_rng(26), []
    for trial in range(PAIRS):
        folder = tmp_path / f"pair{trial}"
        order = rng.permutation(centers)
        processes = [start(path, folder, order[0])]
        time.sleep(rng.uniform(0, 0.6) * seconds)
        processes.append(start(path, folder, order[1], *(["--overwrite"] if rng.random() < 0.3 else [])))
        if rng.random() < 0.7:
            victim, moment = processes[int(rng.random() < 0.3)], rng.integers(ROWS)
            until = time.monotonic() + 2 * seconds
            while len(list(folder.glob("partial/rows-*.npz"))) < moment and time.monotonic() < until:
                time.sleep(0.02)
            victim.send_signal(signal.SIGKILL)
        ended = [finish(process) for process in processes]
        for code, errors in ended:
            assert code in (0, 2, -signal.SIGKILL), errors
            if code == 2:
                assert "used by another run" in errors or "another result" in errors, errors
        # The run that began, or was completed last, resumes; its rows are not computed again.
        rows = finished_rows(folder)
        codes = [code for code, _ in ended]
        for center in order:
            code, errors = finish(start(path, folder, center))
            if code == 0:
                break
            assert code == 2 and "another result" in errors
            assert finished_rows(folder) == rows
        else:
            pytest.fail(f"neither command resumes: {codes}")
        # A complete result may lie beside the rows of a killed run that was to replace it.
        kept = finished_rows(folder)
        assert not kept or kept == rows
        if rows and not kept:
            assert f"{len(rows)} rows are finished already" in errors, errors
        np.testing.assert_array_equal(read_result(folder / "recon.h5").volume, whole[center])
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["center"] == center and summary["complete"]
        assert not (folder / LOCK).exists()
        outcomes.append((codes, len(rows)))
        print(f"pair {trial}: exit codes {codes}, {len(rows)} rows resumed", flush=True)
    assert any(2 in codes for codes, _ in outcomes) and any(rows for _, rows in outcomes)
