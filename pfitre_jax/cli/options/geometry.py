"""Options of the panel "Geometry"."""

from __future__ import annotations

from typing import Annotated

from pfitre_jax.cli.options.declaration import option
from pfitre_jax.cli.options.panels import GEOMETRY

Center = Annotated[
    str,
    option(
        "--center",
        "BIN|auto",
        "Position of the rotation axis: detector column index, counted from 0, fractions allowed. 'auto' "
        "reads it from the file or, if absent there, estimates it from the data.",
        GEOMETRY,
    ),
]
Roll = Annotated[
    str,
    option(
        "--roll",
        "DEG|auto",
        "In-plane angle between rotation axis and detector columns, in degrees; the projections are rotated "
        "by this angle before reconstruction. 'auto' estimates it from the data.",
        GEOMETRY,
    ),
]
PixelSize = Annotated[
    float | None,
    option(
        "--pixel-size",
        "UM",
        "Width of a detector bin in micrometres. Image values then have the unit 1/um.",
        GEOMETRY,
        "width named in the file, else unknown, with image values in 1/pixel",
    ),
]
