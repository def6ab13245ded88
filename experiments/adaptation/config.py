"""Cu_23: does a prior that was adapted to the scan predict views better that it was never shown?

command: python -m experiments.adaptation [--preset tiny|default]    (needs PFITRE_DATA or ../shared/data)
runtime: about 10 minutes on 2 cores, resumes (tiny: 1 minute)
expected: the error on views left out falls by 1 to 2%; where no step helped, it is as before
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.training import AdaptationSettings


@dataclasses.dataclass(frozen=True)
class Config:
    """prior: to adapt; settings: of the adaptation

    left_out: views that neither the adaptation nor the reconstruction is given, by name
    learned: n-th rows that are learned from; judged: n-th rows, from the second on, that are predicted
    roll_deg, center: of the scan; weight: of FISTA-TV, beside it
    """

    prior: str = "circuits"
    settings: AdaptationSettings = dataclasses.field(default_factory=AdaptationSettings)
    left_out: dict[str, str] = dataclasses.field(default_factory=lambda: {"36-50": "36:51", "28-35": "28:36"})
    learned: int = 10
    judged: int = 5
    roll_deg: float = 1.5
    center: float = 75.0
    weight: float = 1e-3


PRESETS = {
    "default": Config(),
    "tiny": Config(
        settings=AdaptationSettings(
            steps=2, check_every=1, splits=2, unrolled=1, judged_iterations=1, batch=1
        ),
        left_out={"36-50": "36:51"},
        learned=42,
        judged=42,
    ),
}
