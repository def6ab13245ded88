"""Malformed files of angles beside a stack are refused."""

from __future__ import annotations

import os

import pytest
from malformed import Cases, check_recon_refuses
from tiny_scans import write_csv, write_tiff

CASES = Cases()


@CASES.case("angles: 64 GB", "too large")
def _(folder):
    args = write_tiff(folder)
    with (folder / "angles.csv").open("r+b") as file:
        file.truncate(64 * 2**30)
    return args


@CASES.case("angles: a FIFO", "expected a file")
def _(folder):
    args = write_tiff(folder)
    (folder / "angles.csv").unlink()
    os.mkfifo(folder / "angles.csv")
    return args


@CASES.case("angles: a device", "expected a file")
def _(folder):
    return [*write_tiff(folder)[:1], "--angles", "/dev/zero"]


@CASES.case("angles: a folder", "is a folder")
def _(folder):
    return [*write_tiff(folder)[:1], "--angles", "."]


for _name, (_content, _message) in {
    "binary": (bytes(range(256)), "not a text file"),
    "UTF-16": ("angle\n1\n2\n".encode("utf-16"), "not a text file"),
    "empty": (b"", "no angles"),
    "blank lines": (b"\n \n\t\n", "no angles"),
    "comments": (b"# 1\n# 2\n", "no angles"),
    "a header": (b"angle\n", "no angles"),
    "NaN": (b"0\n30\nnan\n90\n120\n150\n", "finite"),
    "infinite": (b"0\n30\n1e999\n90\n120\n150\n", "finite"),
    "five": (b"0\n30\n60\n90\n120\n", "5 angles for 6 views"),
    "10**5": (b"0\n90\n" * (10**5 // 2), "100000 angles for 6 views"),
    "words": (b"0\n30\nsixty\n90\n120\n150\n", "'sixty' is not a number"),
    "a hexadecimal number": (b"0x10\n30\n60\n90\n120\n150\n", "'0x10' is not a number"),
    "two in a line": (b"0\n30\n60, 70\n90\n120\n150\n", "fields"),
    "a blank of 10**5": (b"0" + b" " * 10**5 + b"1\n30\n", "is not a number"),
    "a word of 10**6 letters": (b"0\n" + b"x" * 10**6, "is not a number"),
    "10**4 columns": (b",".join([b"0"] * 10**4), "10000 columns"),
    "10**4 columns with names": (b",".join([b"name"] * 10**4) + b"\n", "columns"),
}.items():

    @CASES.case(f"angles: {_name}", _message)
    def _(folder, content=_content):
        return [*write_tiff(folder)[:1], *write_csv(folder, content)]


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_file_of_angles_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    check_recon_refuses(CASES, name, tmp_path, kept=list(CASES).index(name) % 2 == 1)
