"""``pfitre recon``: reconstruct a scan."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pfitre_jax.cli.app import COMMAND, app
from pfitre_jax.cli.console import Failure, describe, progress_bar, say, warn, work
from pfitre_jax.cli.options import Angles, AngleUnit, Center, Data, ExcludeViews, MaskNan, Roll, Views, number
from pfitre_jax.cli.samples import sample_path, sample_truth


@app.command()
def recon(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")],
    scan: Annotated[Path | None, typer.Argument(metavar="[SCAN]", help="TIFF stack, HDF5 or .npz")] = None,
    sample: Annotated[
        str | None, typer.Option(metavar="NAME", help="A scan that the package brings: chip.")
    ] = None,
    angles: Angles = None,
    angle_unit: AngleUnit = None,
    data: Data = None,
    center: Center = "auto",
    roll: Roll = "0",
    method: Annotated[
        str, typer.Option(help="fbp, sirt, cgls, fista-tv, fista-dtv, admm-tv, pfitre or pfitre-original.")
    ] = "pfitre",
    prior: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="Learned prior; .pth: the published network's.")
    ] = None,
    iterations: Annotated[int | None, typer.Option(metavar="N")] = None,
    rho: Annotated[float | None, typer.Option(metavar="R", help="Pull towards the prior.")] = None,
    weight: Annotated[str | None, typer.Option(metavar="W|auto", help="Of total variation.")] = None,
    rows: Annotated[str | None, typer.Option(metavar="A:B", help="Rows to reconstruct; default all.")] = None,
    views: Views = None,
    exclude_views: ExcludeViews = None,
    pixel_size: Annotated[
        float | None, typer.Option(metavar="UM", help="Detector bin, micrometres: values become 1/um.")
    ] = None,
    mask_nan: MaskNan = False,
) -> None:
    """Reconstruct a scan: recon.h5, recon.tif, preview.png and summary.json in DIR."""
    from pfitre_jax.io.results import NAMES, check_folder

    if (scan is None) == (sample is None):
        raise ValueError("expected either a SCAN or --sample chip: give one of them")
    check_folder(out, [*NAMES, "preview.png"])
    source = sample_path(sample) if sample else scan
    center_value, roll_value = number(center, "--center", None), number(roll, "--roll", "auto")
    weight_value = None if weight is None else number(weight, "--weight", "auto")

    import numpy as np

    from pfitre_jax import api
    from pfitre_jax.engine import methods
    from pfitre_jax.loop import Status

    settings = dict(prior=prior, iterations=iterations, rho=rho, weight=weight_value)
    settings["prior"] = methods.settings(method, **settings).get("prior")
    began = time.perf_counter()
    loaded = api.load_scan(
        source,
        angles=angles,
        angle_unit=angle_unit,
        data=data,
        center=center_value,
        roll=roll_value,
        pixel_size=pixel_size,
        views=views,
        exclude_views=exclude_views,
        mask_nan=mask_nan,
    )
    if rows is not None:
        loaded.select_rows(rows)
    loaded = api.with_center(loaded)
    seconds = time.perf_counter() - began
    say(describe(loaded))
    with work(), progress_bar(f"{method}, compiling") as progress:
        result = api.reconstruct(loaded, method, rows=rows, progress=progress, **settings)
    result.timings["seconds_prepare"] += seconds
    truth = sample_truth(source, result) if sample else None
    compared = None
    if truth is not None and method != "fista-tv":
        middle = int(result.rows[result.middle])
        with work(), progress_bar("fista-tv, to compare") as progress:
            compared = api.reconstruct(
                loaded, "fista-tv", rows=slice(middle, middle + 1), scale=result.scale, progress=progress
            )
    command = ctx.find_root().meta[COMMAND]
    with work():
        figure = _preview(result, truth, compared, source.name)
        paths = result.save(out, command=command, writers={"preview.png": lambda path: figure.savefig(path)})
    warn(result.warnings)
    _print_result(result, paths)
    if np.all(result.status == int(Status.DIVERGED)):
        raise Failure from FloatingPointError("every row diverged; the slices are the last finite iterates")


def _preview(result, truth, compared, name: str):
    import numpy as np

    from pfitre_jax import report

    rows, middle = result.rows, result.middle
    history = lambda r, k: r.stats["residual"][k]  # noqa: E731
    if truth is None:
        shown = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), report.PANELS)).round().astype(int))
        panels = [
            report.Panel(f"row {rows[k]}   residual {result.residual[k]:.3g}", result.volume[k])
            for k in shown
        ]
        curves = {f"row {rows[k]}": history(result, k) for k in shown}
    else:
        # The truth is per pixel, a result in its own unit.
        unit = 1 if result.scan.pixel_size is None else result.scan.pixel_size
        images = {"fista-tv": compared.volume[0]} if compared else {}
        images[result.method] = result.volume[middle]
        panels = [report.Panel("truth", truth / unit)] + [
            report.Panel(f"{label}   PSNR {_psnr(image * unit, truth):.1f} dB", image)
            for label, image in images.items()
        ]
        curves = {"fista-tv": history(compared, 0)} if compared else {}
        curves[result.method] = history(result, middle)
    image = result.volume[middle]
    said = f"row {rows[middle]}   shaded: not measured, {result.supplied[middle]:.0%}"
    panels.append(report.Panel(said, image, image - result.measured[middle]))
    short = lambda value: f"{value:.3g}" if isinstance(value, float) else value  # noqa: E731
    settings = ", ".join(f"{name} {short(value)}" for name, value in result.parameters.items())
    return report.preview(
        panels,
        misfit=result.misfit,
        row=int(rows[middle]),
        curves=curves,
        theta_rad=result.scan.theta_rad,
        wedge=result.scan.wedge,
        title=f"{result.label}: {name}",
        facts=[
            f"center {float(result.geometry.center):.4g}, roll {result.scan.roll_deg:.3g}°",
            settings,
            f"scale {result.scale:.3g}",
            f"{result.timings['seconds_run']:.1f} s, compiling {result.timings['seconds_compile']:.1f} s",
        ],
        units=result.units,
    )


def _psnr(image, truth) -> float:
    """PSNR, range 1, of images cut to the truth's shape, inside its disc."""
    import numpy as np

    from pfitre_jax.metrics import psnr

    n = truth.shape[0]
    margin = (image.shape[0] - n) // 2
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    disc = x**2 + y**2 <= (n / 2) ** 2
    return float(psnr(image[margin : margin + n, margin : margin + n], truth, disc))


def _print_result(result, paths) -> None:
    from pfitre_jax.loop import Status

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
    for path in paths:
        console.print(str(path), markup=False)
