"""The real scans, read once for each file of tests."""

from __future__ import annotations

import pytest

from pfitre_jax.data.preprocess import to_scan
from pfitre_jax.data.readers.registry import read_raw


@pytest.fixture(scope="module")
def cu23(data_dir):
    folder = data_dir / "cu23_hxn_xrf"
    return read_raw(folder / "Cu_example_23_LimitedAngle.tiff", folder / "Cu_example_23_LimitedAngle.csv")


@pytest.fixture(scope="module")
def i13(data_dir):
    return to_scan(read_raw(data_dir / "i13_tomo_standard" / "i13_24737.npz"))


@pytest.fixture(scope="module")
def tooth(data_dir):
    return to_scan(read_raw(data_dir / "tooth_aps2bm" / "tooth.h5"))
