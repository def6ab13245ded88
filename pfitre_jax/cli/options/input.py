"""Input of a command: the argument SCAN and the options of the panel "Input"."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pfitre_jax.cli.options.declaration import argument, flag, option
from pfitre_jax.cli.options.panels import INPUT

ScanPath = Annotated[
    Path,
    argument(
        "SCAN",
        "Scan file, or folder with one file for each view: HDF5 of many beamlines, TIFF, MRC, TXRM, .npz and "
        "others (see the page 'Scan files' of the documentation).",
    ),
]
OptionalScanPath = Annotated[
    Path | None,
    argument(
        "SCAN",
        "Scan file, or folder with one file for each view: HDF5 of many beamlines, TIFF, MRC, TXRM, .npz and "
        "others (see the page 'Scan files' of the documentation).",
    ),
]
Sample = Annotated[
    str | None,
    option("--sample", "NAME", "Use a simulated scan of the package instead of SCAN: chip.", INPUT),
]
Angles = Annotated[
    Path | None,
    option(
        "--angles",
        "CSV",
        "CSV file with the angle of each view, one per line. Required for a TIFF stack.",
        INPUT,
        "angles in the scan file",
    ),
]
AngleUnit = Annotated[
    Literal[
        "deg",
        "rad",
        "mdeg",
        "mrad",
        "udeg",
        "urad",
        "nrad",
        "cdeg",
        "arcmin",
        "arcsec",
        "turn",
        "halfturn",
        "gon",
    ]
    | None,
    option(
        "--angle-unit",
        "UNIT",
        "Unit of the angles, for example deg, rad, mdeg, mrad, urad, arcmin, arcsec, turn or gon.",
        INPUT,
        "unit named in the file, else deg",
    ),
]
Element = Annotated[
    str | None,
    option(
        "--element",
        "NAME",
        "Element or channel to read, for example Cu or Cu_K, of a scan with several elements.",
        INPUT,
        "the only element",
    ),
]
Elements = Annotated[
    str | None,
    option(
        "--element",
        "NAME[,NAME...]|all",
        "Element or channel to reconstruct, for example Cu or Cu_K, of a scan with several elements. Several "
        "names, or 'all', are reconstructed with one rotation axis, roll and alignment, each in a folder of "
        "its own in DIR.",
        INPUT,
        "the only element",
    ),
]
Dataset = Annotated[
    str | None,
    option(
        "--dataset",
        "PATH",
        "Dataset of the projections in an HDF5 file, for example /entry/data.",
        INPUT,
        "dataset of the file format",
    ),
]
ThetaPath = Annotated[
    str | None,
    option(
        "--theta-path",
        "PATH",
        "Place of the angles in the scan file: a dataset (/entry/theta), an attribute (/entry@theta), or the "
        "name of a process variable or motor.",
        INPUT,
        "place of the file format",
    ),
]
AxisOrder = Annotated[
    str | None,
    option(
        "--axis-order",
        "A,B,C",
        "Names of the axes of the stored projections, in their order: view, row and column, for example "
        "row,column,view.",
        INPUT,
        "order named in the file, else view,row,column",
    ),
]
Data = Annotated[
    Literal["counts", "transmission", "absorption"] | None,
    option(
        "--data",
        "KIND",
        "Kind of data: 'counts' (detector counts with flat and dark frames), 'transmission' (counts divided "
        "by the flat field) or 'absorption' (line integrals).",
        INPUT,
        "counts if the file has flat frames, else absorption",
    ),
]
Rows = Annotated[
    str | None,
    option(
        "--rows",
        "A:B",
        "Detector rows A to B-1, counted from 0; each row gives one slice.",
        INPUT,
        "all rows",
    ),
]
Views = Annotated[
    str | None,
    option("--views", "A:B[:S]", "Views to use: A to B-1 in steps of S, counted from 0.", INPUT, "all views"),
]
ExcludeViews = Annotated[
    str | None,
    option(
        "--exclude-views",
        "A:B[:S]",
        "Views to leave out, for example to predict them afterwards with 'pfitre project'.",
        INPUT,
        "none",
    ),
]
MaskNan = Annotated[
    bool,
    flag("--mask-nan", "Ignore bins that are NaN or infinite. By default such a scan is rejected.", INPUT),
]
