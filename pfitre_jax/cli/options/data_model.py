"""Options of the panel "Data model"."""

from __future__ import annotations

from typing import Annotated, Literal

from pfitre_jax.cli.options.declaration import flag, option
from pfitre_jax.cli.options.panels import DATA_MODEL

Air = Annotated[
    str,
    option(
        "--air",
        "VALUE|auto|none",
        "Line integral of the air beside the sample, subtracted from all bins. 'auto' estimates it where the "
        "edges of all views agree on a level other than 0; 'none' subtracts nothing.",
        DATA_MODEL,
    ),
]
Support = Annotated[
    str,
    option(
        "--support",
        "auto|disc|extended|faces:LOW,HIGH|FILE",
        "Where the slices may differ from 0. 'auto' estimates the sample's outline from its shadows and uses "
        "it or another shape, whichever predicts held-out views best; 'disc' is the disc that every view "
        "sees; 'extended' reaches beyond the field of view; 'faces:LOW,HIGH' is the outline between the "
        "known faces of a flat sample, in columns from the rotation axis along the middle of the missing "
        "directions; FILE is a TIFF or .npy image that is not 0 where the sample may be.",
        DATA_MODEL,
    ),
]
Robust = Annotated[
    Literal["huber", "student-t", "views"] | None,
    option(
        "--robust",
        "KIND",
        "Robust data term, which down-weights outliers: 'huber' (single bins), 'student-t' (single bins, "
        "more strongly) or 'views' (whole views).",
        DATA_MODEL,
        "least squares",
    ),
]
Photons = Annotated[
    float | None,
    option(
        "--photons",
        "N",
        "Photons per bin in the flat beam; weights bins by Poisson statistics.",
        DATA_MODEL,
        "all bins weighted equally",
    ),
]
Stripes = Annotated[
    bool,
    flag("--stripes", "Estimate and correct constant offsets of detector columns (stripes).", DATA_MODEL),
]
Gains = Annotated[
    bool,
    flag("--gains", "Estimate and correct one intensity factor per view (gain).", DATA_MODEL),
]
