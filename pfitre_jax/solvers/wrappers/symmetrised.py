"""Half-quadratic splitting whose prior sees one mirror image in each iteration, another one in the next."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from pfitre_jax.solvers.hqs import HQS, HQSState
from pfitre_jax.solvers.problem import Problem


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TurnState:
    """state: of the loop; before: (ny, nx), the proposal before the last one; k: (), iterations done"""

    state: HQSState
    before: jax.Array
    k: jax.Array

    @property
    def x(self) -> jax.Array:
        """(ny, nx), agrees with the data."""
        return self.state.x

    @property
    def z(self) -> jax.Array:
        """(ny, nx), what the prior proposed."""
        return self.state.z

    @property
    def residual(self) -> jax.Array:
        """(), relative data residual."""
        return self.state.residual

    @property
    def change(self) -> jax.Array:
        """(), relative change of the image."""
        return self.state.change


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class InTurns:
    """:class:`HQS` whose iteration ``k`` asks ``prior.mirrored(k)``: for the mean over four mirror images in
    each, as a prior of :class:`pfitre_jax.priors.network.NetworkPrior` gives it, it pays once in four.

    What the network makes better of one image than of its mirror image evens out over the iterations: on
    held-out circuits it is 0.06 dB below the mean in each, and 0.33 dB above none
    (``python -m benchmarks.network``). The last data step is made towards the mean of the last two proposals,
    whose differences are mostly those between an image and its mirror image.
    """

    loop: HQS

    def init(self, problem: Problem, x0) -> TurnState:
        state = self.loop.init(problem, x0)
        return TurnState(state, state.z, jnp.array(0))

    def step(self, problem: Problem, state: TurnState) -> TurnState:
        loop = dataclasses.replace(self.loop, prior=self.loop.prior.mirrored(state.k))
        return TurnState(loop.step(problem, state.state), state.z, state.k + 1)

    def finish(self, problem: Problem, state: TurnState):
        # After one iteration there is no proposal before the last.
        z = jnp.where(state.k > 1, (state.before + state.z) / 2, state.z)
        return self.loop.finish(problem, dataclasses.replace(state.state, z=z))


def in_turns(loop):
    """:class:`InTurns` of a loop whose prior means over mirror images; another loop as it is."""
    means = isinstance(loop, HQS) and getattr(loop.prior, "symmetric", False)
    return InTurns(loop) if means and hasattr(loop.prior, "mirrored") else loop
