"""Compiled programs of the adaptation of a prior: reconstruct and rotate items, and train on them.

Items are slices or slabs of rows, see :mod:`pfitre_jax.training.equivariance`.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.solvers.loop import run
from pfitre_jax.training.adaptation_settings import AdaptationSettings
from pfitre_jax.training.equivariance import equivariance_loss, problem_of, rotate_items
from pfitre_jax.trust.image_statistics import statistics

#: Rows that are reconstructed together.
BATCH_ROWS = 4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainingState:
    """Parameters of the network in training.

    Attributes:
        params: The parameters.
        average: Exponential moving average of the parameters.
        moments: State of the optimiser.
    """

    params: Any
    average: Any
    moments: Any

    @classmethod
    def start(cls, params: Any, settings: AdaptationSettings) -> TrainingState:
        """The state before the first step."""
        return cls(params, params, _optimiser(settings).init(params))


def _optimiser(settings: AdaptationSettings) -> optax.GradientTransformation:
    """Adam with clipped gradients."""
    return optax.chain(optax.clip_by_global_norm(settings.clip), optax.adam(settings.rate))


def replace_network(part: Any, prior: NetworkPrior) -> Any:
    """A solver or prior with another network prior inside.

    Args:
        part: The solver or prior, a pytree.
        prior: The network prior.

    Raises:
        TypeError: If it contains no network prior.
    """
    leaves, structure = jax.tree.flatten(part, is_leaf=_is_network)
    if not any(map(_is_network, leaves)):
        raise TypeError(f"{type(part).__name__} contains no NetworkPrior")
    return jax.tree.unflatten(structure, [prior if _is_network(leaf) else leaf for leaf in leaves])


def _is_network(node: Any) -> bool:
    return isinstance(node, NetworkPrior)


@jax.jit
def initial_states(solver, problem, sinograms, masks, supports):
    """Initial iterates and states of the loop, with a leading axis of items."""

    def one(*item):
        return solver.init(problem_of(problem, *item), _blank(problem, item[0]))

    return jax.vmap(one)(sinograms, masks, supports)


def _blank(problem, sinogram):
    """An image of zeros (n, n), or a slab of them (rows, n, n)."""
    return jnp.zeros((*sinogram.shape[:-2], *problem.A.shape))


@functools.partial(jax.jit, static_argnames="iterations")
def reconstruct_items(solver, problem, sinograms, masks, supports, states, *, iterations):
    """Images (items, [rows,] n, n) after some iterations of the loop from these states."""

    def one(state, *item):
        blank = _blank(problem, item[0])
        return run(solver, problem_of(problem, *item), blank, iterations=iterations, start=state).value

    return jax.vmap(one)(states, sinograms, masks, supports)


@jax.jit
def rotate_images(problem, images, masks, noise, key):
    """:func:`rotate_items`, with the data of a key."""
    return rotate_items(problem, images, masks, noise, jax.random.wrap_key_data(key))


@jax.jit
def squared_residuals(problem, images, sinograms, masks):
    """Squared residuals of each view, (items, [rows,] views)."""

    def one(item):
        image, sinogram, mask = item
        return jnp.sum(problem_of(problem, sinogram, mask, problem.support).residual(image) ** 2, axis=-1)

    return jax.lax.map(one, (images, sinograms, masks), batch_size=BATCH_ROWS)


@jax.jit
def image_statistics(images):
    """Statistics of images (rows, n, n) that the out-of-distribution score compares."""
    return jax.vmap(statistics)(images)


@functools.partial(jax.jit, static_argnames="settings")
def training_step(
    prior: NetworkPrior, state: TrainingState, solver, problem, items, loop_states, *, settings
):
    """A step of the optimiser: the state after it, the loop's states after an iteration, the loss."""

    def loss(params):
        loop = replace_network(solver, dataclasses.replace(prior, params=params))
        return equivariance_loss(loop, problem, items, loop_states)

    (value, loop_states), gradients = jax.value_and_grad(loss, has_aux=True)(state.params)
    updates, moments = _optimiser(settings).update(gradients, state.moments, state.params)
    params = optax.apply_updates(state.params, updates)
    average = optax.incremental_update(params, state.average, 1 - settings.average)
    return TrainingState(params, average, moments), loop_states, value
