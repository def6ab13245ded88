"""``pfitre project``: forward projection of a result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pfitre_jax.cli import options
from pfitre_jax.cli.app import RECONSTRUCTION_PANEL, command
from pfitre_jax.cli.console import print_line, print_warnings
from pfitre_jax.cli.errors import computation
from pfitre_jax.cli.options.declaration import argument, option
from pfitre_jax.cli.options.panels import ALIGNMENT, GEOMETRY, INPUT, OUTPUT


@command(RECONSTRUCTION_PANEL)
def project(
    recon_h5: Annotated[Path, argument("RECON_H5", "File recon.h5 from 'pfitre recon', or its folder.")],
    *,
    angles: Annotated[
        Path | None,
        option(
            "--angles",
            "CSV",
            "CSV file with the angles of the projections, one per line.",
            INPUT,
            "measured angles",
        ),
    ] = None,
    angle_unit: options.AngleUnit = None,
    center: Annotated[
        float | None,
        option(
            "--center", "BIN", "Detector column index of the rotation axis.", GEOMETRY, "that of the result"
        ),
    ] = None,
    roll: Annotated[
        float | None,
        option(
            "--roll",
            "DEG",
            "In-plane angle between rotation axis and detector columns, in degrees.",
            GEOMETRY,
            "that of the result",
        ),
    ] = None,
    columns: Annotated[
        int | None,
        option("--columns", "N", "Number of detector columns.", GEOMETRY, "that of the scan"),
    ] = None,
    alignment: Annotated[
        Path | None,
        option(
            "--alignment",
            "FILE",
            "Alignment of the run (alignment.csv, .xf or .aln); the projections are shifted accordingly.",
            ALIGNMENT,
            "none",
        ),
    ] = None,
    out: Annotated[
        Path,
        option("--out", "TIF", "TIFF file for the predicted line integrals (views, rows, columns).", OUTPUT),
    ],
) -> None:
    """Compute the projections that a result predicts.

    Reads recon.h5 and writes projections at any angles, in the coordinates of
    the detector, so that they can be compared with measured projections. Bins
    that the reconstructed rows do not cover are NaN.

    Example: pfitre project out/recon.h5 --angles angles.csv --out predicted.tif
    """
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable, write_files
    from pfitre_jax.data.tiff_output import write_tiff
    from pfitre_jax.reconstruction.recon_file import recon_path
    from pfitre_jax.reconstruction.result import read_result

    source = recon_path(recon_h5)
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise ValueError(f"--out is {out}; expected a TIFF file, a name that ends in .tif")
    if out.is_dir():
        raise IsADirectoryError(f"--out is {out}, a folder; expected the name of a TIFF file")
    check_output_folder(out.parent)
    check_replaceable(out.parent, [out.name], inputs=[source, angles, alignment])
    if out.resolve() == source.resolve().with_name("recon.tif"):
        raise ValueError(f"--out is {out}, the slices of this result; expected another file name")
    result = read_result(recon_h5)

    import numpy as np

    from pfitre_jax.data.alignment_files import read_alignment
    from pfitre_jax.data.readers.angles import read_angles
    from pfitre_jax.reconstruction.reproject import project_result

    stored = None if alignment is None else read_alignment(alignment)
    theta_rad = None if angles is None else read_angles(angles, angle_unit)
    used = result.theta_rad if theta_rad is None else theta_rad
    motion = None
    if stored is not None:
        motion, notes = stored.motion(used, result.columns).of_element(result.provenance.get("element"))
        print_warnings(notes)
    projections = project_result(
        result, theta_rad, center=center, roll_deg=roll, columns=columns, motion=motion
    )
    with computation():
        [path] = write_files(out.parent, {out.name: lambda path: write_tiff(path, projections)})
    views, rows, bins = projections.shape
    covered = np.isfinite(projections).mean(axis=(0, 2))
    complete, partial = int(np.sum(covered == 1)), int(np.sum((covered > 0) & (covered < 1)))
    if complete < rows:
        print_warnings(
            [
                f"{complete} of {rows} detector rows are predicted completely and {partial} partly; bins "
                f"that rows {result.row0}:{result.row0 + len(result.volume)} do not cover are NaN"
            ]
        )
    print_line(f"{views} views x {rows} rows x {bins} columns\n{path}")
