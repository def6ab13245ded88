"""Rows of a scan that a prior is adapted to: their reconstructions, their errors, and training steps.

They are items in the sense of :mod:`pfitre_jax.training.equivariance`: slices, or slabs of neighbouring rows.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.geometry import Wedge
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.runtime.memory import device_bytes
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.wrappers.coarse_to_fine import without_levels
from pfitre_jax.training.adaptation_programs import (
    BATCH_ROWS,
    TrainingState,
    image_statistics,
    initial_states,
    reconstruct_items,
    replace_network,
    rotate_images,
    squared_residuals,
    training_step,
)
from pfitre_jax.training.adaptation_settings import AdaptationSettings, HeldOutViews
from pfitre_jax.training.equivariance import RotatedItems
from pfitre_jax.training.round_selection import RoundErrors
from pfitre_jax.trust.domain import domain_score

#: Every such item is not trained on, if there are enough.
TEST_EVERY = 4
#: Pixels of a batch that is trained on: large images are fewer.
BATCH_PIXELS = 4 * 512**2


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
class InitialisedItems:
    """Items, and where the loop starts on them.

    Attributes:
        problem: Geometry.
        items: Sinograms and masks (items, [rows,] views, columns) and supports (items, n, n).
        states: Initial iterate and state of the loop, for each batch of items.
    """

    problem: SliceProblem
    items: tuple[np.ndarray, ...]
    states: list[Any]


@dataclasses.dataclass(frozen=True)
class AdaptationRows:
    """Rows of a scan, and the loop with a variable network.

    Attributes:
        solver: The loop.
        prior: The prior before the adaptation.
        problem: Geometry and support.
        sinograms: (items, [rows,] views, columns), line integrals divided by the scale of the scan.
        masks: (items, [rows,] views, columns), 1 for a valid bin, else 0.
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
        """Items that are trained on."""
        items = np.arange(len(self.sinograms))
        return items if len(items) < TEST_EVERY else items[items % TEST_EVERY != TEST_EVERY // 2]

    @property
    def tested(self) -> np.ndarray:
        """Items that are not trained on; all if there are too few."""
        others = np.setdiff1d(np.arange(len(self.sinograms)), self.training)
        return others if others.size else self.training

    @property
    def batch(self) -> int:
        """Number of items in a step of the optimiser."""
        images = min(self.settings.batch, BATCH_PIXELS // self.problem.support.size)
        return max(1, images // self.item_rows)

    @property
    def item_rows(self) -> int:
        """Number of rows of an item."""
        return int(np.prod(self.sinograms.shape[1:-2]))

    @functools.cached_property
    def _scan(self) -> InitialisedItems:
        """All items, from the views that are not held out."""
        used = self.masks * self.held_out.used[:, None]
        supports = np.broadcast_to(self.problem.support, (len(used), *self.problem.support.shape))
        return self._initialise(self._used_problem, self.sinograms, used, supports)

    def _initialise(self, problem: SliceProblem, *items: np.ndarray) -> InitialisedItems:
        """Initial iterates of the loop with the prior before the adaptation.

        They are computed once. Coarse levels and the initial estimate cost as much as ten iterations, and
        depend little on the parameters.
        """
        batches = _batches(items, self._items_at_once)
        return InitialisedItems(
            problem, items, [self.watch.call(initial_states, self.solver, problem, *b) for b in batches]
        )

    @property
    def _items_at_once(self) -> int:
        return min(max(1, BATCH_ROWS // self.item_rows), len(self.sinograms))

    def reconstruct(self, params: Any) -> np.ndarray:
        """Images (items, [rows,] n, n) from the views that are not held out."""
        return self._solve(params, self._scan)

    def _solve(self, params: Any, started: InitialisedItems) -> np.ndarray:
        """Images (items, [rows,] n, n) by the loop with these parameters."""
        loop = replace_network(self.solver, dataclasses.replace(self.prior, params=params))
        iterations = self.settings.predicted_iterations
        images = [
            self.watch.call(reconstruct_items, loop, started.problem, *batch, states, iterations=iterations)
            for batch, states in zip(
                _batches(started.items, self._items_at_once), started.states, strict=True
            )
        ]
        return np.concatenate(images)[: len(started.items[0])]

    def rotate(self, images: np.ndarray, picked: np.ndarray, key: Any) -> tuple[RotatedItems, Any]:
        """Rotated images, measured again, and the initial iterates of the loop for them.

        Args:
            images: (items, [rows,] n, n), reconstructions of all items.
            picked: (batch,), the items to rotate.
            key: Key of rotations and noise.
        """
        rotated = images[picked], self.masks[picked], self.noise, jax.random.key_data(key)
        items = self.watch.call(rotate_images, self.problem, *rotated)
        arrays = items.sinograms, items.masks, items.supports
        # The coarse levels would cost more than the iterations that are trained.
        return items, self.watch.call(initial_states, without_levels(self.solver), self.problem, *arrays)

    def train(
        self, state: TrainingState, items: RotatedItems, loop_states: Any
    ) -> tuple[TrainingState, Any, Any]:
        """A step of the optimiser: the state after it, the loop's states after an iteration, the loss."""
        arguments = self.prior, state, without_levels(self.solver), self.problem, items, loop_states
        return self.watch.call(training_step, *arguments, settings=self.settings)

    def training_memory(self) -> int:
        """Bytes that a step of the optimiser needs, which is more than the other programs need."""
        sinograms = np.zeros((self.batch, *self.sinograms.shape[1:]), np.float32)
        images = np.zeros((*sinograms.shape[:-2], *self.problem.support.shape), np.float32)
        rotated = images, sinograms, self.noise, jax.random.key_data(jax.random.key(0))
        items, solver = jax.eval_shape(rotate_images, self.problem, *rotated), without_levels(self.solver)
        arrays = items.sinograms, items.masks, items.supports
        states = jax.eval_shape(initial_states, solver, self.problem, *arrays)
        arguments = self.prior, TrainingState.start(self.prior.params, self.settings), solver, self.problem
        step = compiled(training_step, *as_arrays((*arguments, items, states)), settings=self.settings)[0]
        return device_bytes(step)

    @functools.cached_property
    def _test(self) -> tuple[InitialisedItems, np.ndarray]:
        """Rotated images of the first round, of items that are not trained on, and their truth."""
        key = jax.random.key_data(jax.random.key(self.settings.seed + 1))
        tested = self.first[self.tested], self.masks[self.tested], self.noise
        rotated = jax.tree.map(np.asarray, self.watch.call(rotate_images, self.problem, *tested, key))
        started = self._initialise(self.problem, rotated.sinograms, rotated.masks, rotated.supports)
        return started, rotated.truth.astype(float)

    @functools.cached_property
    def first(self) -> np.ndarray:
        """(items, [rows,] n, n), reconstructions with the prior before the adaptation."""
        return self.reconstruct(self.prior.params)

    def errors(self, params: Any, images: np.ndarray) -> RoundErrors:
        """Errors of reconstructed images, and of rotated images of the first round.

        Args:
            params: Parameters of the network.
            images: (items, [rows,] n, n), their reconstructions.
        """
        squares = self.watch.call(squared_residuals, self.problem, images, self.sinograms, self.masks)
        squares = np.asarray(squares, float)
        power = np.sum(self.masks * self.sinograms.astype(float) ** 2, axis=-1)
        tiny = float(np.finfo(float).tiny)
        relative = lambda views: float(  # noqa: E731
            np.sqrt(squares[..., views].sum() / max(float(power[..., views].sum()), tiny))
        )
        (started, truth), held_out = self._test, self.held_out
        again = self._solve(params, started)
        return RoundErrors(
            relative(held_out.interpolated),
            relative(held_out.extrapolated),
            relative(held_out.used),
            float(np.linalg.norm(again - truth)) / max(float(np.linalg.norm(truth)), tiny),
            domain_score(self.prior.card, np.asarray(image_statistics(as_rows(images))).tolist()),
        )


def as_rows(images: np.ndarray) -> np.ndarray:
    """Images (rows, n, n) of all rows of items (items, [rows,] n, n)."""
    return images.reshape(-1, *images.shape[-2:])


def _batches(items: Sequence[np.ndarray], size: int) -> list[list[np.ndarray]]:
    """Arrays of items in batches of a fixed size, for one program; the last batch repeats items."""
    starts = range(0, len(items[0]), size)
    return [[np.resize(a[start:][:size], (size, *a.shape[1:])) for a in items] for start in starts]
