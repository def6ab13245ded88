"""The real chip, for estimates of centre and roll."""

from __future__ import annotations

import pytest

from pfitre_jax.data.preprocess import to_scan
from pfitre_jax.data.readers.registry import read_raw


@pytest.fixture(scope="module")
def cu23(data_dir):
    folder = data_dir / "cu23_hxn_xrf"
    return to_scan(
        read_raw(folder / "Cu_example_23_LimitedAngle.tiff", folder / "Cu_example_23_LimitedAngle.csv")
    )
