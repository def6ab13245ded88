"""``pfitre watch``: reconstruct a scan while it is measured."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from pfitre_jax.cli.app import app
from pfitre_jax.cli.console import say, work
from pfitre_jax.cli.options import Data, Rho, Weight, number


@app.command()
def watch(
    scan: Annotated[
        Path, typer.Argument(metavar="SCAN", help="HDF5 (DXchange) that grows, SWMR or reopened.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for live.png and live.tif.")],
    center: Annotated[float, typer.Option(metavar="FLOAT", help="Detector index of the rotation axis.")],
    rows: Annotated[
        str | None, typer.Option(metavar="A:B", help="Rows to reconstruct; default the middle one.")
    ] = None,
    data: Data = None,
    method: Annotated[str, typer.Option(help="As of pfitre recon, but fbp.")] = "pfitre",
    prior: Annotated[str | None, typer.Option(metavar="NAME|PATH", help="Learned prior.")] = None,
    joint: Annotated[
        bool, typer.Option("--joint", help="The rows as one volume: the prior sees neighbouring rows.")
    ] = False,
    iterations: Annotated[
        int | None, typer.Option(metavar="N", help="Of the first time; half as many afterwards.")
    ] = None,
    rho: Rho = None,
    weight: Weight = None,
    views: Annotated[int, typer.Option(metavar="N", help="Start with so many views.")] = 8,
    step: Annotated[int, typer.Option(metavar="N", help="Refresh after so many more.")] = 4,
    until: Annotated[int | None, typer.Option(metavar="N", help="Stop with so many views.")] = None,
    every: Annotated[float, typer.Option(metavar="S", help="Look for views every S seconds.")] = 1.0,
    patience: Annotated[
        float, typer.Option(metavar="S", help="Stop when no view has come for S seconds.")
    ] = 120.0,
) -> None:
    """Follow a growing scan: chosen rows again and again as views arrive, each time from the last result."""
    from pfitre_jax.data.results import check_folder

    for name, value in (("--views", views), ("--step", step), ("--every", every), ("--patience", patience)):
        if not value > 0:
            raise ValueError(f"{name} is {value:g}; expected more than 0")
    if joint and rows is None:
        raise ValueError("--joint without --rows; expected --rows A:B, the rows to solve as one volume")
    check_folder(out, ["live.png", "live.tif"])
    if not scan.exists():
        raise FileNotFoundError(f"{scan} does not exist; expected a file that a scan is being written to")

    from pfitre_jax.data.preprocess import to_scan
    from pfitre_jax.data.readers.growing import GrowingScan
    from pfitre_jax.data.results import write_files, write_tiff
    from pfitre_jax.data.selection import parse_slice
    from pfitre_jax.reconstruction import live, methods

    settings = methods.settings(
        method,
        joint=joint,
        prior=prior,
        iterations=iterations,
        rho=number(rho, "--rho", "auto"),
        weight=number(weight, "--weight", "auto"),
    )
    if method == "fbp":
        raise ValueError("--method fbp makes no use of a last result; expected an iterative one")
    growing, result, shown, seen, last = GrowingScan(scan, data), None, 0, 0, time.monotonic()
    chosen = None if rows is None else parse_slice(rows)
    if chosen is not None and chosen.step not in (None, 1):
        raise ValueError(f"--rows is {rows}; expected neighbouring rows A:B")
    say(f"watching {scan}; Ctrl-C stops, {out / 'live.png'} stays")
    while until is None or shown < until:
        there = growing.views()
        if there > seen:
            seen, last = there, time.monotonic()
        due = there >= (views if result is None else shown + step) or (until is not None and there >= until)
        over = time.monotonic() - last > patience
        # The last views, too few for another step, when no others come.
        due = due or (over and there >= views)
        if there == shown or not due:
            if over:
                say(f"no view has come for {patience:g} s: {shown} views are shown")
                return
            time.sleep(every)
            continue
        there = there if until is None else min(there, until)
        try:
            if chosen is None:
                middle = growing.rows() // 2
                chosen = slice(middle, middle + 1)
            raw = growing.read(slice(chosen.start or 0, chosen.stop or growing.rows()), there)
        except OSError:
            # The writer has it: the next look will tell.
            time.sleep(every)
            continue
        loaded = to_scan(raw, center=center)
        if joint and loaded.rows < 2:
            raise ValueError(f"--joint with --rows {rows} is one row; expected two or more")
        with work():
            result = live.refresh(loaded, method, settings, result, joint=joint)
            figure = _picture(result, loaded, chosen.start or 0, method)
            writers = {
                "live.png": lambda path, figure=figure: figure.savefig(path, format="png"),
                "live.tif": lambda path, images=result.images: write_tiff(path, images),
            }
            write_files(out, writers)
        shown = there
        say(
            f"{there} views, {loaded.wedge.width_deg:.0f} degrees missing: residual "
            f"{result.residual.max():.3f}, {result.iterations} iterations, {result.seconds:.1f} s"
        )


def _picture(result, scan, row0: int, method: str):
    from pfitre_jax.plotting.panels import Panel, choose_rows
    from pfitre_jax.plotting.preview import draw_live

    shown = choose_rows(scan.rows)
    panels = [Panel(f"row {row0 + k}   residual {result.residual[k]:.3g}", result.images[k]) for k in shown]
    facts = [f"{scan.views} views", f"{result.iterations} iterations", f"{result.seconds:.1f} s"]
    title = f"{method}, {scan.views} views so far"
    return draw_live(panels, theta_rad=scan.theta_rad, wedge=scan.wedge, title=title, facts=facts)
