"""One training step: the loss of the network, or of the loop through it, and the loop's next iterates."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from pfitre_jax.interfaces import Iterate
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.runtime import devices
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import Status, run
from pfitre_jax.solvers.prior_step import prior_step
from pfitre_jax.training.config import Optimisation, Stage
from pfitre_jax.training.losses import LossWeights, compare, l1
from pfitre_jax.training.parameters import UnrolledParams, params_of, prior_of
from pfitre_jax.twin.pairs import Batch

#: Through several iterations, the weight of a proposal's loss over that of the next one's.
EARLIER = 0.5


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """step: (); params: of :func:`params_of`; average: their exponential moving average; optimiser: of
    optax."""

    step: jax.Array
    params: Any
    average: Any
    optimiser: Any


@dataclasses.dataclass(frozen=True)
class Optimiser:
    """A step of unit learning rate, and the learning rate of the run's step: what it keeps does not know
    where the run is, so that a run may be taken up from its weights alone.

    transform: of optax, with the learning rate 1
    rate: step -> learning rate
    """

    transform: optax.GradientTransformation
    rate: Callable

    def init(self, params):
        return self.transform.init(params)

    def update(self, gradients, moments, params, step):
        """``(params, moments)`` after one step."""
        updates, moments = self.transform.update(gradients, moments, params)
        updates = jax.tree.map(lambda u: self.rate(step) * u, updates)
        return optax.apply_updates(params, updates), moments


def make_optimiser(settings: Optimisation, stages: tuple[Stage, ...]) -> Optimiser:
    schedule = optax.join_schedules(
        [
            optax.warmup_cosine_decay_schedule(
                0.0, s.rate, min(s.warm_up, s.steps // 2), s.steps, s.final_rate
            )
            for s in stages
        ],
        list(itertools.accumulate(s.steps for s in stages))[:-1],
    )
    kind = {"adamw": _adamw, "muon": _muon}[settings.method]
    return Optimiser(optax.chain(optax.clip_by_global_norm(settings.clip), kind(settings)), schedule)


def _adamw(settings: Optimisation) -> optax.GradientTransformation:
    return optax.adamw(1.0, weight_decay=settings.weight_decay)


def _muon(settings: Optimisation) -> optax.GradientTransformation:
    # Updates as large as AdamW's (rms 0.2), so that both take the same rates.
    return optax.contrib.muon(
        1.0,
        weight_decay=settings.weight_decay,
        muon_weight_dimension_numbers=_as_matrices,
        consistent_rms=0.2,
    )


def _as_matrices(params):
    stacked = int(isinstance(params, UnrolledParams))
    return jax.tree.map(functools.partial(_as_matrix, stacked=stacked), params)


def _as_matrix(kernel, stacked: int) -> optax.contrib.MuonDimensionNumbers | None:
    """A kernel ``(..., inputs, outputs)`` as a matrix to the outputs, after ``stacked`` axes of which each
    index has one of its own; none for biases and for one output."""
    if kernel.ndim - stacked < 2 or kernel.shape[-1] == 1:
        return None
    return optax.contrib.MuonDimensionNumbers(tuple(range(stacked, kernel.ndim - 1)), kernel.ndim - 1)


def start_state(
    prior: NetworkPrior | UnrolledPrior,
    optimiser: Optimiser,
    step: int = 0,
    *,
    iterations: int | None = None,
    rho: float = 0.0,
) -> TrainState:
    """The state after ``step`` steps that led to the prior; the moments start anew.

    iterations, rho: see :func:`pfitre_jax.training.parameters.params_of`
    """
    begun = params_of(prior, iterations, rho)
    # Copies: the step gives its input's memory away, which is not the prior's, and not twice the same.
    params, average = (jax.tree.map(jnp.array, begun) for _ in range(2))
    return TrainState(jnp.array(step), params, average, optimiser.init(params))


def propose(prior: NetworkPrior | UnrolledPrior, batch: Batch):
    """The prior's image for every slice of a batch, (slices, ny, nx)."""

    def one(problem, iterate):
        return prior_step(problem, prior, iterate.x, iterate.residual, batch.rho)

    return batch.each(one, batch.iterate)


def go_on(prior: NetworkPrior | UnrolledPrior, batch: Batch, cg_iterations: int, iterations: int = 1):
    """``(results, proposals, batch)`` after more iterations of the loop on every slice.

    results: (slices, ny, nx), what the loop would return; proposals: (slices, iterations, ny, nx), the
    prior's; the batch where the loop stands then. Differentiable, more than one iteration by ``checkpoint``.
    """
    loop = HQS.create(prior, batch.rho, cg_iterations=cg_iterations)
    has_rho = prior.info.rho is not None

    def one(problem, *point):
        if has_rho:
            # The batch was started with another rho.
            repeat = lambda point: loop.repeat_data_step(problem, *point)  # noqa: E731
            point = jax.lax.cond(batch.k == 0, repeat, lambda point: point, point)
        keep = lambda *point: (loop.proposal(*point), jax.lax.stop_gradient(point))  # noqa: E731
        differentiate = "checkpoint" if iterations > 1 else "unroll"
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
        # The loop continues with the last finite iterate; training must not.
        proposals = jnp.where(done.status == int(Status.DIVERGED), jnp.nan, proposals)
        proposals = jnp.moveaxis(proposals, 0, -3)
        return done.value, proposals, *jax.tree.map(lambda a: a[-1], points)

    results, proposals, iterate, state = batch.each(one, batch.iterate, batch.state)
    k = batch.k + iterations
    rho = jax.lax.stop_gradient(loop.rho_at(k))
    return results, proposals, dataclasses.replace(batch, iterate=iterate, state=state, k=k, rho=rho)


def _at_proposals(batch: Batch, proposals) -> Batch:
    """The batch with the proposals (slices, ny, nx) as the iterates."""
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
):
    """``(state, batch, metrics)`` after a gradient step and ``unrolled`` iterations of the loop on the batch.

    The loss is that of what the prior proposes. Through more than one iteration it is, in equal parts, that
    of what the loop returns and of all proposals, of which each counts :data:`EARLIER` of the next.

    Where the loss or its gradient is not finite the state stays as it is, but for its step.

    mesh: devices that share the slices, evenly
    """
    importance = EARLIER ** jnp.arange(unrolled - 1, -1, -1)
    importance = importance / jnp.sum(importance)

    def loss(params, batch):
        given = prior_of(prior, params)
        results, proposals, later = go_on(given, batch, cg_iterations, unrolled)
        proposed = proposals[:, -1]
        each = [compare(weights, proposals[:, k], batch.truth) for k in range(unrolled)]
        value = jnp.dot(importance, jnp.stack(each))
        if unrolled > 1:
            value = (value + compare(weights, results, batch.truth)) / 2
        if weights.idempotence:
            value += weights.idempotence * l1(propose(given, _at_proposals(later, proposed)), proposed)
        if weights.consistency:
            residual = batch.each(lambda problem, z: problem.residual_norm(z), proposed)
            value += weights.consistency * jnp.mean(residual)
        return value, (proposed, later)

    def differentiate(params, batch):
        (value, aux), gradients = jax.value_and_grad(loss, has_aux=True)(params, batch)
        # The loss is a mean over slices: of the devices that share them it is the mean again.
        return devices.mean_over_devices((value, gradients), mesh), aux

    shares = Batch.shares(devices.REPLICATED, devices.SHARDED)
    (value, gradients), (proposed, later) = devices.shard(
        differentiate, mesh, (devices.REPLICATED, shares), (devices.REPLICATED, (devices.SHARDED, shares))
    )(state.params, batch)
    params, moments = optimiser.update(gradients, state.optimiser, state.params, state.step)
    # The average follows quickly at first, so that it never drags the first weights along.
    decay = jnp.minimum(settings.ema, (1 + state.step) / (10 + state.step))
    average = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, params)
    size = optax.tree.norm(gradients)
    good = jnp.isfinite(value) & jnp.isfinite(size)
    keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old)  # noqa: E731
    metrics = {
        "loss": value,
        "l1": l1(proposed, batch.truth),
        "l1_before": l1(batch.iterate.x, batch.truth),
        "gradient_norm": size,
    }
    new = TrainState(
        state.step + 1,
        keep(params, state.params),
        keep(average, state.average),
        keep(moments, state.optimiser),
    )
    return new, later, metrics
