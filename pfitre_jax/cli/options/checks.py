"""Options of the panel "Checks of the result"."""

from __future__ import annotations

from typing import Annotated, Literal

from pfitre_jax.cli.options.declaration import flag, option
from pfitre_jax.cli.options.panels import CHECKS

Validate = Annotated[
    bool,
    flag(
        "--validate",
        "Leave views out, predict them by the method and by fista-tv from the other views, and state which "
        "one predicts better. Costs two reconstructions of at most 8 rows by each of them. The result "
        "still uses all views.",
        CHECKS,
    ),
]
Resolution = Annotated[
    bool,
    flag(
        "--resolution",
        "Estimate the resolution from two reconstructions of half of the views each (Fourier ring and shell "
        "correlation). Costs about one reconstruction of at most 32 rows.",
        CHECKS,
    ),
]
Intervals = Annotated[
    Literal["quick", "full", "off"],
    option(
        "--intervals",
        "quick|full|off",
        "Write the limits between which the true value of a pixel lies in 9 of 10 pixels. quick: from the "
        "error that the prior expects, where it has been calibrated. full: also from 20 reconstructions "
        "of the rotated result (25 times slower), for classical methods from these alone.",
        CHECKS,
    ),
]
