"""Grid of labelled images, each on its own gray scale."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from pfitre_jax.plotting.panels import Panel
from pfitre_jax.plotting.style import new_figure


def draw_gallery(rows: Sequence[Sequence[Panel]], *, title: str) -> Figure:
    """Figure of rows of images that may differ in number and shape.

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
