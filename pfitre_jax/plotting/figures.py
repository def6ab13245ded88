"""Pictures of scans and results, drawn without a display and without global state."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from pfitre_jax.geometry import Wedge

DPI = 130
#: Rows that a preview shows.
PANELS = 4
#: A part of this share of the gray scale, that the data do not determine, is shaded in full.
_FULL_SHADE = 0.5
_INK, _FAINT, _MEASURED, _MISSING = "#1f2430", "#8a90a0", "#2b6cb0", "#e4572e"
_STYLE = {
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.titlesize": 9.5,
    "axes.titlecolor": _INK,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """A labelled image: title, and image (ny, nx).

    supplied: (ny, nx), the part of the image that the data do not determine; shaded
    """

    title: str
    image: np.ndarray
    supplied: np.ndarray | None = None


def preview(
    panels: Sequence[Panel],
    *,
    misfit,
    row: int,
    curves: Mapping[str, np.ndarray],
    theta_rad,
    wedge: Wedge,
    title: str,
    facts: Sequence[str],
    units: str,
) -> Figure:
    """The picture beside a result: slices, residual sinogram of one row, convergence, and the missing wedge.

    panels: slices, on one gray scale
    misfit: (views, columns), ``M(Ax - y)`` of row number ``row``
    curves: label -> residual at each iteration, NaN after the end
    theta_rad: (views,), radians
    facts: lines of text
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.1 * max(len(panels), 3) + 0.6, 6.9), layout="constrained", dpi=DPI)
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        above, below = figure.subfigures(2, 1, height_ratios=(1.35, 1))
        _draw_slices(above, panels, units)
        left, middle, right = below.subfigures(1, 3, width_ratios=(1.35, 1.25, 1))
        _draw_misfit(left, misfit, row)
        _draw_curves(middle.subplots(), curves)
        _draw_facts(right, theta_rad, wedge, facts)
    return figure


def live(panels: Sequence[Panel], *, theta_rad, wedge: Wedge, title: str, facts: Sequence[str]) -> Figure:
    """The picture of a scan that goes on: slices so far, and which views there are; see :func:`preview`."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.1 * (len(panels) + 1) + 0.6, 3.9), layout="constrained", dpi=DPI)
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        left, right = figure.subfigures(1, 2, width_ratios=(len(panels), 0.8))
        _draw_slices(left, panels, "1/pixel")
        _draw_facts(right, theta_rad, wedge, facts)
    return figure


def _draw_slices(figure, panels: Sequence[Panel], units: str) -> None:
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    values = np.concatenate([panel.image.ravel() for panel in panels])
    values = values[np.isfinite(values)]
    low, high = _window(values)
    for axis, panel in zip(axes, panels, strict=True):
        shown = axis.imshow(panel.image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        if panel.supplied is not None:
            alpha = 0.8 * np.clip(np.abs(panel.supplied) / (_FULL_SHADE * (high - low)), 0, 1)
            shade = np.empty((*alpha.shape, 4))
            shade[..., :3], shade[..., 3] = to_rgb(_MISSING), alpha
            axis.imshow(shade, interpolation="nearest")
        axis.set_title(panel.title, loc="left")
        axis.set(xticks=[], yticks=[])
        _scale_bar(axis, panel.image.shape[1])
    bar = figure.colorbar(shown, ax=list(axes), shrink=0.86, pad=0.01, aspect=28)
    bar.set_label(f"image value, {units.replace('um', 'µm')}")
    bar.outline.set_edgecolor(_FAINT)


def _window(values) -> tuple[float, float]:
    """Limits of a gray scale that one bright pixel does not move."""
    if not values.size:
        return 0.0, 1.0
    low, high = np.quantile(values, (0.005, 0.998))
    low = min(float(low), 0.0)
    return low, max(float(high), low + 1e-12)


def _scale_bar(axis: Axes, columns: int) -> None:
    """A bar of about a fifth of the image, its length in pixels."""
    length = columns / 5
    step = 10 ** np.floor(np.log10(max(length, 1)))
    length = max(float(step * max(n for n in (1, 2, 5) if n * step <= max(length, 1))), 1.0)
    x, y = 0.04 * columns, 0.96 * axis.get_ylim()[0]
    axis.plot([x, x + length], [y, y], color="white", lw=2.5, solid_capstyle="butt")
    axis.text(x, y - 0.02 * columns, f"{length:g} px", color="white", fontsize=8, va="bottom", ha="left")


def _draw_misfit(figure, misfit, row: int) -> None:
    axis = figure.subplots()
    limit = float(np.quantile(np.abs(misfit), 0.995)) or 1.0
    shown = axis.imshow(
        misfit, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )
    axis.set_title(f"row {row}: predicted - measured sinogram", loc="left")
    axis.set(xlabel="column", ylabel="view")
    bar = figure.colorbar(shown, ax=axis, pad=0.02, aspect=22)
    bar.outline.set_edgecolor(_FAINT)
    bar.formatter.set_powerlimits((-2, 3))


def _draw_curves(axis: Axes, curves: Mapping[str, np.ndarray]) -> None:
    colors = matplotlib.colormaps["viridis"](np.linspace(0.1, 0.8, max(len(curves), 1)))
    axis.set_title("convergence", loc="left")
    axis.set(xlabel="iteration", ylabel="residual  |Ax - y| / |y|")
    axis.grid(color="#e6e8ee", lw=0.8)
    axis.spines[["top", "right"]].set_visible(False)
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
    lines = [line.get_ydata() for line in axis.get_lines() if len(line.get_ydata())]
    if lines:
        axis.set_yscale("log")
        low, high = min(v.min() for v in lines), max(v.max() for v in lines)
        axis.set_ylim(low / 1.25, high * 1.25)
        if high / low < 20:
            axis.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 3, 5)))
            axis.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
        axis.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        ends = [line.get_xdata()[-1] for line in axis.get_lines() if len(line.get_xdata())]
        if max(ends) > 5 * min(ends):
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
        else:
            axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, nbins=6))
        axis.margins(x=0.12)
        axis.legend(frameon=False, fontsize=8, labelcolor=_INK)


def _draw_facts(figure, theta_rad, wedge: Wedge, facts: Sequence[str]) -> None:
    grid = figure.add_gridspec(2, 1, height_ratios=(1.25, 1))
    draw_wedge(figure.add_subplot(grid[0], projection="polar"), theta_rad, wedge)
    axis = figure.add_subplot(grid[1])
    axis.set_axis_off()
    axis.text(0.5, 1.0, "\n".join(facts), ha="center", va="top", fontsize=8.5, linespacing=1.5)


def draw_wedge(axis: Axes, theta_rad, wedge: Wedge) -> None:
    """The measured view angles as strokes through the middle, the missing ones as a filled wedge.

    axis: a polar one; directions are those of the detector's axis ``t`` in the image, folded to a half turn
        and drawn on both sides
    """
    for side in (0, np.pi):
        for theta in np.mod(theta_rad, np.pi):
            axis.plot([theta + side] * 2, [0.12, 1], color=_MEASURED, lw=0.7)
        if wedge.width_rad > 0:
            axis.bar(
                float(wedge.center_rad) + side,
                1,
                width=float(wedge.width_rad),
                color=_MISSING,
                alpha=0.28,
                edgecolor="none",
            )
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.set_xticks(np.deg2rad([0, 45, 90, 135]))
    axis.tick_params(pad=-3, labelsize=7)
    axis.grid(False)
    axis.spines["polar"].set_color(_FAINT)
    axis.set_title(f"{len(theta_rad)} views, {wedge.width_deg:.0f}° missing", color=_INK, pad=4)


def alignment(
    curves: Mapping[str, Sequence[tuple[str, np.ndarray]]],
    *,
    residual,
    levels,
    rolls: Sequence[np.ndarray],
    title: str,
    facts: Sequence[str],
) -> Figure:
    """The picture of what was found of a scan's motion.

    curves: label of an axis -> named curves over the views, (views,)
    residual, levels: (steps,), of each step, and the bins that were put together then
    rolls: of each search (2, tried), rolls and their misfits
    facts: lines of text
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(11.4, 6.4), layout="constrained", dpi=DPI)
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        axes = figure.subplots(2, 3)
        for axis, (label, named) in zip(axes.flat, curves.items(), strict=False):
            for (name, values), color in zip(named, (_MEASURED, _MISSING), strict=False):
                axis.plot(values, ".-", color=color, lw=0.9, ms=4, label=name)
            axis.set_title(label, loc="left")
            axis.set_xlabel("view")
            if len(named) > 1:
                axis.legend(frameon=False, fontsize=8)
        steps, turns, text = axes.flat[len(curves) : len(curves) + 3]
        steps.semilogy(residual, color=_MEASURED)
        for change in np.flatnonzero(np.diff(levels)):
            steps.axvline(change + 0.5, color=_FAINT, lw=0.8, ls=":")
        steps.set_title("residual, step by step; dotted: finer bins", loc="left")
        for tried, misfit in rolls:
            turns.plot(tried, misfit, "o-", ms=3, lw=1)
        turns.set_title("misfit by roll, degrees" if len(rolls) else "no roll was looked for", loc="left")
        for axis in axes.flat:
            axis.grid(color="#e6e8ee", lw=0.8)
            axis.spines[["top", "right"]].set_visible(False)
        text.set_axis_off()
        text.text(0, 1, "\n".join(facts), va="top", fontsize=9, transform=text.transAxes)
        for axis in axes.flat[len(curves) + 3 :]:
            axis.set_axis_off()
    return figure


@dataclasses.dataclass(frozen=True, eq=False)
class Tile:
    """One trial: the value it was made with, image (ny, nx), and the residual of its slice."""

    value: float
    image: np.ndarray
    residual: float


def label(value: float) -> str:
    """A trial's value as it is written on its tile and in file names: shortest text to 1e-6."""
    return f"{round(float(value), 6):.12g}"


def strip(tiles: Sequence[Tile], *, name: str, title: str, columns: int = 5) -> Figure:
    """Trials side by side, each with its own value written on it; the one of least residual has a frame.

    name: what the values are, e.g. "center"
    """
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    low, high = _window(np.concatenate([tile.image.ravel() for tile in tiles]))
    best = min(range(len(tiles)), key=lambda k: tiles[k].residual)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(2.9 * columns, 3.15 * rows + 0.5), layout="constrained", dpi=DPI)
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for k, (axis, tile) in enumerate(zip(axes, tiles, strict=False)):
            axis.imshow(tile.image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"{name} {label(tile.value)}", loc="left", fontweight="bold", fontsize=11)
            axis.set_title(f"residual {tile.residual:.4g}", loc="right", fontsize=8, color=_FAINT)
            axis.spines[:].set(color=_MISSING if k == best else _FAINT, linewidth=2.5 if k == best else 0.6)
        for axis in axes[len(tiles) :]:
            axis.set_axis_off()
    return figure


def gallery(rows: Sequence[Sequence[Panel]], *, title: str) -> Figure:
    """Rows of labelled images, each on its own gray scale."""
    columns = max(len(row) for row in rows)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(2.3 * columns, 2.55 * len(rows) + 0.4), layout="constrained", dpi=DPI)
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        for line, panels in zip(figure.subplots(len(rows), columns, squeeze=False), rows, strict=True):
            for axis in line:
                axis.set_axis_off()
            for axis, panel in zip(line, panels, strict=False):
                axis.imshow(panel.image, cmap="gray", aspect="auto", interpolation="nearest")
                axis.set_title(panel.title, loc="left")
    return figure


def inspection(
    projections, mask, theta_rad, wedge: Wedge, *, title: str, facts: Sequence[str], edge
) -> Figure:
    """The picture of a scan: a view, a sinogram with its invalid bins, edge signal, and the missing wedge.

    projections, mask: (views, rows, columns); theta_rad: (views,), radians
    edge: (views, 2), signal at the detector's two edges relative to the view's maximum
    """
    view, row = (size // 2 for size in projections.shape[:2])
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(11.4, 6.9), layout="constrained", dpi=DPI)
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        above, below = figure.subfigures(2, 1)
        frame, sinogram = above.subplots(1, 2)
        for axis, image, valid, what in (
            (frame, projections[view], mask[view], f"view {view}, {np.rad2deg(theta_rad[view]):.1f}°"),
            (sinogram, projections[:, row], mask[:, row], f"sinogram of row {row}"),
        ):
            low, high = _window(image[valid])
            shown = axis.imshow(
                np.where(valid, image, np.nan), cmap=_masked_gray(), vmin=low, vmax=high, aspect="auto",
                interpolation="nearest",
            )  # fmt: skip
            axis.set_title(what, loc="left")
            axis.set_xlabel("column")
            above.colorbar(shown, ax=axis, pad=0.01, aspect=25).outline.set_edgecolor(_FAINT)
        frame.set_ylabel("row")
        sinogram.set_ylabel("view")
        left, right = below.subfigures(1, 2, width_ratios=(1.6, 1))
        axis = left.subplots()
        for side, color in ((0, _MEASURED), (1, _MISSING)):
            axis.plot(edge[:, side], color=color, lw=1.4, label=("left edge", "right edge")[side])
        axis.set_title("signal at the detector's edges, relative to the view's maximum", loc="left")
        axis.set_xlabel("view")
        axis.grid(color="#e6e8ee", lw=0.8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8)
        _draw_facts(right, theta_rad, wedge, facts)
    return figure


def _masked_gray():
    return matplotlib.colormaps["gray"].with_extremes(bad="#d98c1f")
