"""HDF5 files that another program is writing."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from pfitre_jax.data.readers.dxchange import write_dxchange
from pfitre_jax.data.readers.registry import open_raw

#: Opens a file for writing, with or without SWMR, and keeps it open; or is killed before it closes it.
WRITE = """
import h5py, os, sys
file = h5py.File(sys.argv[1], "r+", libver="latest")
if sys.argv[2] == "swmr":
    file.swmr_mode = True
print("open", flush=True)
sys.stdin.read()
os._exit(1)
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["exchange/data"] = np.ones((5, 2, 8), np.float32)
        file["exchange/theta"] = np.arange(5.0)
    return path


@pytest.mark.parametrize("mode", ["plain", "swmr"])
def test_a_file_of_a_running_acquisition_is_not_called_damaged(path, mode, monkeypatch):
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    line = [sys.executable, "-c", WRITE, str(path), mode]
    writer = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(
            ValueError, match=r"wait until the acquisition has closed .*`pfitre watch`"
        ) as refused:
            open_raw(path)
        assert "damaged" not in str(refused.value)
    finally:
        writer.communicate()


def test_a_file_that_its_writer_did_not_close_names_the_repair(path):
    line = [sys.executable, "-c", WRITE, str(path), "swmr"]
    subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with pytest.raises(ValueError, match=r"its writer was killed; .*`h5clear -s FILE`"):
        open_raw(path)


def test_a_file_that_is_locked_between_opening_and_reading(tmp_path):
    path = tmp_path / "scan.h5"
    write_dxchange(path, np.ones((5, 2, 8), np.float32), np.linspace(0, 1, 5))
    raw = open_raw(path)
    fcntl = pytest.importorskip("fcntl")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="is locked by another program, which is writing it"):
            raw.load()
    assert raw.load().array.shape == (5, 2, 8)
