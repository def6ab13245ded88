"""Scan files of the HDF5 layouts, and the angles of a scan of four views."""

from __future__ import annotations

import h5py
import numpy as np

DEGREES = np.array([0.0, 40.0, 80.0, 120.0])
THETA = np.deg2rad(DEGREES)


def write_exchange(path, **datasets):
    """A DXchange file with these datasets in ``/exchange``."""
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[f"exchange/{name}"] = values
    return path


def write_nxtomo(path, frames, keys, angles, units="degrees"):
    """An NXtomo file as Diamond writes it: the frames are linked from a second place."""
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry1/tomo_entry")
        detector = entry.create_group("instrument/detector")
        detector["data"] = frames
        detector["image_key"] = keys
        if angles is not None:
            entry["sample/rotation_angle"] = angles
            if units is not None:
                entry["sample/rotation_angle"].attrs["units"] = units
        entry["data/data"] = h5py.SoftLink("/entry1/tomo_entry/instrument/detector/data")
        entry["data/missing"] = h5py.SoftLink("/entry1/nowhere")
        entry["loop"] = h5py.SoftLink("/entry1")
    return path
