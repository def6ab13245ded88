"""Train the shipped priors through all their stages, judge them, and look at what they do worst.

command: python -m experiments.ship_priors [--prior circuits|general|volume] [--budget MINUTES] [--install]
    (the last stages need PFITRE_DATA or ../shared/data)
runtime: hours on 2 cores; resumes from any point, and stops after the budget to go on later (tiny: 3 minutes)
expected: "circuits" gains two decibels and more over total variation on the held-out generator, the
    others less there and more on what they are for

Each prior is trained by the recorded configuration of its name, from the prior that its configuration goes
on from, and judged by ``pfitre evaluate``'s base case: the held-out generator alone decides.
``runs/ship/NAME`` holds the run, ``judged/`` in it the tables and the picture of the worst scans.
``--install`` puts a prior that gains at least as much as the shipped one, on the same scans, into its place,
with its card.
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.evaluate.cells import FULL, EvaluationSettings
from pfitre_jax.training.config import TrainingConfig, load_config


@dataclasses.dataclass(frozen=True)
class Recipe:
    """config: name of the training's; first: the prior that it begins with, of this experiment where there is
    one, shipped otherwise, or none; stage: the only one to make, or all"""

    config: str
    first: str | None = None
    stage: str | None = None


@dataclasses.dataclass(frozen=True)
class Config:
    """priors: in the order in which they are made
    shorten: every stage to so many steps, None for those of the configurations
    settings: of the judge; only: factor of it, "orientation" for the base case, None for all
    """

    priors: dict[str, Recipe] = dataclasses.field(
        default_factory=lambda: {
            "circuits": Recipe("circuits"),
            "general": Recipe("general", first="circuits", stage="general"),
            "volume": Recipe("volume", first="circuits", stage="volume"),
        }
    )
    shorten: int | None = None
    settings: EvaluationSettings = FULL
    only: str | None = "orientation"

    def training(self, name: str) -> TrainingConfig:
        """Of a prior."""
        config = load_config(self.priors[name].config)
        if self.shorten is None:
            return config
        stages = tuple(dataclasses.replace(s, steps=self.shorten, warm_up=1) for s in config.stages)
        report = dataclasses.replace(
            config.report, log_every=1, validate_every=self.shorten, checkpoint_every=self.shorten
        )
        return dataclasses.replace(config, stages=stages, report=report)


PRESETS = {
    "default": Config(),
    "tiny": Config(
        priors={"circuits": Recipe("circuits")},
        shorten=1,
        settings=EvaluationSettings(orientations=1, scenes=1, size=32, views=24, fista_iterations=8),
    ),
}
