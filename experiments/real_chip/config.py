"""Cu_23, the original paper's chip: which method predicts held-out views best?

Command:  python -m experiments.real_chip [--preset tiny|default|all_rows]
          Needs PFITRE_DATA or ../shared/data.
Runtime:  about 40 minutes on 2 cores, resumes (tiny: 1 minute; all_rows: half an hour).
Expected: errors on held-out views close to those of FISTA-TV; the roll correction reduces the errors of all
          methods by 10 to 30%. The residual of pfitre is at most 1.1 times that of FISTA-TV, and at most 0.07
          on rows 15, 25 and 40 of the corrected scan.
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.evaluation import TV_WEIGHTS
from pfitre_jax.reconstruction import METHODS

#: The published loop: its own prior is not available, and it diverges with ours.
EXCLUDED = ("pfitre-original",)


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        row_step: Step between the rows that are predicted. With 1, all rows are predicted, in the raw frame.
        rolls_deg: Roll corrections to compare, the right one last.
        center: Rotation axis of the original authors, detector index.
        methods: Methods to compare; must include FISTA-TV, the baseline.
        held_out: Held-out views, by name.
        weights: TV weights to choose from by the prediction error, for each roll and each held-out set.
            Reconstructions from all views use the weight of the first set.
        rows: Rows of the figure and of the table of residuals.
        iterations: Iterations of every method; None for the default of each.
    """

    row_step: int = 3
    rolls_deg: tuple[float, ...] = (0.0, 1.5)
    center: float = 75.0
    methods: tuple[str, ...] = tuple(method for method in METHODS if method not in EXCLUDED)
    held_out: dict[str, str] = dataclasses.field(
        default_factory=lambda: {"every fourth": "0:51:4", "36-50": "36:51", "28-35": "28:36"}
    )
    weights: tuple[float, ...] = TV_WEIGHTS
    rows: tuple[int, ...] = (15, 25, 40, 55)
    iterations: int | None = None


PRESETS = {
    "default": Config(),
    # Spread over all rows, for the baseline and pfitre only.
    "all_rows": Config(row_step=1, rolls_deg=(1.5,), methods=("fista-tv", "pfitre"), rows=(14, 26, 41, 53)),
    "tiny": Config(
        row_step=42,
        rolls_deg=(1.5,),
        methods=("fbp", "fista-tv", "pfitre"),
        held_out={"36-50": "36:51"},
        weights=(1e-3,),
        rows=(40,),
        iterations=8,
    ),
}
