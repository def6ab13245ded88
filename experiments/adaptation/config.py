"""Cu_23: does adapting a prior to a scan improve the prediction of held-out views?

Command:  python -m experiments.adaptation [--preset tiny|default]
          Needs PFITRE_DATA or ../shared/data.
Runtime:  about 10 minutes on 2 cores, resumes (tiny: 1 minute).
Expected: the error on held-out views falls by 1 to 2%. Where no step reduces the validation error, the prior
          and the error stay the same.
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.training import AdaptationSettings


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        prior: Name of the prior to adapt.
        settings: Settings of the adaptation.
        held_out: Views that neither the adaptation nor the reconstruction uses, by name.
        training_row_step: Step between the rows that the prior is adapted to.
        test_row_step: Step between the rows that are reconstructed, from the second row on.
        roll_deg: Roll of the rotation axis.
        center: Rotation axis, detector index.
        weight: TV weight of FISTA-TV.
    """

    prior: str = "circuits"
    settings: AdaptationSettings = dataclasses.field(default_factory=AdaptationSettings)
    held_out: dict[str, str] = dataclasses.field(default_factory=lambda: {"36-50": "36:51", "28-35": "28:36"})
    training_row_step: int = 10
    test_row_step: int = 5
    roll_deg: float = 1.5
    center: float = 75.0
    weight: float = 1e-3


PRESETS = {
    "default": Config(),
    "tiny": Config(
        settings=AdaptationSettings(
            steps=2, check_every=1, splits=2, unrolled=1, validation_iterations=1, batch=1
        ),
        held_out={"36-50": "36:51"},
        training_row_step=42,
        test_row_step=42,
    ),
}
