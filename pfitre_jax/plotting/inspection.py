"""Inspection of a scan: one view, one sinogram, the signal at the detector's edges, and the missing wedge."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.geometry import Wedge
from pfitre_jax.plotting.style import (
    FRAME,
    MASKED,
    MEASURED,
    MISSING,
    add_grid,
    gray_limits,
    new_figure,
    split_figure,
)
from pfitre_jax.plotting.wedge_diagram import draw_wedge_and_facts


def draw_inspection(
    frame: np.ndarray,
    sinogram: np.ndarray,
    theta_rad: np.ndarray,
    wedge: Wedge,
    *,
    view: int,
    row: int,
    edge_signal: np.ndarray,
    title: str,
    facts: Sequence[str],
) -> Figure:
    """Figure of a scan before its reconstruction; invalid bins are colored.

    Args:
        frame: (rows, columns), line integrals of one view; NaN where invalid.
        sinogram: (views, columns), line integrals of one row; NaN where invalid.
        theta_rad: (views,), radians.
        wedge: The missing wedge.
        view: Number of the view of ``frame``.
        row: Number of the row of ``sinogram``.
        edge_signal: (views, 2), signal at the left and right edge of the detector, relative to the maximum
            of the view.
        title: Title of the figure.
        facts: Lines of text below the diagram of the wedge.
    """
    gray = matplotlib.colormaps["gray"].with_extremes(bad=MASKED)
    with new_figure(11.4, 6.9, title) as figure:
        above, below = split_figure(figure, height_ratios=(1, 1))
        left_axis, right_axis = above.subplots(1, 2)
        for axis, image, label in (
            (left_axis, frame, f"view {view}, {np.rad2deg(theta_rad[view]):.1f}°"),
            (right_axis, sinogram, f"sinogram of row {row} (orange: invalid bins)"),
        ):
            low, high = gray_limits(image[np.isfinite(image)])
            drawn = axis.imshow(image, cmap=gray, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
            axis.set_title(label, loc="left")
            axis.set_xlabel("column")
            above.colorbar(drawn, ax=axis, pad=0.01, aspect=25).outline.set_edgecolor(FRAME)
        left_axis.set_ylabel("row")
        right_axis.set_ylabel("view")
        left, right = split_figure(below, width_ratios=(1.6, 1))
        axis = left.subplots()
        for side, label, color in ((0, "left edge", MEASURED), (1, "right edge", MISSING)):
            axis.plot(edge_signal[:, side], color=color, lw=1.4, label=label)
        axis.set_title("signal at the edges of the detector, relative to the maximum of the view", loc="left")
        axis.set_xlabel("view")
        add_grid(axis)
        axis.legend(frameon=False, fontsize=8)
        draw_wedge_and_facts(right, theta_rad, wedge, facts)
    return figure
