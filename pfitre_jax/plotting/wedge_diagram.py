"""Polar diagram of the measured view angles and the missing wedge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from pfitre_jax.geometry import Wedge
from pfitre_jax.plotting.style import FRAME, MEASURED, MISSING, TEXT


def draw_wedge(axis: Axes, theta_rad: np.ndarray, wedge: Wedge) -> None:
    """Draws measured view angles as lines through the centre and the missing wedge as a filled sector.

    Directions are those of the detector axis ``t`` in the image, folded modulo pi and drawn on both sides.

    Args:
        axis: Polar axes.
        theta_rad: (views,), radians.
        wedge: The missing wedge.
    """
    for side in (0.0, np.pi):
        for theta in np.mod(theta_rad, np.pi):
            axis.plot([theta + side] * 2, [0.12, 1], color=MEASURED, lw=0.7)
        if wedge.width_rad > 0:
            axis.bar(
                float(wedge.center_rad) + side,
                1,
                width=float(wedge.width_rad),
                color=MISSING,
                alpha=0.28,
                edgecolor="none",
            )
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.set_xticks(np.deg2rad([0, 45, 90, 135]))
    axis.tick_params(pad=-3, labelsize=7)
    axis.grid(False)
    axis.spines["polar"].set_color(FRAME)
    axis.set_title(f"{len(theta_rad)} views, {wedge.width_deg:.0f}° missing", color=TEXT, pad=4)


def draw_wedge_and_facts(
    figure: FigureBase, theta_rad: np.ndarray, wedge: Wedge, facts: Sequence[str]
) -> None:
    """Draws the diagram of :func:`draw_wedge` above lines of text.

    Args:
        figure: Figure or subfigure to draw into.
        theta_rad: (views,), radians.
        wedge: The missing wedge.
        facts: Lines of text.
    """
    grid = figure.add_gridspec(2, 1, height_ratios=(1.25, 1))
    draw_wedge(figure.add_subplot(grid[0], projection="polar"), theta_rad, wedge)
    axis = figure.add_subplot(grid[1])
    axis.set_axis_off()
    axis.text(0.5, 1.0, "\n".join(facts), ha="center", va="top", fontsize=8.5, linespacing=1.5)
