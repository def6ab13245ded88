"""Trainable parameters of a prior: those of its network and, for unrolled training, prior strengths."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.trainable import TrainablePrior
from pfitre_jax.priors.unrolled import UnrolledPrior

#: Ratio of ``log(rho)`` to its trainable parameter. The step size of the optimiser suits weights; rho must
#: change faster.
LOG_RHO_SCALE = 10.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainableParameters:
    """Parameters that a training step changes.

    Attributes:
        network: Parameters of the network. Where strengths are trained, every leaf has a leading axis of
            iterations.
        scaled_log_rho: (iterations,), ``log(rho)`` over :data:`LOG_RHO_SCALE`, or None where no strength is
            trained.
    """

    network: Any
    scaled_log_rho: Float[Array, " iterations"] | None = None

    @property
    def stacked_axes(self) -> int:
        """Number of leading axes of the network's parameters whose entries are separate networks."""
        return 0 if self.scaled_log_rho is None else 1


def trainable_parameters(prior: TrainablePrior, iterations: int | None, rho: float) -> TrainableParameters:
    """Returns the parameters of a stage that starts from a prior.

    Args:
        prior: The prior.
        iterations: Number of networks and strengths, see
            :attr:`pfitre_jax.training.config.Stage.iterations`; None trains the network alone.
        rho: Prior strength, where the prior has none.

    Raises:
        ValueError: If the prior has another number of iterations.
    """
    network, strengths = prior.network.params, prior.info.rho
    if strengths is None:
        if iterations is None:
            return TrainableParameters(network)
        network, strengths = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], network), jnp.full(1, rho)
    count = strengths.shape[0]
    if iterations is None or count not in (1, iterations):
        expected = "one network for any rho" if iterations is None else f"1 or {iterations}"
        raise ValueError(f"the weights are of {count} iterations; expected those of {expected}")
    repeat = lambda leaf: jnp.repeat(jnp.asarray(leaf), iterations // count, axis=0)  # noqa: E731
    return TrainableParameters(jax.tree.map(repeat, network), jnp.log(repeat(strengths)) / LOG_RHO_SCALE)


def prior_with_parameters(
    template: NetworkPrior, parameters: TrainableParameters
) -> NetworkPrior | UnrolledPrior:
    """Returns the prior with these parameters and otherwise the fields of ``template``."""
    network = dataclasses.replace(template, params=parameters.network)
    if parameters.scaled_log_rho is None:
        return network
    return UnrolledPrior(network, jnp.exp(LOG_RHO_SCALE * parameters.scaled_log_rho))
