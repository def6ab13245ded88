"""Cu_23, the original paper's chip: FISTA-TV at its best weight beside PFITRE, with and without the roll.

command: python -m experiments.real_chip [--preset tiny|default]     (needs PFITRE_DATA or ../shared/data)
runtime: about 20 minutes on 2 cores (tiny: 1 minute)
expected: residual of pfitre at most 1.1 times FISTA-TV's; on the mended scan at most 0.07 on rows 15, 25, 40;
    error on views left out about FISTA-TV's
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Config:
    """rows: looked at; predicted: those on which views left out are predicted, together; rolls_deg:
    corrections tried; center: the authors' rotation axis.

    left_out: views that are left out and predicted, by name; the weight of FISTA-TV for the pictures and the
        residuals is the one that predicts the first of them best, all rows together, per roll
    weights: of FISTA-TV, each of the sets left out has its own best one
    """

    rows: tuple[int, ...] = (15, 25, 40, 55)
    predicted: tuple[int, ...] = tuple(range(0, 84, 3))
    rolls_deg: tuple[float, ...] = (0.0, 1.5)
    center: float = 75.0
    weights: tuple[float, ...] = tuple(10.0 ** (-e / 2) for e in range(8, 3, -1))
    fista_iterations: int = 300
    left_out: dict[str, str] = dataclasses.field(
        default_factory=lambda: {"every fourth": "0:51:4", "one end": "36:51"}
    )


PRESETS = {
    "default": Config(),
    "tiny": Config(
        rows=(40,),
        predicted=(40,),
        rolls_deg=(1.5,),
        weights=(1e-3,),
        fista_iterations=30,
        left_out={"one end": "36:51"},
    ),
}
