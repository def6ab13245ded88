"""Paths that are no files are refused."""

from __future__ import annotations

import os

import pytest
from malformed import Cases, check_recon_refuses
from tiny_scans import write_csv

CASES = Cases()


@CASES.case("a link to nothing", "does not exist")
def _(folder):
    (folder / "scan.npz").symlink_to("nowhere.npz")
    return ["scan.npz"]


@CASES.case("a link to itself", "does not exist")
def _(folder):
    (folder / "scan.npz").symlink_to("scan.npz")
    return ["scan.npz"]


@CASES.case("a link to a folder", "is a folder")
def _(folder):
    (folder / "scan.npz").symlink_to(folder, target_is_directory=True)
    return ["scan.npz"]


@CASES.case("a name with a NUL", "")
def _(folder):
    return ["scan\0.npz"]


@CASES.case("a name of 500 letters", "")
def _(folder):
    return ["a" * 500 + ".npz"]


for _suffix in (".h5", ".tif", ".npz"):

    @CASES.case(f"a FIFO called {_suffix}", "expected a file")
    def _(folder, name=f"scan{_suffix}"):
        os.mkfifo(folder / name)
        return [name, *write_csv(folder)]


@CASES.case("a device", "expected a file")
def _(folder):
    return ["/dev/zero"]


@CASES.case("a device called .npz", "expected a file")
def _(folder):
    (folder / "scan.npz").symlink_to("/dev/zero")
    return ["scan.npz"]


@pytest.mark.parametrize("name", CASES)
def test_a_path_that_is_no_file_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    check_recon_refuses(CASES, name, tmp_path, kept=list(CASES).index(name) % 2 == 1)
