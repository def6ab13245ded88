"""Optimiser of the training: AdamW or Muon, with the learning rates of all stages."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax
from jaxtyping import Array, Float

from pfitre_jax.training.config import Optimisation, Stage
from pfitre_jax.training.parameters import TrainableParameters


@dataclasses.dataclass(frozen=True)
class Optimiser:
    """A transformation with the learning rate 1, and the learning rate of every step.

    The state of the transformation does not contain the step, so that a run can start from weights alone.

    Attributes:
        transform: Transformation of optax, with the learning rate 1.
        rate: Returns the learning rate of a step.
    """

    transform: optax.GradientTransformation
    rate: Callable[[Any], Float[Array, ""]]

    def init(self, parameters: Any) -> optax.OptState:
        """Returns the state (moments) before the first step."""
        return self.transform.init(parameters)

    def update(
        self, gradients: Any, moments: optax.OptState, parameters: Any, step: Any
    ) -> tuple[Any, optax.OptState]:
        """Returns parameters and state after one step."""
        updates, moments = self.transform.update(gradients, moments, parameters)
        updates = jax.tree.map(lambda u: self.rate(step) * u, updates)
        return optax.apply_updates(parameters, updates), moments


def _stacked_axes(parameters: TrainableParameters) -> int:
    return parameters.stacked_axes


def make_optimiser(
    settings: Optimisation, stages: Sequence[Stage], stacked_axes: Callable[[Any], int] = _stacked_axes
) -> Optimiser:
    """Returns the optimiser; each stage has a warm-up and a cosine decay of the learning rate.

    Args:
        settings: The transformation and its settings.
        stages: Stages in the order of the training.
        stacked_axes: Returns the number of leading axes of each kernel whose entries are separate kernels,
            which Muon needs; for other parameters than :class:`TrainableParameters`.
    """
    schedule = optax.join_schedules(
        [
            optax.warmup_cosine_decay_schedule(
                0.0, s.rate, min(s.warm_up, s.steps // 2), s.steps, s.final_rate
            )
            for s in stages
        ],
        list(itertools.accumulate(s.steps for s in stages))[:-1],
    )
    transform = _muon(settings, stacked_axes) if settings.method == "muon" else _adamw(settings)
    return Optimiser(optax.chain(optax.clip_by_global_norm(settings.clip), transform), schedule)


def _adamw(settings: Optimisation) -> optax.GradientTransformation:
    return optax.adamw(1.0, weight_decay=settings.weight_decay)


def _muon(settings: Optimisation, stacked_axes: Callable[[Any], int]) -> optax.GradientTransformation:
    def matrix_dimensions(parameters):
        return jax.tree.map(
            functools.partial(_matrix_dimension, stacked=stacked_axes(parameters)), parameters
        )

    # Updates have the size of AdamW's (rms 0.2), so that both take the same learning rates.
    return optax.contrib.muon(
        1.0,
        weight_decay=settings.weight_decay,
        muon_weight_dimension_numbers=matrix_dimensions,
        consistent_rms=0.2,
    )


def _matrix_dimension(kernel: Array, stacked: int) -> optax.contrib.MuonDimensionNumbers | None:
    """Returns the axes that make a kernel a matrix, or None for biases and for kernels with one output.

    Args:
        kernel: ``(..., inputs, outputs)``.
        stacked: Number of leading axes whose entries are separate kernels.
    """
    if kernel.ndim - stacked < 2 or kernel.shape[-1] == 1:
        return None
    return optax.contrib.MuonDimensionNumbers(tuple(range(stacked, kernel.ndim - 1)), kernel.ndim - 1)
