"""Truncated and damaged files of every format are refused, and scans that do not fit into memory."""

from __future__ import annotations

import numpy as np
import pytest
from malformed import Cases, check_recon_refuses, check_refused, contents, limits, pfitre, rewrite
from tiny_scans import WRITERS

from pfitre_jax.data.readers import file_checks as checks

CASES = Cases()

for _format, _write in WRITERS.items():
    for _part in (0.0, 0.003, 0.2, 0.6, 0.97):

        @CASES.case(f"{_format}, {_part:.1%} of it", "")
        def _(folder, write=_write, part=_part):
            args = write(folder)
            rewrite(folder / args[0], lambda content: content[: int(part * len(content))])
            return args


@pytest.mark.parametrize("name", CASES)
def test_a_truncated_file_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    check_recon_refuses(CASES, name, tmp_path, kept=list(CASES).index(name) % 2 == 1)


def test_the_unmodified_scans_are_valid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for write in WRITERS.values():
        done = pfitre("inspect", *write(tmp_path))
        assert done.exit_code == 0 and "6 views x 3 rows x 16 columns" in done.stdout


@pytest.mark.parametrize("format", WRITERS)
def test_a_scan_larger_than_the_memory_is_refused(tmp_path, monkeypatch, format):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "free_memory", lambda: 1000)
    check_refused(pfitre("inspect", *WRITERS[format](tmp_path)), "1 kB of memory are free")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("format", WRITERS)
def test_flipped_bytes_are_refused_or_harmless(tmp_path, monkeypatch, format, seed):
    """A flipped byte may be one of the data: the scan is then read, with another value or a warning."""
    monkeypatch.chdir(tmp_path)
    args = WRITERS[format](tmp_path)
    generator = np.random.default_rng([seed, list(WRITERS).index(format)])
    content = bytearray((tmp_path / args[0]).read_bytes())
    # Two in three of them in the headers, which these formats keep at either end.
    ends = np.r_[0:512, len(content) - 512 : len(content)] if seed % 3 else np.arange(len(content))
    for at in generator.choice(ends, 1 + seed % 4, replace=False):
        content[at] ^= int(generator.integers(1, 256))
    (tmp_path / args[0]).write_bytes(content)
    before = contents(tmp_path)
    with limits():
        done = pfitre("inspect", *args)
    if done.exit_code != 0:
        check_refused(done, "")
    assert "Traceback" not in done.output and contents(tmp_path) == before
