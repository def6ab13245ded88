"""Options of the panel "Output"."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pfitre_jax.cli.options.declaration import flag, option
from pfitre_jax.cli.options.panels import OUTPUT

Report = Annotated[
    bool,
    flag(
        "--report",
        "Write the report of the result as well, report.html: one page with all slices and checks, which "
        "needs no network.",
        OUTPUT,
    ),
]
OutFolder = Annotated[
    Path, option("--out", "DIR", "Folder for the results; created if it does not exist.", OUTPUT)
]
Formats = Annotated[
    list[str] | None,
    option(
        "--format",
        "NAME,...",
        "Formats of the slices: hdf5 (recon.h5, always written), tiff (ImageJ), ome-zarr (napari and other "
        "viewers of large images), mrc (electron tomography). May be repeated.",
        OUTPUT,
        "hdf5,tiff",
    ),
]
Overwrite = Annotated[bool, flag("--overwrite", "Discard any previous run in DIR and start over.", OUTPUT)]
Quiet = Annotated[bool, flag("--quiet", "Print only warnings and errors.", OUTPUT)]
JsonLog = Annotated[
    bool,
    flag("--json", "Print progress and messages to stderr as JSON, one object per line.", OUTPUT),
]
