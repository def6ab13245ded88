"""What ``pfitre recon`` shows of a result: its picture and its table."""

from __future__ import annotations

import textwrap

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pfitre_jax.data.selection import format_ranges
from pfitre_jax.metrics import psnr
from pfitre_jax.plotting.panels import Panel, choose_rows
from pfitre_jax.plotting.preview import draw_preview
from pfitre_jax.solvers.loop import Status

#: Letters of a line beside the picture of the angles.
FACT_WIDTH = 44


def preview(result, truth, compared, name: str):
    """The figure of a :class:`pfitre_jax.reconstruction.result.Result`: rows, or the one whose ``truth`` is known beside
    what it is ``compared`` to; what was supplied, misfit and convergence.
    """
    rows, middle = result.rows, result.middle
    history = lambda r, k: r.stats["residual"][k]  # noqa: E731
    if truth is None:
        shown = choose_rows(len(rows))
        panels = [
            Panel(f"row {rows[k]}   residual {result.residual[k]:.3g}", result.volume[k]) for k in shown
        ]
        curves = {f"row {rows[k]}": history(result, k) for k in shown}
    else:
        # The truth is per pixel, a result in its own unit.
        unit = 1 if result.scan.pixel_size is None else result.scan.pixel_size
        images = {"fista-tv": compared.volume[0]} if compared else {}
        images[result.method] = result.volume[middle]
        panels = [Panel("truth", truth / unit)] + [
            Panel(f"{label}   PSNR {_psnr(image * unit, truth):.1f} dB", image)
            for label, image in images.items()
        ]
        curves = {"fista-tv": history(compared, 0)} if compared else {}
        curves[result.method] = history(result, middle)
    image = result.volume[middle]
    said = f"row {rows[middle]}   shaded: not measured, {result.supplied[middle]:.0%}"
    panels.append(Panel(said, image, image - result.measured[middle]))
    short = lambda value: f"{value:.3g}" if isinstance(value, float) else value  # noqa: E731
    settings = ", ".join(f"{name} {short(value)}" for name, value in result.parameters.items())
    return draw_preview(
        panels,
        residual_sinogram=result.misfit,
        row=int(rows[middle]),
        curves=curves,
        theta_rad=result.scan.theta_rad,
        wedge=result.scan.wedge,
        title=f"{result.label}: {name}",
        facts=[
            f"center {float(result.geometry.center):.4g}, roll {result.scan.roll_deg:.3g}°",
            *textwrap.wrap(settings, FACT_WIDTH),
            f"scale {result.scale:.3g}",
            f"{result.timings['seconds_run']:.1f} s, compiling {result.timings['seconds_compile']:.1f} s",
        ],
        units=result.units,
    )


def _psnr(image, truth) -> float:
    """PSNR, range 1, of images cut to the truth's shape, inside its disc."""
    n = truth.shape[0]
    margin = (image.shape[0] - n) // 2
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    disc = x**2 + y**2 <= (n / 2) ** 2
    return float(psnr(image[margin : margin + n, margin : margin + n], truth, disc))


def print_result(result, paths) -> None:
    """Rows with residual and status, times, what was mended, and the files."""
    table = Table(title=f"{result.label}, {len(result.rows)} rows", title_justify="left")
    for column in ("row", "residual", "status", "iterations"):
        table.add_column(column, justify="left" if column == "status" else "right")
    shown = range(len(result.rows))
    if len(result.rows) > 12:
        shown = [*range(5), None, *range(len(result.rows) - 5, len(result.rows))]
    for k in shown:
        if k is None:
            table.add_row("...", "", "", "")
            continue
        status = Status(int(result.status[k]))
        table.add_row(
            str(result.rows[k]),
            f"{result.residual[k]:.4f}",
            Text(status.text, style="red" if status == Status.DIVERGED else ""),
            str(int(result.stats["iterations"][k])),
        )
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    console.print(table)
    times = result.timings
    running, compiling = times["seconds_run"], times["seconds_compile"]
    per_row = running / len(result.rows)
    console.print(
        f"{running:.1f} s ({per_row:.2f} s a row) after {compiling:.1f} s of compiling and "
        f"{times['seconds_prepare']:.1f} s of preparation"
    )
    for name, told in result.mended().items():
        unit = "columns" if name == "stripes" else "views"
        done = "down-weighted" if name == "robust" else "mended"
        often = format_ranges(told["often"]) if len(told["often"]) else "none"
        console.print(
            f"{name}: {np.mean(told[unit]):.1f} {unit} {done} per row on average; in at least half of the "
            f"rows: {often}"
        )
    for path in paths:
        console.print(str(path), markup=False)
