"""Scans for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from analytic import CENTER, THETA_DEG, disc_stack
from pfitre_command import pfitre

DISCS = [[(3.0, 1.0, 6.0 + r, 1.0)] for r in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Good and bad scans; nothing but `out` folders may appear beside them."""
    folder = tmp_path_factory.mktemp("scans")
    stack = disc_stack(DISCS)
    degrees = "\n".join(f"{a:g}" for a in THETA_DEG)
    text = {
        "angles.csv": f"angle\n{degrees}\n",
        "few.csv": "angle\n0\n60\n120\n",
        "words.csv": "angle\n" + degrees.replace("27", "north") + "\n",
        "nan.csv": "angle\n" + degrees.replace("27", "nan") + "\n",
        "radians.csv": "angle\n" + "\n".join(f"{a:g}" for a in np.deg2rad(THETA_DEG)) + "\n",
        "empty.csv": "",
        "file": "a file, not a folder",
        "no.h5": "not HDF5",
        "weights.npz": "no weights",
        "empty.tiff": "",
    }
    for name, content in text.items():
        (folder / name).write_text(content)
    tifffile.imwrite(folder / "scan.tiff", stack)
    tifffile.imwrite(folder / "flat.tiff", stack[0])
    (folder / "truncated.tiff").write_bytes((folder / "scan.tiff").read_bytes()[:5000])
    with h5py.File(folder / "no_theta.h5", "w") as file:
        file["/exchange/data"] = stack
    np.savez(folder / "scan.npz", projections=stack, theta_deg=THETA_DEG, center=CENTER)
    np.savez(folder / "no_angles.npz", projections=stack)
    np.savez(folder / "rad_like_deg.npz", projections=stack, theta_rad=THETA_DEG)
    np.savez(folder / "pickled.npz", projections=np.array([{"a": 1}], dtype=object), theta_deg=THETA_DEG)
    non_finite = stack.copy()
    non_finite[1, 1, 5] = np.nan
    np.savez(folder / "nan.npz", projections=non_finite, theta_deg=THETA_DEG, center=CENTER)
    non_finite[1, 1, 5] = np.inf
    np.savez(folder / "inf.npz", projections=non_finite, theta_deg=THETA_DEG, center=CENTER)
    return folder


@pytest.fixture(scope="module")
def recon(folder) -> Path:
    out = folder / "out"
    done = pfitre(
        "recon", folder / "scan.npz", "--method", "cgls", "--iterations", 15, "--rows", "0:2", "--out", out
    )
    assert done.exit_code == 0, done.output
    (folder / "output.txt").write_text(done.stdout)
    return out
