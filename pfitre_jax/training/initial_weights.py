"""Weights that a training run starts from."""

from __future__ import annotations

import jax

from pfitre_jax.priors.trainable import TrainablePrior
from pfitre_jax.training.config import TrainingConfig
from pfitre_jax.training.parameters import trainable_parameters


def check_weights(
    config: TrainingConfig,
    prior: TrainablePrior,
    steps: int | None = None,
    stage: str | None = None,
) -> None:
    """Checks that a run can start from a prior.

    Args:
        config: Configuration of the run.
        prior: The prior.
        steps: Step after which the run stops; by default the last of the configuration.
        stage: Name of the only stage to train, which starts from any steps.

    Raises:
        ValueError: If the prior has another network, or iterations that the next stage does not train, or has
            made all steps.
    """
    prior = prior.extend(config.network)
    first = steps_done(prior) if stage is None else config.span(stage)[0]
    jax.eval_shape(lambda: trainable_parameters(prior, config.stage(first).iterations, 1.0))
    if stage is not None:
        return
    last, done = config.steps if steps is None else min(steps, config.steps), steps_done(prior)
    if done >= last:
        raise ValueError(
            f"the weights have made {done} steps and the run ends after {last}; expected fewer: add a "
            "stage to the configuration, or make one longer"
        )


def steps_done(prior: TrainablePrior) -> int:
    """Returns the training steps of a prior according to its card."""
    return int(prior.info.card.get("steps", 0))
