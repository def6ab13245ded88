"""What a stage of the training learns: the network, and through the loop perhaps rho and more networks."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.unrolled import UnrolledPrior

#: How much faster than its parameter ``log(rho)`` moves: an optimiser's steps are of the size of weights.
SPEED = 10.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class UnrolledParams:
    """network: as a network's, every leaf with the iterations first; rho: (iterations,), ``log(rho)`` over
    :data:`SPEED`"""

    network: Any
    rho: Any


def params_of(prior: NetworkPrior | UnrolledPrior, iterations: int | None, rho: float):
    """What is learned, begun with a prior: a network's parameters, or :class:`UnrolledParams` for so many
    ``iterations``, each with ``rho`` where the prior has none of its own.

    Raises ``ValueError`` for a prior of other iterations.
    """
    if isinstance(prior, NetworkPrior):
        if iterations is None:
            return prior.params
        prior = UnrolledPrior(jax.tree.map(lambda a: jnp.asarray(a)[None], prior), jnp.full(1, rho))
    have = prior.rho.shape[0]
    if iterations is None or have not in (1, iterations):
        raise ValueError(
            f"the weights are of {have} iterations; expected those of "
            f"{'one network for any rho' if iterations is None else f'1 or {iterations}'}"
        )
    copies = jax.tree.map(lambda a: jnp.repeat(jnp.asarray(a), iterations // have, axis=0), prior)
    return UnrolledParams(copies.prior.params, jnp.log(copies.rho) / SPEED)


def prior_of(blank: NetworkPrior, params) -> NetworkPrior | UnrolledPrior:
    """The prior with these parameters; all else is that of ``blank``."""
    if isinstance(params, UnrolledParams):
        network = dataclasses.replace(blank, params=params.network)
        return UnrolledPrior(network, jnp.exp(SPEED * params.rho))
    return dataclasses.replace(blank, params=params)
