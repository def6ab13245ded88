"""Training step: loss of one proposal or of several unrolled iterations, update, and next iterates."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from pfitre_jax.interfaces import Iterate
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.runtime import devices
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import Differentiate, Status, run
from pfitre_jax.solvers.prior_step import expected_error, prior_step
from pfitre_jax.training.config import Optimisation
from pfitre_jax.training.losses import LossWeights, Proposal, compare, l1, weighted_loss
from pfitre_jax.training.optimiser import Optimiser
from pfitre_jax.training.parameters import TrainableParameters, prior_with_parameters, trainable_parameters
from pfitre_jax.twin.pairs import Batch

#: Loss weight of a proposal relative to that of the following iteration.
DECAY_OF_EARLIER = 0.5


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """State of a training.

    Attributes:
        step: (), number of steps done.
        params: Trainable parameters.
        average: Exponential moving average of the parameters.
        optimiser: State of the optimiser.
    """

    step: Int[Array, ""]
    params: TrainableParameters
    average: TrainableParameters
    optimiser: Any


def start_state(
    prior: NetworkPrior | UnrolledPrior,
    optimiser: Optimiser,
    step: int = 0,
    *,
    iterations: int | None = None,
    rho: float = 0.0,
) -> TrainState:
    """Returns the state of a training that starts from a prior, with new moments of the optimiser.

    Args:
        prior: The prior.
        optimiser: The optimiser.
        step: Number of steps that the prior was trained for.
        iterations: See :func:`trainable_parameters`.
        rho: See :func:`trainable_parameters`.
    """
    parameters = trainable_parameters(prior, iterations, rho)
    # Copies: the jitted step donates its input, which must be neither the prior's memory nor shared.
    params, average = (jax.tree.map(jnp.array, parameters) for _ in range(2))
    return TrainState(jnp.array(step), params, average, optimiser.init(params))


def propose(prior: NetworkPrior | UnrolledPrior, batch: Batch) -> Float[Array, "slices ny nx"]:
    """Returns the prior's proposal for every slice of a batch."""

    def one(problem, iterate):
        return prior_step(problem, prior, iterate.x, iterate.residual, batch.rho)

    return batch.each(one, batch.iterate)


def expect_errors(
    prior: NetworkPrior | UnrolledPrior, batch: Batch, images: Float[Array, "slices ny nx"]
) -> Float[Array, "slices ny nx"]:
    """Returns the absolute error that the prior expects in every pixel of images.

    The images receive no gradient.
    """
    images = jax.lax.stop_gradient(images)
    return batch.each(lambda problem, x: expected_error(problem, prior, x, batch.rho), images)


def advance(
    prior: NetworkPrior | UnrolledPrior, batch: Batch, cg_iterations: int, iterations: int = 1
) -> tuple[Float[Array, "slices ny nx"], Float[Array, "slices iterations ny nx"], Batch]:
    """Runs more iterations of the loop on every slice.

    It is differentiable; with several iterations, each is recomputed in the backward pass (``checkpoint``).

    Args:
        prior: The prior.
        batch: The batch.
        cg_iterations: Conjugate gradient iterations in each data step.
        iterations: Iterations of the loop.

    Returns:
        Images that the loop would return, (slices, ny, nx), the prior's proposals,
        (slices, iterations, ny, nx), and the batch after these iterations.
    """
    loop = HQS.create(prior, batch.rho, cg_iterations=cg_iterations)
    has_rho = prior.info.rho is not None

    def one(problem, *point):
        if has_rho:
            # The initial iterate of the batch was computed with another rho.
            repeat = lambda point: loop.repeat_data_step(problem, *point)  # noqa: E731
            point = jax.lax.cond(batch.k == 0, repeat, lambda point: point, point)
        keep = lambda *point: (loop.proposal(*point), jax.lax.stop_gradient(point))  # noqa: E731
        differentiate: Differentiate = "checkpoint" if iterations > 1 else "unroll"
        done = run(
            loop,
            problem,
            point[0].x,
            iterations=iterations,
            differentiate=differentiate,
            start=point,
            keep=keep,
        )
        proposals, points = done.stats["kept"]
        # The loop returns the last finite iterate of a slice that diverges; training must not use it.
        proposals = jnp.where(done.status == int(Status.DIVERGED), jnp.nan, proposals)
        proposals = jnp.moveaxis(proposals, 0, -3)
        return done.value, proposals, *jax.tree.map(lambda a: a[-1], points)

    results, proposals, iterate, state = batch.each(one, batch.iterate, batch.state)
    k = batch.k + iterations
    rho = jax.lax.stop_gradient(loop.rho_at(k))
    return results, proposals, dataclasses.replace(batch, iterate=iterate, state=state, k=k, rho=rho)


def _at_proposals(batch: Batch, proposals: Float[Array, "slices ny nx"]) -> Batch:
    """Returns the batch with the proposals (slices, ny, nx) as the iterates."""
    iterate = batch.each(lambda problem, z: Iterate(z, problem.residual(z)), proposals)
    return dataclasses.replace(batch, iterate=iterate)


def train_step(
    prior: NetworkPrior,
    state: TrainState,
    batch: Batch,
    settings: Optimisation,
    weights: LossWeights,
    optimiser: Optimiser,
    cg_iterations: int,
    unrolled: int = 1,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Batch, dict[str, Float[Array, ""]]]:
    """Performs a gradient step and ``unrolled`` iterations of the loop on a batch.

    For one iteration the loss is that of the prior's proposal. For several iterations it is the mean of two
    terms: the loss of the loop's result, and the weighted mean of the losses of all proposals, each with
    :data:`DECAY_OF_EARLIER` of the weight of the following one.

    If the loss or its gradient is not finite, the parameters do not change, but the step counts.

    Args:
        prior: Supplies everything but the parameters.
        state: State of the training.
        batch: The batch.
        settings: Settings of the optimiser.
        weights: Weights of the losses.
        optimiser: The optimiser.
        cg_iterations: Conjugate gradient iterations in each data step.
        unrolled: Iterations of the loop that the step differentiates through.
        mesh: Devices that share the slices evenly, or None.

    Returns:
        State and batch after the step, and the metrics of the step by name.
    """
    importance = DECAY_OF_EARLIER ** jnp.arange(unrolled - 1, -1, -1)
    importance = importance / jnp.sum(importance)

    def loss(params, batch):
        current = prior_with_parameters(prior, params)
        results, proposals, later = advance(current, batch, cg_iterations, unrolled)
        each = [compare(weights, proposals[:, k], batch.truth) for k in range(unrolled)]
        value = jnp.dot(importance, jnp.stack(each))
        if unrolled > 1:
            value = (value + compare(weights, results, batch.truth)) / 2
        last = proposals[:, -1]
        proposal = Proposal(
            last,
            batch.truth,
            propose_again=lambda: propose(current, _at_proposals(later, last)),
            relative_residual=lambda: batch.each(lambda problem, z: problem.residual_norm(z), last),
            expected_error=lambda: (
                results,
                expect_errors(current, later, results),
                batch.problem.support,
            ),
        )
        value += weighted_loss(weights, proposal, every_iteration=False)
        return value, (last, later)

    def differentiate(params, batch):
        (value, aux), gradients = jax.value_and_grad(loss, has_aux=True)(params, batch)
        # The loss is a mean over slices, so that of several devices it is the mean over them.
        return devices.mean_over_devices((value, gradients), mesh), aux

    shares = Batch.shares(devices.REPLICATED, devices.SHARDED)
    (value, gradients), (last, later) = devices.shard(
        differentiate, mesh, (devices.REPLICATED, shares), (devices.REPLICATED, (devices.SHARDED, shares))
    )(state.params, batch)
    params, moments = optimiser.update(gradients, state.optimiser, state.params, state.step)
    # A small decay at first removes the initial weights from the average quickly.
    decay = jnp.minimum(settings.ema, (1 + state.step) / (10 + state.step))
    average = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, params)
    norm = optax.tree.norm(gradients)
    finite = jnp.isfinite(value) & jnp.isfinite(norm)
    keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)  # noqa: E731
    metrics = {
        "loss": value,
        "l1": l1(last, batch.truth),
        "l1_before": l1(batch.iterate.x, batch.truth),
        "gradient_norm": norm,
    }
    new = TrainState(
        state.step + 1,
        keep(params, state.params),
        keep(average, state.average),
        keep(moments, state.optimiser),
    )
    return new, later, metrics
