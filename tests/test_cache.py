"""Compiled programs are kept from run to run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pfitre_jax.cli import cache


def run(folder, tmp_path, name):
    names = {k: v for k, v in os.environ.items() if k != cache.VARIABLE}
    line = [sys.executable, "-m", "pfitre_jax.cli", "recon", "--sample", "chip", "--rows", "0:2"]
    more = ["--method", "cgls", "--out", str(tmp_path / name)]
    # Also of programs that are compiled in no time.
    names |= {"XDG_CACHE_HOME": str(folder), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    names |= {"JAX_ENABLE_COMPILATION_CACHE": "1"}
    done = subprocess.run([*line, *more], env=names, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_second_run_finds_what_the_first_compiled(tmp_path):
    run(tmp_path / "cache", tmp_path, "first")
    kept = {path.name for path in (tmp_path / "cache").rglob("*-cache")}
    run(tmp_path / "cache", tmp_path, "second")
    assert kept and {path.name for path in (tmp_path / "cache").rglob("*-cache")} == kept


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "cache").write_text("a file")
    run(tmp_path / "cache", tmp_path, "out")


def test_what_was_used_longest_ago_goes_first(tmp_path):
    for age, name in enumerate("abc"):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    cache.prune(tmp_path, largest=250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
