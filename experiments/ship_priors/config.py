"""Train the shipped priors through all their stages, judge them, and look at what they do worst.

command: python -m experiments.ship_priors [--prior circuits|general|volume] [--budget MINUTES] [--install]
    (the last stages need PFITRE_DATA or ../shared/data, and gdstk)
runtime: many hours on 2 cores; resumes from any point, and stops after the budget to go on later
    (tiny: 5 minutes)
expected: "circuits" gains two decibels and more over total variation on the held-out generator, the
    others less there and more on what they are for

Each prior is trained by the recorded configuration of its name, from where the recipe says, and judged as
``pfitre evaluate`` judges it, beside the one that is shipped: the held-out generator alone decides.
``runs/ship/NAME`` holds the run, ``judged-...`` in it the tables and the picture of the worst scans of
weights by the beginning of their hash. ``--install`` puts a prior that gains at least as much as the shipped
one, on the same scans, into its place, with its card.
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.evaluation.cells import FULL, EvaluationSettings
from pfitre_jax.models.unet import UNetConfig
from pfitre_jax.training import TrainingConfig, load_config


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a prior is trained.

    config: name of the training's
    first: the prior that it begins with, the one that this experiment has made or else the shipped one; None
        to go on with its own shipped weights, where the configuration has more steps than these have made
    stages: the only ones to make, one after the other; none for all
    """

    config: str
    first: str | None = None
    stages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Config:
    """priors: in the order in which they are made
    small: whether networks, images and stages are so small that nothing is learned, to see that all works
    settings: of the judge; only: factor of it, "orientation" for the base case, None for all
    """

    priors: dict[str, Recipe] = dataclasses.field(
        default_factory=lambda: {
            "circuits": Recipe("circuits"),
            "general": Recipe("general", first="circuits", stages=("general", "general_unrolled")),
            "volume": Recipe("volume", first="circuits", stages=("volume", "volume_unrolled")),
        }
    )
    small: bool = False
    settings: EvaluationSettings = FULL
    only: str | None = None

    def training(self, name: str) -> TrainingConfig:
        """Of a prior."""
        config = load_config(self.priors[name].config)
        if not self.small:
            return config
        scenes = dataclasses.replace(config.scenes, circuits=0.0, patterns=0.0, blobs=1.0, layouts=0.0)
        stages = config.stages[:1] + config.stages[-1:]
        return dataclasses.replace(
            config,
            network=UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8),
            pairs=dataclasses.replace(config.pairs, size=32, slices=2),
            pool=dataclasses.replace(config.pool, views=(24,), scans=1),
            scenes=scenes,
            stages=tuple(dataclasses.replace(s, steps=2, warm_up=1, scenes=scenes) for s in stages),
            report=dataclasses.replace(config.report, log_every=1, validate_every=4, checkpoint_every=2),
        )


PRESETS = {
    "default": Config(),
    "tiny": Config(
        priors={"circuits": Recipe("circuits")},
        small=True,
        settings=EvaluationSettings(orientations=1, scenes=2, size=32, views=24, fista_iterations=8),
        only="orientation",
    ),
}
