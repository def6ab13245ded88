"""A fluorescence scan of three elements, with a channel of scattered radiation and one without signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from analytic import disc_stack
from field_files import Content, xrf_tomo

ELEMENTS = ("Cu_K", "Fe_K", "Zn_K")
DEGREES = np.arange(0.0, 180.0, 9.0)


def elements_content(channels: tuple[str, ...] = (*ELEMENTS, "compton")) -> Content:
    """Copper in two discs, iron beside it, zinc in one: 20 views of 3 rows and 33 columns about column 17."""
    scatter = disc_stack([[(0.0, 0.0, 11.0, 5.0)]] * 3)
    maps = {
        "Cu_K": disc_stack([[(3.0, 1.0, 6.0 + row, 1.0), (-6.0, -4.0, 3.0, 0.5)] for row in range(3)]),
        "Fe_K": disc_stack([[(-5.0, 5.0, 4.0, 0.6)]] * 3),
        "Zn_K": disc_stack([[(-2.0, 4.0, 5.0, 0.7)]] * 3),
        "compton": scatter,
        "empty": np.zeros_like(scatter),
    }
    beam = np.random.default_rng(4).uniform(0.9, 1.1, scatter.shape) * 50_000
    return Content({name: maps[name] for name in channels}, beam, DEGREES, 0.05)


def elements_scan(folder: Path, channels: tuple[str, ...] = (*ELEMENTS, "compton")) -> Path:
    """An xrf-tomo file of these channels."""
    return xrf_tomo(folder, elements_content(channels))[0]
