"""Training and evaluation of the shipped priors.

Command:  python -m experiments.ship_priors [--prior circuits|general|volume] [--budget MINUTES] [--install]
          The last stages need gdstk, and PFITRE_DATA or ../shared/data.
Runtime:  many hours on 2 cores; resumes from any point, and stops after the budget (tiny: 5 minutes).
Expected: "circuits" gains at least 2 dB over total variation on the held-out generator; the others gain less
          there and more on the samples that they are made for.

Each prior is trained with the recorded configuration of its name and evaluated like ``pfitre evaluate``,
beside the shipped weights. ``runs/ship/NAME`` holds the run; ``evaluation-...`` in it holds tables and a
figure of the worst scans, for weights with that hash. ``--install`` replaces a shipped prior by a new one
that gains at least as much on the same scans.
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.evaluation import FULL, EvaluationSettings
from pfitre_jax.models import UNetConfig
from pfitre_jax.training import TrainingConfig, load_config


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Training of one prior.

    Attributes:
        config: Name of the training configuration.
        start_from: Prior whose weights the training starts from: the one trained by this experiment, or else
            the shipped one. None to continue from its own shipped weights if the configuration has more
            steps.
        stages: Stages to run, in this order; empty for all.
    """

    config: str
    start_from: str | None = None
    stages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        priors: Training of each prior, in the order in which they are trained.
        small: Whether networks, images and stages are reduced to a test of the program.
        settings: Settings of the evaluation.
        only: Factor of the evaluation ("orientation" for the base case); None for all factors.
    """

    priors: dict[str, Recipe] = dataclasses.field(
        default_factory=lambda: {
            "circuits": Recipe("circuits"),
            "general": Recipe("general", start_from="circuits", stages=("general", "general_unrolled")),
            "volume": Recipe("volume", start_from="circuits", stages=("volume", "volume_unrolled")),
        }
    )
    small: bool = False
    settings: EvaluationSettings = FULL
    only: str | None = None

    def training(self, name: str) -> TrainingConfig:
        """Training configuration of a prior."""
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
