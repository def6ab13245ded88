"""Figure of an alignment: estimated motion of the views, convergence, and residual against roll."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pfitre_jax.plotting.style import FRAME, MEASURED, MISSING, add_grid, new_figure


def draw_alignment(
    curves: Mapping[str, Mapping[str, np.ndarray]],
    *,
    residual: np.ndarray,
    bin_factors: np.ndarray,
    roll_searches: Sequence[np.ndarray],
    title: str,
    facts: Sequence[str],
) -> Figure:
    """Figure of the estimated motion of a scan.

    Args:
        curves: Title of a plot -> label of a curve -> (views,), at most three plots.
        residual: (steps,), relative residual after each step of the alignment.
        bin_factors: (steps,), detector bins that were combined into one in that step.
        roll_searches: For each search (2, rolls): rolls in degrees and their relative residuals.
        title: Title of the figure.
        facts: Lines of text.
    """
    with new_figure(11.4, 6.4, title) as figure:
        axes = figure.subplots(2, 3)
        for axis in axes.flat:
            add_grid(axis)
        for axis, (label, named) in zip(axes.flat, curves.items(), strict=False):
            draw_motion(axis, label, named)
        convergence, rolls, text = axes.flat[len(curves) : len(curves) + 3]
        convergence.semilogy(residual, color=MEASURED)
        for change in np.flatnonzero(np.diff(bin_factors)):
            convergence.axvline(change + 0.5, color=FRAME, lw=0.8, ls=":")
        convergence.set_title("relative residual (dotted line: finer bins)", loc="left")
        convergence.set_xlabel("alignment step")
        for degrees, residuals in roll_searches:
            rolls.plot(degrees, residuals, "o-", ms=3, lw=1)
        rolls.set_title(
            "relative residual against roll" if len(roll_searches) else "roll not estimated", loc="left"
        )
        rolls.set_xlabel("roll, degrees")
        text.text(0, 1, "\n".join(facts), va="top", fontsize=9, transform=text.transAxes)
        for axis in axes.flat[len(curves) + 2 :]:
            axis.set_axis_off()
    return figure


def draw_motion(axis: Axes, title: str, curves: Mapping[str, np.ndarray]) -> None:
    """Draws properties of the views against the number of the view.

    Args:
        axis: Where to draw.
        title: Title with the unit.
        curves: Label -> (views,), at most two curves.
    """
    for (name, values), color in zip(curves.items(), (MEASURED, MISSING), strict=False):
        axis.plot(values, ".-", color=color, lw=0.9, ms=4, label=name)
    axis.set_title(title, loc="left")
    axis.set_xlabel("view")
    if len(curves) > 1:
        axis.legend(frameon=False, fontsize=8)
