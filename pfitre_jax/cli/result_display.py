"""Picture and table of a result."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pfitre_jax.cli.console import print_line, print_paths
from pfitre_jax.data.selection import format_ranges
from pfitre_jax.metrics import psnr
from pfitre_jax.plotting.panels import Panel, choose_rows
from pfitre_jax.plotting.preview import draw_preview
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.solvers.loop import Status

#: Characters of a line of text beside the diagram of the angles.
FACT_WIDTH = 44
#: Rows above which the table shows only the first and last ones, and how many of each.
MAX_TABLE_ROWS, TABLE_ENDS = 12, 5


def draw_result(
    result: Result, name: str, truth: np.ndarray | None = None, comparison: Result | None = None
) -> Figure:
    """Figure of a result: some of its rows or, if the truth is known, the middle row beside the truth.

    Args:
        result: The result.
        name: Name of the scan.
        truth: (ny, nx), true slice of the middle row, per pixel.
        comparison: Result of another method for the middle row alone, drawn beside the truth.
    """
    rows, middle = result.rows, result.middle
    if truth is None:
        shown = choose_rows(len(rows))
        panels = [
            Panel(f"row {rows[k]}   residual {result.residual[k]:.3g}", result.volume[k]) for k in shown
        ]
        curves = {f"row {rows[k]}": result.stats["residual"][k] for k in shown}
    else:
        # The truth is per pixel; the result has the unit of its pixel size.
        pixel_size = result.pixel_size or 1
        images = {result.method: result.volume[middle]}
        curves = {result.method: result.stats["residual"][middle]}
        if comparison is not None:
            images = {comparison.method: comparison.volume[0]} | images
            curves = {comparison.method: comparison.stats["residual"][0]} | curves
        panels = [Panel("truth", truth / pixel_size)]
        panels += [
            Panel(f"{label}   PSNR {_psnr_in_disc(image * pixel_size, truth):.1f} dB", image)
            for label, image in images.items()
        ]
    image = result.volume[middle]
    title = f"row {rows[middle]}   supplied component shaded, {result.supplied[middle]:.0%}"
    supplied = None if result.measured is None else image - result.measured[middle]
    panels.append(Panel(title, image, supplied, result.support))
    settings = ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in result.parameters.items()
    )
    return draw_preview(
        panels,
        residual_sinogram=result.residual_sinogram,
        row=int(rows[middle]),
        curves=curves,
        theta_rad=result.theta_rad,
        wedge=result.wedge,
        title=f"{result.label}: {name}",
        facts=[
            f"center {result.center:.4g}, roll {result.roll_deg:.3g}°",
            *textwrap.wrap(settings, FACT_WIDTH),
            *textwrap.wrap(f"support: {result.support_text}", FACT_WIDTH),
            f"scale {result.scale:.3g}",
            f"{result.timings['seconds_run']:.1f} s, compiling {result.timings['seconds_compile']:.1f} s",
        ],
        units=result.units,
    )


def print_result(result: Result, paths: Iterable[Path]) -> None:
    """Prints residual and status of the rows, times, corrections, and the written files."""
    Console(soft_wrap=True, highlight=False, emoji=False).print(_table(result))
    times = result.timings
    seconds = times["seconds_run"]
    print_line(
        f"{seconds:.1f} s ({seconds / len(result.rows):.2f} s per row), compiling "
        f"{times['seconds_compile']:.1f} s, preparation {times['seconds_prepare']:.1f} s"
    )
    for name, correction in result.corrections().items():
        unit = "columns" if name == "stripes" else "views"
        action = "down-weighted" if name == "robust" else "corrected"
        often = format_ranges(correction["often"]) if len(correction["often"]) else "none"
        print_line(
            f"{name}: {np.mean(correction[unit]):.1f} {unit} {action} per row on average; in at least half "
            f"of the rows: {often}"
        )
    print_paths(paths)


def _table(result: Result) -> Table:
    table = Table(title=f"{result.label}, {len(result.rows)} rows", title_justify="left")
    for column in ("row", "residual", "status", "iterations"):
        table.add_column(column, justify="left" if column == "status" else "right")
    count = len(result.rows)
    for k in range(count):
        if count > MAX_TABLE_ROWS and TABLE_ENDS <= k < count - TABLE_ENDS:
            if k == TABLE_ENDS:
                table.add_row("...", "", "", "")
            continue
        status = Status(int(result.status[k]))
        table.add_row(
            str(result.rows[k]),
            f"{result.residual[k]:.4f}",
            Text(status.text, style="red" if status == Status.DIVERGED else ""),
            str(int(result.stats["iterations"][k])),
        )
    return table


def _psnr_in_disc(image: np.ndarray, truth: np.ndarray) -> float:
    """PSNR (range 1) of an image cropped to the truth's shape, inside the inscribed disc, dB."""
    n = truth.shape[0]
    margin = (image.shape[0] - n) // 2
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    disc = x**2 + y**2 <= (n / 2) ** 2
    cropped = image[margin : margin + n, margin : margin + n]
    return float(psnr(jnp.asarray(cropped), jnp.asarray(truth), disc))
