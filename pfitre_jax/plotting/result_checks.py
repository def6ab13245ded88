"""Plots of the checks of a result: residual by row and view, Fourier ring correlation, held-out views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from pfitre_jax.plotting.style import FRAME, MEASURED, MISSING, TEXT, add_grid

#: Colour of a reference method beside the measured one.
_REFERENCE = "#9aa5b8"


def draw_resolution(axis: Axes, resolution: Mapping[str, Any]) -> None:
    """Draws the correlation of two half sets against the spatial frequency, by direction, with thresholds.

    Args:
        axis: Where to draw.
        resolution: :meth:`pfitre_jax.trust.Resolution.record`.
    """
    rings = resolution["rings"]
    frequency = np.asarray(rings["curve"]["frequency"])
    measured = [sector for sector in resolution["sectors"] if sector["measured"]]
    colors = iter(matplotlib.colormaps["viridis"](np.linspace(0.25, 0.85, max(len(measured), 1))))
    for sector in resolution["sectors"]:
        low, high = sector["angle_to_wedge_deg"]
        label = f"{low:.0f}-{high:.0f}° from the wedge's middle" if sector["measured"] else "in the wedge"
        curve = sector["curve"]
        color = next(colors) if sector["measured"] else MISSING
        axis.plot(curve["frequency"], curve["correlation"], color=color, lw=1, label=label)
    axis.plot(frequency, rings["curve"]["correlation"], color=TEXT, lw=2, label="all directions")
    axis.plot(frequency, rings["curve"]["half_bit"], color=FRAME, lw=1, ls="--", label="half bit")
    axis.axhline(0.143, color=FRAME, lw=1, ls=":", label="0.143")
    period = rings["pixels"]["half-bit"]
    if period is not None:
        axis.axvline(1 / period, color=TEXT, lw=0.8)
    axis.set(xlim=(0, 0.5), ylim=(-0.25, 1.03), xlabel="spatial frequency, 1/pixel", ylabel="correlation")
    axis.set_title(f"half sets agree to {format_resolution(rings)}", loc="left")
    add_grid(axis)
    axis.legend(frameon=False, fontsize=7, labelcolor=TEXT, loc="lower left", ncols=2)


def draw_held_out(axis: Axes, validation: Mapping[str, Any], method: str) -> None:
    """Draws the prediction errors of both sets of held-out views as bars, with the error of noise alone.

    Args:
        axis: Where to draw.
        validation: :meth:`pfitre_jax.trust.HeldOutVerdict.record`.
        method: Name of the method.
    """
    kinds = ("interpolating", "extrapolating")
    position = np.arange(len(kinds))
    bars = {method: ("error", MEASURED)}
    if validation["extrapolating"]["fista_tv"] is not None:
        bars["fista-tv"] = ("fista_tv", _REFERENCE)
    width = 0.7 / len(bars)
    for k, (label, (key, color)) in enumerate(bars.items()):
        heights = [validation[kind][key] for kind in kinds]
        drawn = axis.bar(
            position + (k - (len(bars) - 1) / 2) * width, heights, width, color=color, label=label
        )
        axis.bar_label(drawn, fmt="%.3g", fontsize=7.5)
    floors = [validation[kind]["noise_floor"] for kind in kinds]
    axis.hlines(floors, position - 0.42, position + 0.42, color=TEXT, lw=1.2, ls="--", label="noise alone")
    axis.set_xticks(position, [f"{kind} views" for kind in kinds])
    axis.set_ylabel("relative prediction error")
    axis.margins(y=0.15)
    axis.set_title("held-out views", loc="left")
    add_grid(axis)
    axis.legend(frameon=False, fontsize=7.5, labelcolor=TEXT)


def draw_row_quality(axis: Axes, rows: np.ndarray, residual: np.ndarray, supplied: np.ndarray) -> None:
    """Draws the relative residual and the share of the supplied component of each row.

    Args:
        axis: Where to draw.
        rows: (rows,), row numbers in the raw stack.
        residual: (rows,), relative residual.
        supplied: (rows,), relative norm of the supplied component.
    """
    marker = "o" if len(rows) < 30 else None
    for values, color, label in ((residual, MEASURED, "residual"), (supplied, MISSING, "supplied component")):
        axis.plot(rows, values, color=color, lw=1.4, marker=marker, ms=3.5, label=label)
    axis.set(xlabel="row", ylabel="relative norm")
    axis.set_ylim(bottom=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axis.set_title("rows", loc="left")
    add_grid(axis)
    axis.legend(frameon=False, fontsize=8, labelcolor=TEXT)


def draw_view_chi_square(axis: Axes, chi_square: np.ndarray) -> None:
    """Draws the chi-square of each view on a logarithmic scale, with the value 1 of noise alone.

    Args:
        axis: Where to draw.
        chi_square: (views,), mean of ``(r / sigma)^2`` of a view; NaN for a view without valid bins.
    """
    drawn = np.where(chi_square > 0, chi_square, np.nan)
    axis.plot(drawn, ".-", color=MEASURED, lw=0.9, ms=5)
    axis.axhline(1, color=TEXT, lw=1.2, ls="--", label="noise alone")
    axis.set(xlabel="view", ylabel="chi-square", yscale="log")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axis.set_title("chi-square of the views", loc="left")
    add_grid(axis)
    axis.legend(frameon=False, fontsize=8, labelcolor=TEXT)


def format_resolution(entry: Mapping[str, Any]) -> str:
    """A resolution at the half-bit threshold in words, in pixels and, where known, micrometres.

    Args:
        entry: ``rings``, ``shells`` or a sector of :meth:`pfitre_jax.trust.Resolution.record`.
    """
    pixels = entry["pixels"]["half-bit"]
    if pixels is None:
        return "no resolution (half bit)"
    micrometres = "" if "um" not in entry else f" = {entry['um']['half-bit']:.3g} µm"
    limit = ", the limit of the pixels" if pixels <= 2 else ""
    return f"{pixels:.2f} pixels{micrometres} (half bit{limit})"
