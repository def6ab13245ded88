"""``pfitre export``: slices of a result in formats that other programs open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pfitre_jax.cli.app import RECONSTRUCTION_PANEL, command, command_line
from pfitre_jax.cli.console import print_paths
from pfitre_jax.cli.errors import computation
from pfitre_jax.cli.options.declaration import argument, flag, option
from pfitre_jax.cli.options.panels import INPUT, OUTPUT
from pfitre_jax.cli.options.parsing import parse_names


@command(RECONSTRUCTION_PANEL)
def export(
    ctx: typer.Context,
    result: Annotated[Path, argument("DIR", "Folder with the result of 'pfitre recon', or its recon.h5.")],
    *,
    image: Annotated[
        Literal["slices", "measured", "supplied", "lower", "upper"],
        option(
            "--image",
            "NAME",
            "What to write: the slices, their component that the data determine (measured), the rest, which "
            "the prior supplied (supplied), or the limits of the intervals (lower, upper).",
            INPUT,
        ),
    ] = "slices",
    formats: Annotated[
        list[str],
        option(
            "--format",
            "NAME,...",
            "Formats: tiff (ImageJ), ome-zarr (napari and other viewers of large images), mrc (electron "
            "tomography). May be repeated.",
            OUTPUT,
        ),
    ],
    out: Annotated[
        Path | None,
        option(
            "--out", "DIR", "Folder for the files; created if it does not exist.", OUTPUT, "that of recon.h5"
        ),
    ] = None,
    overwrite: Annotated[
        bool, flag("--overwrite", "Replace files that pfitre did not write.", OUTPUT)
    ] = False,
) -> None:
    """Write the slices of a result in other formats.

    Reads recon.h5, a few rows at a time, and writes recon.tif,
    recon.ome.zarr or recon.mrc; with --image measured, recon_measured.tif and
    so on.

    Example: pfitre export out --format ome-zarr,mrc
    """
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable
    from pfitre_jax.data.folder_lock import lock_folder
    from pfitre_jax.data.writers.registry import find_writers
    from pfitre_jax.reconstruction.exported_images import export_name
    from pfitre_jax.reconstruction.recon_file import recon_path
    from pfitre_jax.reconstruction.result import read_result

    path = recon_path(result)
    folder = path.parent if out is None else out
    writers = find_writers(parse_names(formats), with_hdf5=False)
    if not writers:
        raise ValueError("--format names no format; expected tiff, ome-zarr or mrc")
    names = [export_name(image, writer) for writer in writers]
    check_output_folder(folder, names)
    check_replaceable(folder, names, inputs=[path], overwrite=overwrite)
    # Locked first, so that no other run replaces the result that is read.
    ctx.with_resource(lock_folder(folder, command_line(ctx)))
    stored = read_result(result, lazy=True)
    stored.stack(image)
    with computation():
        paths = stored.export(folder, [writer.name for writer in writers], image=image, overwrite=overwrite)
    print_paths(paths)
