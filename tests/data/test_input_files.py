"""The record of input files agrees with ``sha256sum``."""

import os
import shutil
import subprocess

import pytest

from pfitre_jax.data import input_files
from pfitre_jax.data.input_files import describe_input


def test_the_hash_of_a_file_and_of_several_is_that_of_sha256sum(tmp_path):
    if shutil.which("sha256sum") is None:
        pytest.skip("needs sha256sum")
    for name in ("b.tif", "a.tif", "c d.tif"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    files = [tmp_path / name for name in ("b.tif", "a.tif", "c d.tif")]
    command = "sha256sum a.tif b.tif 'c d.tif'"
    listing = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=True).stdout
    whole = subprocess.run("sha256sum", input=listing, capture_output=True, check=True).stdout
    record = describe_input(tmp_path, files)
    assert record["sha256"] == whole.split()[0].decode()
    assert record["files"] == 3 and record["bytes"] == 17_000
    assert describe_input(files[1], [files[1]])["sha256"] == listing.split()[0].decode()


def test_a_large_input_has_no_hash(tmp_path, monkeypatch):
    monkeypatch.setattr(input_files, "MAX_HASHED_BYTES", 10)
    (tmp_path / "scan.h5").write_bytes(b"0" * 11)
    os.utime(tmp_path / "scan.h5", ns=(5, 7_000_000_000))
    record = describe_input(tmp_path / "scan.h5", [tmp_path / "scan.h5"])
    assert record["sha256"] is None and record["bytes"] == 11 and record["changed_ns"] == 7_000_000_000
