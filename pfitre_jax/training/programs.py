"""Jitted programs of a training run: new scans, training steps and validation."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.metrics import psnr
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.runtime import devices
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.training.config import Stage, TrainingConfig
from pfitre_jax.training.optimiser import make_optimiser
from pfitre_jax.training.parameters import TrainableParameters, prior_with_parameters
from pfitre_jax.training.train_step import TrainState, advance, expect_errors, start_state, train_step
from pfitre_jax.trust import image_statistics
from pfitre_jax.twin.pairs import Batch, PairSettings, draw_training_scenes, start_batch
from pfitre_jax.twin.scenes.data_files import make_banks

#: Keys of the validation scans are folded with this; training keys with the step, which stays below it.
VALIDATION_KEY = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Validation:
    """Result of a validation.

    Attributes:
        scores: Mean PSNR, dB, by name: of the initial estimate, of the network alone, and of proposal and
            result after all iterations. For a network with an expected error ``b`` also
            ``validation_coverage``, the share of the pixels whose error is at most ``b log 10``: 0.9 for
            errors with a Laplace distribution.
        trust: References of the domain check, see :func:`pfitre_jax.training.export.export_weights`.
        images: Images (slices, ny, nx) of the first batch, by name.
    """

    scores: dict[str, float]
    trust: dict[str, Any]
    images: dict[str, np.ndarray]


class Programs:
    """The jitted programs of one configuration, compiled once for each number of views.

    Args:
        config: The configuration.
        prior: Supplies everything of the prior but its parameters.
    """

    def __init__(self, config: TrainingConfig, prior: NetworkPrior):
        self.config = config
        self.prior = prior
        # The devices share the slices if they can be shared evenly.
        mesh = devices.local_mesh()
        if config.pairs.volume or config.pairs.slices % devices.device_count(mesh):
            mesh = None
        self.banks = make_banks(config.bank_files(), config.banks.count, config.banks.side, config.seed)
        self._draw = jax.jit(draw_training_scenes, static_argnames=("scenes", "settings"))
        self._start = jax.jit(
            start_batch, static_argnames=("instrument", "settings", "views", "initial_iterations")
        )
        self.optimiser = make_optimiser(config.optimisation, config.stages)
        cg = config.pairs.cg_iterations
        self._step = jax.jit(
            lambda state, batch, weights, unrolled: train_step(
                prior, state, batch, config.optimisation, weights, self.optimiser, cg, unrolled, mesh
            ),
            static_argnums=(2, 3),
            donate_argnums=(0,),
        )
        self._iterate = jax.jit(self._loop_iteration)
        self._share_within = jax.jit(self._share_within_expected)
        self._finish = jax.jit(
            lambda batch: batch.each(HQS(prior, batch.rho, cg).finish, batch.iterate, batch.state)
        )

    def start_state(self, prior: NetworkPrior | UnrolledPrior, stage: Stage, step: int = 0) -> TrainState:
        """Returns the state of a stage that starts from ``prior``, to which ``step`` steps led."""
        low, high = self.config.stage_pairs(stage).rho
        rho = (low * high) ** 0.5
        return start_state(prior, self.optimiser, step, iterations=stage.iterations, rho=rho)

    def enter_stage(self, state: TrainState, stage: Stage) -> TrainState:
        """Returns the state for a stage: itself, or one that starts from the average if more is learned."""
        prior = prior_with_parameters(self.prior, state.average)
        fresh = self.start_state(prior, stage, int(state.step))
        return state if jax.tree.map(jnp.shape, fresh) == jax.tree.map(jnp.shape, state) else fresh

    def start_batch(
        self,
        key: Array,
        views: int,
        stage: Stage,
        state: TrainState | None = None,
        settings: PairSettings | None = None,
    ) -> Batch:
        """Simulates a fresh scan of a stage; a share of the loops starts from a coarse result.

        Args:
            key: Random key.
            views: Number of views.
            stage: The stage.
            state: State whose averaged weights give the coarse results; None for none.
            settings: Settings of the pairs, where they are not those of the stage.
        """
        k_scenes, k_scan = jax.random.split(key)
        settings = self.config.stage_pairs(stage) if settings is None else settings
        coarse_prior = None
        if state is not None and jax.random.uniform(jax.random.fold_in(key, 0)) < stage.coarse_share:
            coarse_prior = prior_with_parameters(self.prior, state.average)
        return self._start(
            k_scan,
            self._draw(k_scenes, scenes=stage.scenes, settings=settings, banks=self.banks),
            instrument=stage.instrument,
            settings=settings,
            views=views,
            initial_iterations=stage.initial_iterations,
            coarse_prior=coarse_prior,
        )

    def step(
        self, state: TrainState, batch: Batch, stage: Stage
    ) -> tuple[TrainState, Batch, dict[str, Array]]:
        """Makes a training step, see :func:`train_step`; the state given is deleted."""
        return self._step(state, batch, stage.losses, stage.unrolled)

    def validation_batches(self, key: Array, stage: Stage) -> list[Batch]:
        """Simulates the validation scans of a stage."""
        keys = jax.random.split(jax.random.fold_in(key, VALIDATION_KEY), self.config.report.validation)
        # New scenes also where the training repeats a few.
        settings = dataclasses.replace(self.config.stage_pairs(stage), distinct=0)
        return [
            self.start_batch(k, views, stage, settings=settings)
            for views in self.config.stage_pool(stage).views
            for k in keys
        ]

    def validate(self, state: TrainState, batches: list[Batch], stage: Stage) -> Validation:
        """Reconstructs the validation scans with the averaged weights; PSNR has range 1 after scaling."""
        initial, one_shot, proposals, results = [], [], [], []
        within: list[float] = []
        changes: list[float] = []
        statistics: list[list[float]] = []
        images: dict[str, Array] = {}
        iterations = stage.unrolled if stage.learned == "iterations" else self.config.pool.iterations
        for first in batches:
            batch = first
            initial.append(_mean_psnr(batch.iterate.x, batch))
            for k in range(iterations):
                batch, z = self._iterate(state.average, batch)
                if k == 0:
                    one_shot.append(_mean_psnr(z, batch))
            proposals.append(_mean_psnr(z, batch))
            result = self._finish(batch)
            results.append(_mean_psnr(result, batch))
            if self.prior.has_expected_error:
                within.append(float(self._share_within(state.average, batch, result)))
            statistics.extend(np.asarray(_statistics(result)).tolist())
            x = np.asarray(batch.iterate.x)
            change = np.asarray(self._iterate(state.average, batch)[1]) - x
            norms = np.linalg.norm(x, axis=(1, 2))
            filled = norms > 0
            changes.extend(np.linalg.norm(change[filled], axis=(1, 2)) / norms[filled])
            if not images:
                images = {"truth": batch.truth, "start": first.iterate.x, "network": z, "result": result}
        scores = {
            "validation_start": float(np.mean(initial)),
            "validation_one_shot": float(np.mean(one_shot)),
            "validation_network": float(np.mean(proposals)),
            "validation_psnr": float(np.mean(results)),
        }
        if within:
            scores["validation_coverage"] = float(np.mean(within))
        trust: dict[str, Any] = {
            "disagreement": {"median": float(np.median(changes)), "limit": float(np.quantile(changes, 0.95))}
        }
        if len(statistics) > image_statistics.NEIGHBOURS:
            trust["likeness"] = image_statistics.reference_statistics(statistics)
        return Validation(scores, trust, {name: np.asarray(value) for name, value in images.items()})

    def _loop_iteration(self, params: TrainableParameters, batch: Batch) -> tuple[Batch, Array]:
        prior = prior_with_parameters(self.prior, params)
        _, proposals, batch = advance(prior, batch, self.config.pairs.cg_iterations)
        return batch, proposals[:, -1]

    def _share_within_expected(
        self, params: TrainableParameters, batch: Batch, result: Float[Array, "slices ny nx"]
    ) -> Float[Array, ""]:
        expected = expect_errors(prior_with_parameters(self.prior, params), batch, result)
        within = jnp.abs(result - batch.truth) <= jnp.log(10) * expected
        return jnp.mean(within, where=batch.problem.support[None] > 0)


_statistics = jax.jit(jax.vmap(image_statistics.statistics))


def _mean_psnr(images: Array, batch: Batch) -> float:
    return float(jnp.mean(jax.vmap(lambda a, b: psnr(a, b, batch.problem.support))(images, batch.truth)))
