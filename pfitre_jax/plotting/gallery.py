"""Grids of labelled images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.plotting.panels import Panel
from pfitre_jax.plotting.style import new_figure


def draw_gallery(rows: Sequence[Sequence[Panel]], *, title: str) -> Figure:
    """Figure of rows of images that may differ in number and shape, each on its own grey scale.

    Args:
        rows: Images of each row of the grid.
        title: Title of the figure.
    """
    columns = max(len(row) for row in rows)
    with new_figure(2.3 * columns, 2.55 * len(rows) + 0.4, title) as figure:
        for axes, panels in zip(figure.subplots(len(rows), columns, squeeze=False), rows, strict=True):
            for axis in axes:
                axis.set_axis_off()
            for axis, panel in zip(axes, panels, strict=False):
                axis.imshow(panel.image, cmap="gray", aspect="auto", interpolation="nearest")
                axis.set_title(panel.title, loc="left")
    return figure


def draw_comparisons(
    cases: Sequence[tuple[str, Sequence[np.ndarray]]], *, title: str, cases_per_row: int = 4
) -> Figure:
    """Figure of cases, each with a few images of equal meaning side by side, on the grey scale 0 to 1.

    Args:
        cases: For each case its label and its images (ny, nx), as many as in the other cases.
        title: Title of the figure; it should name the images.
        cases_per_row: Cases in a row of the figure.
    """
    count = len(cases[0][1])
    lines = -(-len(cases) // cases_per_row)
    with new_figure(1.3 * count * cases_per_row, 1.55 * lines + 0.5, title, dpi=110) as figure:
        axes = figure.subplots(lines, count * cases_per_row, squeeze=False).reshape(-1, count)
        for axis in axes.ravel():
            axis.set_axis_off()
        for row, (label, images) in zip(axes, cases, strict=False):
            for axis, image in zip(row, images, strict=True):
                axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            row[0].set_title(label, loc="left", fontsize=7)
    return figure
