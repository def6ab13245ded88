"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Scan = Annotated[Path, typer.Argument(metavar="SCAN", help="TIFF stack, HDF5 (DXchange, NXtomo) or .npz")]
Angles = Annotated[Path | None, typer.Option(metavar="CSV", help="One angle for each view.")]
AngleUnit = Annotated[Literal["deg", "rad"] | None, typer.Option(help="Default: the file's, else deg.")]
Data = Annotated[
    Literal["counts", "transmission", "absorption"] | None,
    typer.Option(help="Default: counts where the file holds flats, else absorption (line integrals)."),
]
Center = Annotated[
    str,
    typer.Option(
        metavar="FLOAT|auto",
        help="Detector index of the rotation axis, bins counted from 0; "
        "auto: what the file says, and where it says nothing, searched for.",
    ),
]
Roll = Annotated[
    str, typer.Option(metavar="DEG|auto", help="In-plane roll of the rotation axis, mended first.")
]
MaskNan = Annotated[bool, typer.Option("--mask-nan", help="Leave out NaN and infinite bins.")]
Rho = Annotated[
    str | None,
    typer.Option(
        metavar="R|auto",
        help="Pull towards the prior; auto: from the noise. Default the method's or the prior's own.",
    ),
]
Weight = Annotated[
    str | None, typer.Option(metavar="W|auto", help="Of total variation; default auto, from the noise.")
]
Views = Annotated[str | None, typer.Option(metavar="A:B[:S]", help="Views to use.")]
ExcludeViews = Annotated[str | None, typer.Option(metavar="A:B[:S]", help="Views to leave out.")]


def number(text: str | None, option: str, auto):
    """A number, ``auto`` for the word, or ``None`` where nothing was given."""
    if text is None:
        return None
    if text.strip().lower() == "auto":
        return auto
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{option} is {text!r}; expected a number or 'auto'") from None
