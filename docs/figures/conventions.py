"""Figure of docs/reference/conventions.md, drawn from its formulas.

``python docs/figures/conventions.py`` writes it; ``tests/test_docs.py`` compares it with the projector.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pfitre_jax.geometry import Wedge
from pfitre_jax.plotting import draw_wedge

NY, NX, COLUMNS, CENTER = 9, 11, 15, 6.0
THETA_RAD = np.deg2rad(np.arange(-20.0, 75.0, 6.0))
#: Row and column of the drawn pixel, and the drawn view.
I, J, VIEW = 6, 9, 8
#: Distance of the detector from the axis, in the picture only.
AWAY = 8.5
INK, FAINT, DATA, MARK = "#1f2430", "#8a90a0", "#2b6cb0", "#e4572e"


def draw() -> Figure:
    """Image and detector in one view, the sinogram of one pixel, and the missing wedge."""
    figure = Figure(figsize=(13, 5), layout="constrained", dpi=110)
    left, middle, right = figure.subfigures(1, 3, width_ratios=(1.5, 1, 0.8))
    x, y = J - (NX - 1) / 2, (NY - 1) / 2 - I
    _draw_view(left.subplots(), x, y, THETA_RAD[VIEW])
    _draw_sinogram(middle.subplots(), x, y)
    draw_wedge(right.subplots(subplot_kw={"projection": "polar"}), THETA_RAD, Wedge.from_angles(THETA_RAD))
    return figure


def _draw_view(axis: Axes, x: float, y: float, theta: float) -> None:
    across, along = np.array([np.cos(theta), np.sin(theta)]), np.array([-np.sin(theta), np.cos(theta)])
    edges = {"color": "#d5d8e0", "lw": 0.7, "zorder": 0}
    axis.hlines(np.arange(NY + 1) - NY / 2, -NX / 2, NX / 2, **edges)
    axis.vlines(np.arange(NX + 1) - NX / 2, -NY / 2, NY / 2, **edges)
    axis.text(-NX / 2 + 0.5, NY / 2 - 0.5, "0, 0", ha="center", va="center", fontsize=7, color=FAINT)
    axis.text(-NX / 2, NY / 2 + 0.3, "column j →", fontsize=9, color=FAINT)
    axis.text(-NX / 2 - 0.3, NY / 2, "row i →", fontsize=9, color=FAINT, rotation=-90, ha="right", va="top")
    for (dx, dy), name in (((4.6, 0), "x"), ((0, 4.1), "y"), (6.6 * across, "t")):
        color = DATA if name == "t" else INK
        axis.annotate("", (dx, dy), (0, 0), arrowprops={"arrowstyle": "->", "color": color, "lw": 1.3})
        axis.text(1.07 * dx + 0.1, 1.07 * dy, name, color=color, fontsize=12, va="center", ha="center")
    arc = np.linspace(0, theta, 40)
    axis.plot(2.4 * np.cos(arc), 2.4 * np.sin(arc), color=DATA, lw=1.3)
    axis.text(2.9 * np.cos(theta / 2), 2.9 * np.sin(theta / 2), "θ", color=DATA, fontsize=12, va="center")

    def place(t):
        """Position of ``t`` on the drawn detector."""
        return t * across - AWAY * along

    for k in range(COLUMNS):
        ends = np.stack([place(k - 0.44 - CENTER), place(k + 0.44 - CENTER)])
        axis.plot(*ends.T, color=DATA, lw=5, solid_capstyle="butt", alpha=0.55)
    for k in (0, COLUMNS - 1):
        axis.text(
            *(place(k - CENTER) - 1.1 * along), f"k = {k}", color=DATA, fontsize=9, ha="center", va="center"
        )
    axis.plot(*np.stack([place(0), (0, 0)]).T, color=FAINT, lw=1, ls=":")
    axis.text(*(place(0) - 1.1 * along), "center", color=INK, fontsize=9, ha="center", va="center")
    axis.plot(0, 0, "o", color=INK, ms=5)
    axis.text(-0.25, -0.15, "rotation axis", fontsize=9, ha="right", va="top")
    hit = place(x * across[0] + y * across[1])
    axis.plot(*np.stack([hit, (x, y) + 2.2 * along]).T, color=MARK, lw=1.2)
    axis.plot(x, y, "s", color=MARK, ms=9, gid="pixel")
    axis.text(x + 0.7, y, f"pixel ({I}, {J})", color=MARK, fontsize=9, va="center")
    axis.plot(*hit, "o", color=MARK, ms=6, gid="hit")
    axis.text(*(hit - 1.1 * along), "k = t + center", color=MARK, fontsize=9, ha="center", va="center")
    axis.set_aspect("equal")
    axis.set_axis_off()
    axis.set_title(
        f"x cos θ + y sin θ = t   (view {VIEW}, θ = {np.rad2deg(theta):.0f}°)", loc="left", fontsize=10
    )


def _draw_sinogram(axis: Axes, x: float, y: float) -> None:
    views = np.arange(len(THETA_RAD))
    axis.axvline(CENTER, color=FAINT, lw=1, ls=":")
    axis.text(CENTER, -1.2, "center", fontsize=9, ha="center")
    columns = CENTER + x * np.cos(THETA_RAD) + y * np.sin(THETA_RAD)
    axis.plot(columns, views, "o-", color=DATA, ms=4, lw=1, gid="track")
    axis.plot(columns[VIEW], VIEW, "o", color=MARK, ms=7)
    axis.set(
        xlim=(-0.5, COLUMNS - 0.5),
        ylim=(len(views) - 0.5, -0.5),
        xlabel="column k",
        ylabel="view v",
        xticks=range(0, COLUMNS, 2),
    )
    axis.set_title(f"sinogram (views, columns)\nof pixel ({I}, {J})\n", loc="left", fontsize=10)


if __name__ == "__main__":
    draw().savefig(Path(__file__).with_suffix(".png"))
