"""Cu_23, the original paper's chip: FISTA-TV at its best weight beside PFITRE, with and without the roll.

command: python -m experiments.real_chip [--preset tiny|default]     (needs PFITRE_DATA or ../shared/data)
runtime: about 3 minutes on 2 cores (tiny: 1 minute)
expected: residual of pfitre at most 1.1 times FISTA-TV's; on the rolled scan at most 0.07 on rows 15, 25, 40
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Config:
    """rows: looked at; rolls_deg: corrections tried; center: the authors' rotation axis.

    weights: of FISTA-TV; the best predicts the views left out (every ``leave_out``-th) best, all rows
    together, per roll
    """

    rows: tuple[int, ...] = (15, 25, 40, 55)
    rolls_deg: tuple[float, ...] = (0.0, 1.5)
    center: float = 75.0
    weights: tuple[float, ...] = tuple(10.0 ** (-e / 2) for e in range(10, 3, -1))
    fista_iterations: int = 300
    leave_out: int = 4


PRESETS = {
    "default": Config(),
    "tiny": Config(rows=(40,), rolls_deg=(1.5,), weights=(1e-3,), fista_iterations=30),
}
