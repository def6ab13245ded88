"""Cu_23, the original paper's chip: which method predicts best the views that it was not given?

command: python -m experiments.real_chip [--preset tiny|default|all_rows]
    (needs PFITRE_DATA or ../shared/data)
runtime: about 40 minutes on 2 cores, resumes (tiny: 1 minute; all_rows: half an hour)
expected: error on views left out about FISTA-TV's, and with the roll mended 10 to 30% less for all;
    residual of pfitre at most 1.1 times FISTA-TV's, at most 0.07 on rows 15, 25, 40 of the mended scan
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.evaluation.methods import WEIGHTS
from pfitre_jax.reconstruction import METHODS

#: The published loop comes without its prior, and with ours it diverges (docs/measurements/priors.md).
LEFT_ALONE = ("pfitre-original",)


@dataclasses.dataclass(frozen=True)
class Config:
    """every: n-th row is predicted, all of them together; 1: all rows, and then in the raw frame

    rolls_deg: corrections tried, the one that is right last; center: the authors' rotation axis
    methods: FISTA-TV, which the others are divided by, must be among them
    left_out: views that are left out and predicted, by name
    weights: of total variation; each method has, for each roll and each set left out, the one that predicts
        best; where all views are used, for residuals and pictures, it is that of the first set
    rows: looked at; iterations: of every method, None for its own
    """

    every: int = 3
    rolls_deg: tuple[float, ...] = (0.0, 1.5)
    center: float = 75.0
    methods: tuple[str, ...] = tuple(method for method in METHODS if method not in LEFT_ALONE)
    left_out: dict[str, str] = dataclasses.field(
        default_factory=lambda: {"every fourth": "0:51:4", "36-50": "36:51", "28-35": "28:36"}
    )
    weights: tuple[float, ...] = WEIGHTS
    rows: tuple[int, ...] = (15, 25, 40, 55)
    iterations: int | None = None


PRESETS = {
    "default": Config(),
    # How much it differs from row to row: of the baseline and ours alone.
    "all_rows": Config(every=1, rolls_deg=(1.5,), methods=("fista-tv", "pfitre")),
    "tiny": Config(
        every=42,
        rolls_deg=(1.5,),
        methods=("fbp", "fista-tv", "pfitre"),
        left_out={"36-50": "36:51"},
        weights=(1e-3,),
        rows=(40,),
        iterations=8,
    ),
}
