"""Trainable parameters: those of a network, or, through the loop, also rho and a network per iteration."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.unrolled import UnrolledPrior

#: ``log(rho)`` over its parameter. Steps of the optimiser have the size of weights, and rho must move faster.
LOG_RHO_SCALE = 10.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class UnrolledParameters:
    """Parameters of a prior that is trained through the loop.

    Attributes:
        network: Parameters of the network, every leaf with a leading axis of iterations.
        rho: (iterations,), ``log(rho)`` over :data:`LOG_RHO_SCALE`.
    """

    network: Any
    rho: Float[Array, " iterations"]


def trainable_parameters(prior: NetworkPrior | UnrolledPrior, iterations: int | None, rho: float) -> Any:
    """Returns the parameters of a stage that starts from a prior.

    Args:
        prior: The prior.
        iterations: Number of networks and rhos, see :attr:`pfitre_jax.training.config.Stage.iterations`; None
            returns the parameters of the network alone.
        rho: Prior strength, where the prior has none.

    Raises:
        ValueError: If the prior has another number of iterations.
    """
    if isinstance(prior, NetworkPrior):
        if iterations is None:
            return prior.params
        prior = UnrolledPrior(jax.tree.map(lambda a: jnp.asarray(a)[None], prior), jnp.full(1, rho))
    have = prior.rho.shape[0]
    if iterations is None or have not in (1, iterations):
        expected = "one network for any rho" if iterations is None else f"1 or {iterations}"
        raise ValueError(f"the weights are of {have} iterations; expected those of {expected}")
    copies = jax.tree.map(lambda a: jnp.repeat(jnp.asarray(a), iterations // have, axis=0), prior)
    return UnrolledParameters(copies.prior.params, jnp.log(copies.rho) / LOG_RHO_SCALE)


def prior_with_parameters(template: NetworkPrior, parameters: Any) -> NetworkPrior | UnrolledPrior:
    """Returns the prior with these parameters and otherwise the fields of ``template``."""
    if isinstance(parameters, UnrolledParameters):
        network = dataclasses.replace(template, params=parameters.network)
        return UnrolledPrior(network, jnp.exp(LOG_RHO_SCALE * parameters.rho))
    return dataclasses.replace(template, params=parameters)
