"""A random stack, and its angles as a CSV file."""

from __future__ import annotations

import numpy as np
import pytest
from scan_formats import DEGREES


@pytest.fixture
def stack():
    return np.random.default_rng(0).uniform(1, 2, (4, 5, 6)).astype(np.float32)


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "angles.csv"
    path.write_text("angle\n" + "\n".join(map(str, DEGREES)))
    return path
