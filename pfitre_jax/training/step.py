"""One training step: the network's loss on a batch of iterates, and the loop's next iterates from it."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.training.config import Optimisation, Stage
from pfitre_jax.training.losses import gradient_l1, l1
from pfitre_jax.twin.pairs import Batch


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """step: (); params: of the network; average: their exponential moving average; optimiser: of optax."""

    step: jax.Array
    params: Any
    average: Any
    optimiser: Any


def make_optimiser(settings: Optimisation, stages: tuple[Stage, ...]) -> optax.GradientTransformation:
    schedule = optax.join_schedules(
        [
            optax.warmup_cosine_decay_schedule(
                0.0, s.rate, min(s.warm_up, s.steps // 2), s.steps, s.final_rate
            )
            for s in stages
        ],
        list(itertools.accumulate(s.steps for s in stages))[:-1],
    )
    return optax.chain(
        optax.clip_by_global_norm(settings.clip),
        optax.adamw(schedule, weight_decay=settings.weight_decay),
    )


def start_state(prior: NetworkPrior, optimiser: optax.GradientTransformation) -> TrainState:
    params = prior.params
    # A copy: the step gives its input's memory away, and may not give the same array away twice.
    average = jax.tree.map(jnp.copy, params)
    return TrainState(jnp.array(0), params, average, optimiser.init(params))


def propose(prior: NetworkPrior, batch: Batch):
    """The prior's image for every slice of a batch, (slices, ny, nx)."""

    def one(problem, state):
        z = prior.denoise(state.x, gradient=state.gradient, wedge=problem.wedge, rho=batch.rho)
        return z * problem.support

    return batch.each(one, batch.state)


def advance(batch: Batch, proposed, cg_iterations: int) -> Batch:
    """The loop's next iterates from what the prior proposed, (slices, ny, nx); not differentiated."""
    loop = HQS(None, batch.rho, cg_iterations)
    state = batch.each(loop.accept, batch.state, jax.lax.stop_gradient(proposed))
    return dataclasses.replace(batch, state=state, k=batch.k + 1)


def train_step(
    prior: NetworkPrior,
    state: TrainState,
    batch: Batch,
    settings: Optimisation,
    optimiser: optax.GradientTransformation,
    cg_iterations: int,
):
    """``(state, batch, metrics)`` after one gradient step and one iteration of the loop on the batch."""

    def loss(params):
        proposed = propose(dataclasses.replace(prior, params=params), batch)
        value = l1(proposed, batch.truth) + settings.gradient_loss * gradient_l1(proposed, batch.truth)
        return value, proposed

    (value, proposed), gradients = jax.value_and_grad(loss, has_aux=True)(state.params)
    updates, moments = optimiser.update(gradients, state.optimiser, state.params)
    params = optax.apply_updates(state.params, updates)
    # The average follows quickly at first, so that it never drags the first weights along.
    decay = jnp.minimum(settings.ema, (1 + state.step) / (10 + state.step))
    average = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, params)
    metrics = {
        "loss": value,
        "l1": l1(proposed, batch.truth),
        "l1_before": l1(batch.state.x, batch.truth),
        "gradient_norm": optax.tree.norm(gradients),
    }
    new = TrainState(state.step + 1, params, average, moments)
    return new, advance(batch, proposed, cg_iterations), metrics
