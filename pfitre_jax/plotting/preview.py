"""Preview of a reconstruction: slices, residual sinogram, convergence, and the missing wedge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from pfitre_jax.geometry import Wedge
from pfitre_jax.plotting.panels import Panel, draw_slices
from pfitre_jax.plotting.style import FRAME, TEXT, add_grid, new_figure, split_figure
from pfitre_jax.plotting.wedge_diagram import draw_wedge_and_facts


def draw_preview(
    panels: Sequence[Panel],
    *,
    residual_sinogram: np.ndarray,
    row: int,
    curves: Mapping[str, np.ndarray],
    theta_rad: np.ndarray,
    wedge: Wedge,
    title: str,
    facts: Sequence[str],
    units: str,
    checks: Sequence[Callable[[Axes], None]] = (),
) -> Figure:
    """Figure of a finished reconstruction.

    Args:
        panels: Slices, drawn on one gray scale.
        residual_sinogram: (views, columns), ``M(A x - y)`` of one row, in the units of the projections.
        row: Number of that row in the scan.
        curves: Label -> (iterations,), relative residual after each iteration; NaN after the last one.
        theta_rad: (views,), radians.
        wedge: The missing wedge.
        title: Title of the figure.
        facts: Lines of text below the diagram of the wedge.
        units: Unit of the image values, "1/pixel" or "1/um".
        checks: Functions that draw further plots, below the others.
    """
    height, ratios = (6.9, (1.35, 1.0)) if not checks else (9.8, (1.35, 1.0, 1.0))
    with new_figure(3.1 * max(len(panels), 3) + 0.6, height, title) as figure:
        above, below, *last = split_figure(figure, height_ratios=ratios)
        for part in last:
            for axis, draw in zip(part.subplots(1, len(checks), squeeze=False)[0], checks, strict=True):
                draw(axis)
        draw_slices(above, panels, units)
        left, middle, right = split_figure(below, width_ratios=(1.35, 1.25, 1))
        draw_residual_sinogram(left, residual_sinogram, row)
        draw_convergence(middle.subplots(), curves)
        draw_wedge_and_facts(right, theta_rad, wedge, facts)
    return figure


def draw_live(
    panels: Sequence[Panel], *, theta_rad: np.ndarray, wedge: Wedge, title: str, facts: Sequence[str]
) -> Figure:
    """Figure of a scan that is still being measured: current slices and the views measured so far.

    Args:
        panels: Slices in 1/pixel, drawn on one gray scale.
        theta_rad: (views,), radians.
        wedge: The missing wedge.
        title: Title of the figure.
        facts: Lines of text below the diagram of the wedge.
    """
    with new_figure(3.1 * (len(panels) + 1) + 0.6, 3.9, title) as figure:
        left, right = split_figure(figure, width_ratios=(len(panels), 0.8))
        draw_slices(left, panels, "1/pixel")
        draw_wedge_and_facts(right, theta_rad, wedge, facts)
    return figure


def draw_residual_sinogram(figure: FigureBase, residual: np.ndarray, row: int) -> None:
    """Draws the residual of one row with a colour bar.

    Args:
        figure: Figure or subfigure to draw into.
        residual: (views, columns), ``M(A x - y)``, in the units of the projections.
        row: Number of the row in the scan.
    """
    axis = figure.subplots()
    limit = float(np.quantile(np.abs(residual), 0.995)) or 1.0
    drawn = axis.imshow(
        residual, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )
    axis.set_title(f"residual sinogram of row {row}, A x - y", loc="left")
    axis.set(xlabel="column", ylabel="view")
    ticks = ScalarFormatter()
    ticks.set_powerlimits((-2, 3))
    bar = figure.colorbar(drawn, ax=axis, pad=0.02, aspect=22, format=ticks)
    bar.outline.set_edgecolor(FRAME)


def draw_convergence(axis: Axes, curves: Mapping[str, np.ndarray]) -> None:
    """Draws relative residuals against the iteration, with the last value of each curve.

    Args:
        axis: Where to draw.
        curves: Label -> (iterations,), relative residual after each iteration; NaN after the last one.
    """
    colors = matplotlib.colormaps["viridis"](np.linspace(0.1, 0.8, max(len(curves), 1)))
    axis.set_title("convergence", loc="left")
    axis.set(xlabel="iteration", ylabel="relative residual  ||A x - y|| / ||y||")
    add_grid(axis)
    for (label, residual), color in zip(curves.items(), colors, strict=True):
        residual = np.asarray(residual, float)
        k = np.flatnonzero(np.isfinite(residual) & (residual > 0))
        marker = "o" if len(k) < 25 else None
        axis.plot(k + 1, residual[k], color=color, lw=1.6, marker=marker, ms=3.5, label=label)
        if len(k):
            axis.annotate(
                f"{residual[k[-1]]:.3g}",
                (k[-1] + 1, residual[k[-1]]),
                textcoords="offset points",
                xytext=(4, 0),
                fontsize=7.5,
                color=color,
                va="center",
            )
    if any(len(np.asarray(line.get_ydata())) for line in axis.get_lines()):
        _scale_convergence(axis)


def _scale_convergence(axis: Axes) -> None:
    """Logarithmic residuals; logarithmic iterations where the curves differ much in length."""
    lines = [
        np.asarray(line.get_xydata()).T for line in axis.get_lines() if len(np.asarray(line.get_ydata()))
    ]
    low, high = min(y.min() for _, y in lines), max(y.max() for _, y in lines)
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axis.set_yscale("log")
    axis.set_ylim(low / 1.25, high * 1.25)
    if high / low < 20:
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axis.yaxis.set_major_formatter(plain)
    axis.yaxis.set_minor_formatter(NullFormatter())
    last_iterations = [x[-1] for x, _ in lines]
    if max(last_iterations) > 5 * min(last_iterations):
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(plain)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axis.margins(x=0.12)
    axis.legend(frameon=False, fontsize=8, labelcolor=TEXT)
