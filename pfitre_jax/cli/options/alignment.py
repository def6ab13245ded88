"""Options of the panel "Alignment"."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pfitre_jax.cli.options.declaration import flag, option
from pfitre_jax.cli.options.panels import ALIGNMENT

Align = Annotated[
    bool,
    flag(
        "--align",
        "Estimate the shifts and gain of every view and the roll, and correct them before "
        "reconstruction. Reads the whole scan into memory.",
        ALIGNMENT,
    ),
]
Drift = Annotated[
    bool,
    flag(
        "--drift",
        "With --align: estimate a slow drift instead of a separate shift for each view. "
        "For scans whose views are too noisy to align one by one.",
        ALIGNMENT,
    ),
]
AlignmentFile = Annotated[
    Path | None,
    option(
        "--alignment",
        "FILE",
        "Alignment to apply: alignment.csv of an earlier run, an .xf file of IMOD, or an .aln file of "
        "AreTomo. With --align: the initial estimate.",
        ALIGNMENT,
        "none",
    ),
]
AlignOn = Annotated[
    str | None,
    option(
        "--align-on",
        "NAME[+NAME...]|sum",
        "Element whose rotation axis, roll and alignment are estimated and used for all elements of "
        "--element. Several names, or 'sum' for all of --element, are added, each divided by its noise.",
        ALIGNMENT,
        "of several elements the one with the largest signal-to-noise ratio",
    ),
]
