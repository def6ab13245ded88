"""``pfitre project``: forward-project a result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pfitre_jax.cli.app import app
from pfitre_jax.cli.console import warn, work
from pfitre_jax.cli.options import AngleUnit


@app.command()
def project(
    recon_h5: Annotated[Path, typer.Argument(metavar="RECON_H5", help="recon.h5 of pfitre recon")],
    out: Annotated[Path, typer.Option(metavar="TIF", help="Sinogram stack (views, rows, columns).")],
    angles: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Angles to project at; default the measured ones.")
    ] = None,
    angle_unit: AngleUnit = None,
    center: Annotated[float | None, typer.Option(help="Default: the result's.")] = None,
    roll: Annotated[float | None, typer.Option(metavar="DEG", help="Default: the result's.")] = None,
    alignment: Annotated[
        Path | None, typer.Option(metavar="CSV", help="alignment.csv of the run: the views as they lay.")
    ] = None,
    columns: Annotated[int | None, typer.Option(metavar="N", help="Default: the scan's.")] = None,
) -> None:
    """Forward-project a result at any angles, in the raw frame of the detector."""
    from pfitre_jax.data.results import check_folder, read_result, write_files, write_tiff

    if out.suffix.lower() not in (".tif", ".tiff"):
        raise ValueError(f"--out is {out}; expected a TIFF file, a name that ends in .tif")
    if out.is_dir():
        raise IsADirectoryError(f"--out is {out}, a folder; expected the name of a TIFF file")
    check_folder(out.parent)
    if out.resolve() == recon_h5.resolve().with_name("recon.tif"):
        raise ValueError(f"--out is {out}, the slices of this result; expected another name for the sinogram")
    stored = read_result(recon_h5)

    import numpy as np

    from pfitre_jax.data.motion import Motion
    from pfitre_jax.data.readers.angles import read_angles
    from pfitre_jax.reconstruction.reproject import project_result

    motion = None if alignment is None else Motion.load(alignment)
    theta_rad = None if angles is None else read_angles(angles, angle_unit)
    raw = project_result(stored, theta_rad, center=center, roll_deg=roll, columns=columns, motion=motion)
    known = np.isfinite(raw).mean(axis=(0, 2))
    whole, part = int(np.sum(known == 1)), int(np.sum((known > 0) & (known < 1)))
    with work():
        [path] = write_files(out.parent, {out.name: lambda path: write_tiff(path, raw)})
    views, rows, bins = raw.shape
    if whole < rows:
        warn(
            [
                f"of {rows} raw rows {whole} are predicted whole and {part} in part; bins that the "
                f"reconstructed rows {stored.row0}:{stored.row0 + len(stored.volume)} do not reach are NaN"
            ]
        )
    Console(soft_wrap=True, highlight=False, emoji=False).print(
        f"{views} views x {rows} rows x {bins} columns\n{path}", markup=False
    )
