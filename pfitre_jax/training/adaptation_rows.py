"""Rows of a scan that a prior is adapted to: their reconstructions, their errors, and training steps."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pfitre_jax.geometry import Wedge
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.runtime.memory import device_bytes
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.wrappers.coarse_to_fine import without_levels
from pfitre_jax.training.adaptation_settings import AdaptationSettings, HeldOutViews
from pfitre_jax.training.equivariance import equivariance_loss, turn_rows, turned_problem
from pfitre_jax.training.round_selection import RoundErrors
from pfitre_jax.trust.domain import domain_score
from pfitre_jax.trust.image_statistics import statistics

#: Every such row is not trained on, if there are enough rows.
TEST_ROW_EVERY = 4
#: Rows that are reconstructed together, and pixels of a batch that is trained on: large images are fewer.
BATCH_ROWS, BATCH_PIXELS = 4, 4 * 512**2


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


class Stopwatch:
    """Time since its creation, without compilation."""

    def __init__(self) -> None:
        self._start, self._compiling = time.perf_counter(), 0.0

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._start - self._compiling

    def call(self, function: Callable, *args: Any, **static: Any) -> Any:
        """Calls a jitted function, and does not count its compilation."""
        args = as_arrays(args)
        executable, seconds = compiled(function, *args, **static)
        self._compiling += seconds
        return executable(*args)


@dataclasses.dataclass(frozen=True)
class AdaptationRows:
    """Rows of a scan, and the loop with a variable network.

    Attributes:
        solver: The loop.
        prior: The prior before the adaptation.
        problem: Geometry and support.
        sinograms: (rows, views, columns), line integrals divided by the scale of the scan.
        masks: (rows, views, columns), 1 for a valid bin, else 0.
        noise: Standard deviation of the noise in a bin, in the same units.
        held_out: Views that no image is computed from.
        settings: Settings of the adaptation.
        watch: Measures the time of all programs.
    """

    solver: Any
    prior: NetworkPrior
    problem: SliceProblem
    sinograms: np.ndarray
    masks: np.ndarray
    noise: np.float32
    held_out: HeldOutViews
    settings: AdaptationSettings
    watch: Stopwatch

    @functools.cached_property
    def _used_problem(self) -> SliceProblem:
        """The problem with the wedge of the views that are not held out."""
        theta = np.asarray(self.problem.A.geometry.theta_rad, float)
        wedge = Wedge.from_angles(theta[self.held_out.used])
        wedge = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), wedge)
        return dataclasses.replace(self.problem, wedge=wedge)

    @property
    def training(self) -> np.ndarray:
        """Rows that are trained on."""
        rows = np.arange(len(self.sinograms))
        return rows if len(rows) < TEST_ROW_EVERY else rows[rows % TEST_ROW_EVERY != TEST_ROW_EVERY // 2]

    @property
    def tested(self) -> np.ndarray:
        """Rows that are not trained on; all rows if there are too few."""
        others = np.setdiff1d(np.arange(len(self.sinograms)), self.training)
        return others if others.size else self.training

    @property
    def batch(self) -> int:
        """Number of images in a step of the optimiser."""
        return max(1, min(self.settings.batch, BATCH_PIXELS // self.problem.support.size))

    def reconstruct(self, params: Any) -> np.ndarray:
        """Images (rows, n, n) from the views that are not held out."""
        used = self.masks * self.held_out.used[:, None]
        supports = np.broadcast_to(self.problem.support, (len(used), *self.problem.support.shape))
        return self._solve(params, self._used_problem, self.sinograms, used, supports)

    def _solve(self, params: Any, problem: SliceProblem, *rows: np.ndarray) -> np.ndarray:
        """Images (rows, n, n) from sinograms, masks and supports, by the loop with these parameters."""
        loop = replace_network(self.solver, dataclasses.replace(self.prior, params=params))
        images = []
        for start in range(0, len(rows[0]), BATCH_ROWS):
            # A fixed number of rows avoids recompilation.
            batch = [np.resize(a[start:][:BATCH_ROWS], (BATCH_ROWS, *a.shape[1:])) for a in rows]
            iterations = self.settings.predicted_iterations
            images.append(self.watch.call(_reconstruct, loop, problem, *batch, iterations=iterations))
        return np.concatenate(images)[: len(rows[0])]

    def train(self, state: TrainingState, images: np.ndarray, picked: np.ndarray, key: Any) -> tuple:
        """A step of the optimiser on turned images; the state after it, and the loss."""
        return self.watch.call(
            _step, *self._step_arguments(state, images, picked, key), settings=self.settings
        )

    def training_memory(self) -> int:
        """Bytes that a step of the optimiser needs, which is more than the other programs need."""
        images = np.zeros((1, *self.problem.support.shape), np.float32)
        state = jax.tree.map(np.asarray, TrainingState.start(self.prior.params, self.settings))
        arguments = self._step_arguments(state, images, np.zeros(self.batch, int), jax.random.key(0))
        return device_bytes(compiled(_step, *as_arrays(arguments), settings=self.settings)[0])

    def _step_arguments(
        self, state: TrainingState, images: np.ndarray, picked: np.ndarray, key: Any
    ) -> tuple:
        turned = images[picked], self.masks[picked], self.noise, jax.random.key_data(key)
        return (self.prior, state, self.solver, self.problem, *turned)

    def errors(self, params: Any, images: np.ndarray, first: np.ndarray) -> RoundErrors:
        """Errors of reconstructed images, and of turned images of the first round.

        Args:
            params: Parameters of the network.
            images: (rows, n, n), their reconstructions.
            first: (rows, n, n), those of the first round.
        """
        squares = self.watch.call(_squares, self.problem, images, self.sinograms, self.masks)
        squares = np.asarray(squares, float)
        power = np.sum(self.masks * self.sinograms.astype(float) ** 2, axis=2)
        tiny = float(np.finfo(float).tiny)
        relative = lambda views: float(  # noqa: E731
            np.sqrt(squares[:, views].sum() / max(float(power[:, views].sum()), tiny))
        )
        key = jax.random.key_data(jax.random.key(self.settings.seed + 1))
        tested = first[self.tested], self.masks[self.tested], self.noise
        turned = jax.tree.map(np.asarray, self.watch.call(_turn, self.problem, *tested, key))
        again = self._solve(params, self.problem, turned.sinograms, turned.masks, turned.supports)
        truth, held_out = turned.truth.astype(float), self.held_out
        return RoundErrors(
            relative(held_out.interpolated),
            relative(held_out.extrapolated),
            relative(held_out.used),
            float(np.linalg.norm(again - truth)) / max(float(np.linalg.norm(truth)), tiny),
            domain_score(self.prior.card, np.asarray(_statistics(images)).tolist()),
        )


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


@functools.partial(jax.jit, static_argnames="iterations")
def _reconstruct(solver, problem, sinograms, masks, supports, *, iterations):
    def one(*row):
        start = jnp.zeros(problem.A.shape)
        return run(solver, turned_problem(problem, *row), start, iterations=iterations).value

    return jax.vmap(one)(sinograms, masks, supports)


@jax.jit
def _turn(problem, images, masks, noise, key):
    return turn_rows(problem, images, masks, noise, jax.random.wrap_key_data(key))


@jax.jit
def _squares(problem, images, sinograms, masks):
    """Squared residuals of each view, (rows, views)."""

    def one(row):
        image, sinogram, mask = row
        return jnp.sum(problem.with_sinogram(sinogram, mask).residual(image) ** 2, axis=1)

    return jax.lax.map(one, (images, sinograms, masks), batch_size=BATCH_ROWS)


@jax.jit
def _statistics(images):
    return jax.vmap(statistics)(images)


@functools.partial(jax.jit, static_argnames="settings")
def _step(prior: NetworkPrior, state: TrainingState, solver, problem, images, masks, noise, key, *, settings):
    # The coarse levels would cost as much as the iterations that are trained.
    solver = without_levels(solver)
    rows = turn_rows(problem, images, masks, noise, jax.random.wrap_key_data(key))

    def loss(params):
        loop = replace_network(solver, dataclasses.replace(prior, params=params))
        return equivariance_loss(loop, problem, rows, settings.iterations)

    value, gradients = jax.value_and_grad(loss)(state.params)
    updates, moments = _optimiser(settings).update(gradients, state.moments, state.params)
    params = optax.apply_updates(state.params, updates)
    average = optax.incremental_update(params, state.average, 1 - settings.average)
    return TrainingState(params, average, moments), value
