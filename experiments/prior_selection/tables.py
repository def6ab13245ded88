"""Tables and picture of the selection of a prior."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from experiments.prior_selection.config import Config


def tables(config: Config, results: dict) -> str:
    return "\n"


def picture(results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    return Figure()
