"""Weighted mean of the weights before and after a stage.

Training on further kinds of samples changes all weights and forgets a part of what they could do before. On
the line between the weights before and after there are weights that are good at both (Wortsman et al., CVPR
2022).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax

from pfitre_jax.models.unet_layers import ERROR_HEAD
from pfitre_jax.priors import files
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.training.config import TrainingConfig
from pfitre_jax.training.parameters import TrainableParameters, prior_with_parameters
from pfitre_jax.training.train_step import TrainState

#: File of the run's folder with the weights that the stage with a ``start_share`` starts from.
START = "start.npz"


def check_start_weights(config: TrainingConfig, step: int, out: Path) -> None:
    """Checks that the weights with a ``start_share`` are known to a run that begins or resumes at a step.

    Args:
        config: Configuration of the run.
        step: The step.
        out: Folder of the run.

    Raises:
        ValueError: If the step is after the first one of that stage, and the folder does not have them.
    """
    first, share = config.active_start_share(step)
    path = out / START
    if share and step > first and not path.is_file():
        raise ValueError(
            f"{path} does not exist; expected the weights after {first} steps, which start_share mixes into "
            f"the prior with the share {share:g}: resume in the folder of the earlier run, start from step "
            f"{first}, or set start_share = 0"
        )


def start_weights(
    config: TrainingConfig, template: NetworkPrior, state: TrainState, out: Path
) -> tuple[TrainableParameters | None, float]:
    """Returns the weights to mix into those of a state that begins or resumes a stage, and their share.

    At the first step of the stage with a ``start_share`` they are the averaged weights of the state, which
    are written to the run's folder; later they are read from there.

    Args:
        config: Configuration of the run.
        template: Supplies everything of the prior but its parameters.
        state: The state.
        out: Folder of the run.

    Raises:
        ValueError: As :func:`check_start_weights`.
    """
    first, share = config.active_start_share(int(state.step))
    if not share:
        return None, 0.0
    path = out / START
    if int(state.step) == first:
        files.save(path, prior_with_parameters(template, state.average))
    else:
        check_start_weights(config, int(state.step), out)
    return TrainableParameters(files.load(path).network.params), share


def mix_start_weights(state: TrainState, start: TrainableParameters | None, share: float) -> TrainState:
    """Returns the state with ``share * start + (1 - share) * average`` as its averaged weights.

    The layers of the expected error remain those of the state: at the start they can be untrained.

    Args:
        state: The state.
        start: Weights that the stage started from, or None to change nothing.
        share: Their share, 0 to 1.
    """
    if start is None:
        return state
    trained = state.average.network
    mean = jax.tree.map(lambda a, b: share * a + (1 - share) * b, start.network, trained)
    if ERROR_HEAD in trained:
        mean |= {ERROR_HEAD: trained[ERROR_HEAD]}
    average = dataclasses.replace(state.average, network=mean)
    return dataclasses.replace(state, average=average)
