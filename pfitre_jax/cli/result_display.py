"""Picture and table of a result."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pfitre_jax.cli.console import print_line, print_paths
from pfitre_jax.cli.errors import in_options
from pfitre_jax.data.selection import format_ranges
from pfitre_jax.metrics import psnr
from pfitre_jax.plotting.panels import Panel, choose_rows
from pfitre_jax.plotting.preview import draw_preview
from pfitre_jax.plotting.result_checks import draw_held_out, draw_resolution, format_resolution
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
    if result.upper is not None and result.intervals is not None:
        holds = result.intervals["holds"]
        title = (
            "9 of 10 true values are within ± this" if holds else "uncertainty too small: see the warnings"
        )
        half_width = result.upper[middle] - result.volume[middle]
        panels.append(Panel(title, half_width, own_scale="uncertainty"))
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
        checks=_checks(result),
    )


def _checks(result: Result) -> list[Callable[[Axes], None]]:
    """Functions that draw the checks that were made."""
    drawn: list[Callable[[Axes], None]] = []
    if result.validation is not None:
        drawn.append(functools.partial(draw_held_out, validation=result.validation, method=result.method))
    if result.resolution is not None:
        drawn.append(functools.partial(draw_resolution, resolution=result.resolution))
    return drawn


def print_result(result: Result, paths: Iterable[Path]) -> None:
    """Prints residual and status of the rows, times, corrections, and the written files."""
    Console(soft_wrap=True, highlight=False, emoji=False).print(_table(result))
    times = result.timings
    seconds = times["seconds_run"]
    print_line(
        f"{seconds:.1f} s ({seconds / len(result.rows):.2f} s per row), compiling "
        f"{times['seconds_compile']:.1f} s, preparation {times['seconds_prepare']:.1f} s"
        + (f", checks {times['seconds_checks']:.1f} s" if "seconds_checks" in times else "")
    )
    for name, correction in result.corrections().items():
        unit = "columns" if name == "stripes" else "views"
        action = "down-weighted" if name == "robust" else "corrected"
        often = format_ranges(correction["often"]) if len(correction["often"]) else "none"
        print_line(
            f"{name}: {np.mean(correction[unit]):.1f} {unit} {action} per row on average; in at least half "
            f"of the rows: {often}"
        )
    if result.intervals is not None:
        _print_intervals(result.intervals, result.units)
    if result.validation is not None:
        Console(soft_wrap=True, highlight=False, emoji=False).print(_held_out_table(result))
        for sentence in result.validation["verdict"]:
            print_line(in_options(sentence))
    if result.resolution is not None:
        _print_resolution(result.resolution)
    print_paths(paths)


def _held_out_table(result: Result) -> Table:
    table = Table(title="prediction error of held-out views", title_justify="left")
    assert result.validation is not None
    reference = result.method != "fista-tv"
    for column in ("views", result.method, *(["fista-tv"] if reference else []), "noise alone"):
        table.add_column(column, justify="left" if column == "views" else "right")
    for kind in ("interpolating", "extrapolating"):
        errors = result.validation[kind]
        values = [errors["error"], *([errors["fista_tv"]] if reference else []), errors["noise_floor"]]
        table.add_row(f"{len(errors['views'])} {kind}", *(f"{value:.4f}" for value in values))
    return table


def _print_intervals(intervals: dict[str, Any], units: str) -> None:
    """Prints the median half width of the intervals, and the share of pixels where they hide structure."""
    if intervals["median_half_width"] is None:
        return
    wider = intervals["wider_than_contrast"]
    print_line(
        f"intervals ({intervals['kind']}): the true value of 9 of 10 pixels is within "
        f"± {intervals['median_half_width']:.3g} {units} (median)"
        + (
            ""
            if wider is None
            else f"; wider than the contrast of the surroundings in {wider:.0%} of the pixels"
        )
        + ("" if intervals["holds"] else "; they do not hold, see the warnings")
    )


def _print_resolution(resolution: dict[str, Any]) -> None:
    """Prints the resolution over all directions, by direction, and of the volume."""
    print_line(f"resolution, all directions: {format_resolution(resolution['rings'])}")
    for sector in resolution["sectors"]:
        low, high = sector["angle_to_wedge_deg"]
        place = "measured" if sector["measured"] else "missing: agreement of what is supplied, no resolution"
        angles = f"{low:.0f} to {high:.0f} degrees from the middle of the wedge"
        print_line(f"  {angles}: {format_resolution(sector)} ({place})")
    if resolution["shells"] is not None:
        print_line(f"  volume (shells): {format_resolution(resolution['shells'])}")


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
