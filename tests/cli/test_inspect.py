"""Tests of ``pfitre inspect``."""

import json
import struct
import sys
import tracemalloc

import h5py
import numpy as np
import pytest
from analytic import CENTER, THETA_DEG, disc_stack
from elements_scan import elements_content, elements_scan
from field_files import write_mrc
from pfitre_command import pfitre


def test_the_contents_of_a_scan_are_printed_and_drawn(folder, tmp_path):
    out = tmp_path / "scan.png"
    done = pfitre("inspect", folder / "scan.tiff", "--angles", folder / "angles.csv", "--out", out)
    assert done.exit_code == 0, done.output
    for words in ("20 views x 3 rows x 33 columns", "0 to 171 degrees", "absorption", "not in the file"):
        assert words in done.stdout
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_broken_installation_is_a_failure_without_traceback(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pfitre_jax.data.truncation", None)
    done = pfitre("inspect", folder / "scan.npz")
    assert done.exit_code == 1 and done.stderr.startswith("error: ModuleNotFoundError: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_air_level_is_reported_and_recorded(folder, tmp_path):
    """Air at 3% of the maximum: stated by inspect, subtracted and recorded by recon unless --air none."""
    stack = np.pad(disc_stack([[(3.0, 1.0, 6.0 + r, 1.0)] for r in range(3)]), ((0, 0), (0, 0), (4, 4)))
    level = 0.03 * stack.max()
    scan = tmp_path / "air.npz"
    np.savez(scan, projections=stack + level, theta_deg=THETA_DEG, center=CENTER + 4)
    done = pfitre("inspect", scan)
    assert f"{level:.4g}, estimated from the edges of the detector, subtracted" in done.stdout
    assert "truncated views  none" in done.stdout
    without = pfitre("inspect", scan, "--air", "none")
    assert "air level        0\n" in without.stdout and "truncated views  0-19" in without.stdout
    summaries = {}
    for air in ("auto", "none", f"{level}"):
        out = tmp_path / f"out_{air}"
        arguments = ("--method", "fbp", "--rows", "1:2", "--air", air)
        done = pfitre("recon", scan, *arguments, "--out", out)
        assert done.exit_code == 0, done.output
        summaries[air] = json.loads((out / "summary.json").read_text())
        assert ("air level" in done.stderr) == (air != "none")
        assert summaries[air]["identity"]["air"] == (level if air not in ("auto", "none") else air)
    assert summaries["auto"]["scan"]["air"].startswith(f"{level:.4g}, estimated")
    assert "air" not in summaries["none"]["scan"]
    assert summaries[f"{level}"]["scan"]["air"] == f"{level:.4g}, supplied"
    # Another level is another result.
    refused = pfitre("recon", scan, *arguments[:-1], "none", "--out", out)
    assert refused.exit_code == 2 and "air" in refused.stderr


def declared_dxchange(path):
    """A sparse file of DXchange with 20 GB of counts; three rows are not 0."""
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.CONTIGUOUS)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((20, 125_000, 4000))
        h5py.h5d.create(file.create_group("exchange").id, b"data", h5py.h5t.NATIVE_UINT16, space, plist)
        file["exchange/theta"] = THETA_DEG
        for row in (0, 1984, 3968):
            file["exchange/data"][:, row, 100:200] = np.arange(2000).reshape(20, 100)


def declared_mrc(path):
    """20 GB of a tilt series."""
    write_mrc(path, np.ones((20, 1, 4000), np.float32))
    with path.open("r+b") as file:
        file.write(struct.pack("<3i", 4000, 62_500, 20))
        file.truncate(1024 + 4 * 20 * 62_500 * 4000)
    path.with_suffix(".tlt").write_text("\n".join(map(str, THETA_DEG)))


@pytest.mark.parametrize(
    "name, write",
    [
        ("scan.h5", declared_dxchange),
        pytest.param("scan.mrc", declared_mrc, marks=pytest.mark.slow),
    ],
)
def test_a_scan_of_20_gb_is_inspected_in_little_memory(tmp_path, name, write):
    write(tmp_path / name)
    assert (tmp_path / name).stat().st_size > 20e9
    tracemalloc.start()
    try:
        done = pfitre("inspect", tmp_path / name)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done.exit_code == 0, done.output
    assert " rows x 4000 columns" in done.stdout and "13 of" in done.stdout and peak < 100e6


def test_the_channels_of_a_scan_of_several_elements_are_listed(tmp_path):
    channels = ("Cu_K", "Fe_K", "compton", "empty")
    scan = elements_scan(tmp_path, channels)
    done = pfitre("inspect", scan)
    assert done.exit_code == 0, done.output
    listed = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert list(listed) == ["scan", "channels", *channels]
    content = elements_content(channels)
    for k, name in enumerate(channels[:2]):
        stack = content.fitted[:, k] / content.beam
        assert f"maximum {stack.max():.4g}, sum {stack.sum(dtype=float):.4g}, " in listed[name]
        assert f"{np.mean(stack == 0):.1%} of the bins are 0" in listed[name]
    assert "no signal" in listed["empty"] and listed["compton"].endswith("not an element")
    assert "choose a channel with --element Cu_K" in done.stderr and "--element Cu_K,Fe_K" in done.stderr
    # A channel that is chosen is summarised, as one that is the only element.
    assert "20 views x 3 rows x 33 columns" in pfitre("inspect", scan, "--element", "Fe").stdout
    refused = pfitre("inspect", scan, "--out", tmp_path / "scan.png")
    assert refused.exit_code == 2 and "--element Cu_K" in refused.stderr
