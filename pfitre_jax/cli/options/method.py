"""Options of the panel "Method"."""

from __future__ import annotations

from typing import Annotated

from pfitre_jax.cli.options.declaration import flag, option
from pfitre_jax.cli.options.panels import METHOD
from pfitre_jax.priors.default import DEFAULT_PRIOR

Method = Annotated[
    str,
    option(
        "--method",
        "NAME",
        "Reconstruction method: pfitre (learned prior); fista-tv, admm-tv (total variation); fista-dtv "
        "(directional total variation); fbp, sirt, cgls (no prior); pfitre-original (published algorithm).",
        METHOD,
    ),
]
Prior = Annotated[
    str | None,
    option(
        "--prior",
        "NAME|PATH|auto",
        "Learned prior: the name of a shipped one (listed by 'pfitre priors'), an .npz file from "
        "'pfitre train' or 'pfitre adapt', or a .pth checkpoint of the published network. auto: held-out "
        "views of the scan choose a shipped one, or total variation if none helps.",
        METHOD,
        f"{DEFAULT_PRIOR}; with --joint: volume",
    ),
]
Iterations = Annotated[
    int | None,
    option(
        "--iterations",
        "N",
        "Number of iterations; for total variation, the maximum number. Without it, held-out views select "
        "between 1 and 24 for the method pfitre.",
        METHOD,
        "set by the method, see 'pfitre info'",
    ),
]
Rho = Annotated[
    str | None,
    option(
        "--rho",
        "R|auto",
        "Prior strength relative to ||A||^2 = 1: a larger value follows the prior more and the data less. "
        "'auto' derives it from the noise in the scan.",
        METHOD,
        "value stored with the prior, else auto",
    ),
]
TVWeight = Annotated[
    str | None,
    option(
        "--tv-weight",
        "W|auto",
        "Weight of total variation, for images scaled to about [0, 1]: a larger value gives smoother slices. "
        "'auto' selects the weight that predicts held-out views best; 'pfitre watch' computes it from the "
        "noise.",
        METHOD,
        "auto",
    ),
]
Joint = Annotated[
    bool,
    flag(
        "--joint",
        "Reconstruct all rows together as one volume, so that the prior uses neighbouring rows.",
        METHOD,
    ),
]
Adapt = Annotated[
    bool,
    flag(
        "--adapt",
        "Adapt the learned prior to this scan first (self-supervised), which takes minutes. Slices that it "
        "is not trained on and held-out views decide whether it is used. It learns from rows of the whole "
        "scan, whatever --rows. Writes it as prior.npz, with adaptation.png.",
        METHOD,
    ),
]
AdaptMinutes = Annotated[
    float | None,
    option(
        "--adapt-minutes",
        "M",
        "With --adapt: time limit of the adaptation, in minutes, without compilation. No round is started "
        "that would end later, except for the first one, whose duration is unknown.",
        METHOD,
        "no limit; at most 6 rounds",
    ),
]
