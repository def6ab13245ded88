"""Two discs, shared by the tests of the virtual instrument and of its projection."""

from __future__ import annotations

import numpy as np

COLUMNS = 32
THETA = np.deg2rad(np.linspace(4.0, 172.0, 24))
#: x, y, radius (bins), value; well inside the detector, off its middle.
DISCS = [(3.0, -2.0, 6.5, 0.8), (-5.5, 4.0, 3.0, 0.5)]
