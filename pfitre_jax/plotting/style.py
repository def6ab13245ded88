"""Style that all figures share: colours, fonts, resolution, and the grey scale of images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase, SubFigure

from pfitre_jax.runtime.file_mark import MARK

DPI = 130
#: Colors of text, of frames and axes, of grid lines, and of a masked pixel.
TEXT, FRAME, GRID, MASKED = "#1f2430", "#8a90a0", "#e6e8ee", "#d98c1f"
#: Colours of measured data, and of data that are missing or supplied by a prior.
MEASURED, MISSING = "#2b6cb0", "#e4572e"
PARAMETERS: dict[Any, Any] = {
    "font.size": 9,
    "text.color": TEXT,
    "axes.edgecolor": FRAME,
    "axes.labelcolor": TEXT,
    "axes.titlesize": 9.5,
    "axes.titlecolor": TEXT,
    "xtick.color": FRAME,
    "ytick.color": FRAME,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


@contextmanager
def new_figure(width: float, height: float, title: str = "", dpi: int = DPI) -> Iterator[Figure]:
    """An empty figure with a title at its upper left; the shared style holds inside the ``with`` block.

    Args:
        width: Width in inches.
        height: Height in inches.
        title: Title of the whole figure.
        dpi: Pixels per inch.
    """
    with matplotlib.rc_context(PARAMETERS):
        figure = Figure(figsize=(width, height), layout="constrained", dpi=dpi)
        if title:
            # Titles hold names of files: bytes that are not UTF-8 cannot be drawn, and $ is not mathematics.
            title = title.encode(errors="surrogateescape").decode(errors="replace")
            figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left", parse_math=False)
        yield figure


def split_figure(
    figure: FigureBase,
    *,
    height_ratios: tuple[float, ...] = (1,),
    width_ratios: tuple[float, ...] = (1,),
) -> list[SubFigure]:
    """Divides a figure into a grid of parts with these relative sizes; returns them row by row."""
    parts = figure.subfigures(
        len(height_ratios),
        len(width_ratios),
        squeeze=False,
        height_ratios=height_ratios,
        width_ratios=width_ratios,
    )
    return list(np.asarray(parts).ravel())


def gray_limits(values: np.ndarray) -> tuple[float, float]:
    """Returns limits of a grey scale that a single bright pixel does not change.

    Args:
        values: Image values of any shape; NaN and infinite ones are ignored.

    Returns:
        The lower limit, at most 0, and the upper limit.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.quantile(finite, (0.005, 0.998))
    low = min(float(low), 0.0)
    return low, max(float(high), low + 1e-12)


def add_grid(axis: Axes) -> None:
    """Draws light grid lines and removes the frame above and to the right."""
    axis.grid(color=GRID, lw=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def remove_ticks(axis: Axes) -> None:
    """Removes the ticks of an image."""
    axis.set(xticks=[], yticks=[])


def save_png(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG with the mark of the files of this package."""
    figure.savefig(path, format="png", metadata={"Software": MARK})
