"""Rows of a scan that a prior is adapted to: their reconstructions, their errors, and training steps."""

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
    reconstruct_rows,
    replace_network,
    squared_residuals,
    start_rows,
    training_step,
    turn_images,
)
from pfitre_jax.training.adaptation_settings import AdaptationSettings, HeldOutViews
from pfitre_jax.training.equivariance import TurnedRows
from pfitre_jax.training.round_selection import RoundErrors
from pfitre_jax.trust.domain import domain_score

#: Every such row is not trained on, if there are enough rows.
TEST_ROW_EVERY = 4
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
class StartedRows:
    """Rows, and where the loop starts on them.

    Attributes:
        problem: Geometry.
        rows: Sinograms and masks (rows, views, columns) and supports (rows, n, n).
        points: Initial iterate and state of the loop, for each batch of rows.
    """

    problem: SliceProblem
    rows: tuple[np.ndarray, ...]
    points: list[Any]


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

    @functools.cached_property
    def _scan(self) -> StartedRows:
        """All rows, from the views that are not held out."""
        used = self.masks * self.held_out.used[:, None]
        supports = np.broadcast_to(self.problem.support, (len(used), *self.problem.support.shape))
        return self._begin(self._used_problem, self.sinograms, used, supports)

    def _begin(self, problem: SliceProblem, *rows: np.ndarray) -> StartedRows:
        """Initial iterates of the loop with the prior before the adaptation.

        They are computed once. Coarse levels and the initial estimate cost as much as ten iterations, and
        depend little on the parameters.
        """
        batches = _batches(rows, self._rows_at_once)
        return StartedRows(
            problem, rows, [self.watch.call(start_rows, self.solver, problem, *b) for b in batches]
        )

    @property
    def _rows_at_once(self) -> int:
        return min(BATCH_ROWS, len(self.sinograms))

    def reconstruct(self, params: Any) -> np.ndarray:
        """Images (rows, n, n) from the views that are not held out."""
        return self._solve(params, self._scan)

    def _solve(self, params: Any, started: StartedRows) -> np.ndarray:
        """Images (rows, n, n) by the loop with these parameters."""
        loop = replace_network(self.solver, dataclasses.replace(self.prior, params=params))
        iterations = self.settings.predicted_iterations
        images = [
            self.watch.call(reconstruct_rows, loop, started.problem, *batch, points, iterations=iterations)
            for batch, points in zip(_batches(started.rows, self._rows_at_once), started.points, strict=True)
        ]
        return np.concatenate(images)[: len(started.rows[0])]

    def turn(self, images: np.ndarray, picked: np.ndarray, key: Any) -> tuple[TurnedRows, Any]:
        """Turned images, measured again, and the initial iterates of the loop for them.

        Args:
            images: (rows, n, n), reconstructions of all rows.
            picked: (batch,), the rows to turn.
            key: Key of turns and noise.
        """
        turned = images[picked], self.masks[picked], self.noise, jax.random.key_data(key)
        rows = self.watch.call(turn_images, self.problem, *turned)
        arrays = rows.sinograms, rows.masks, rows.supports
        # The coarse levels would cost more than the iterations that are trained.
        return rows, self.watch.call(start_rows, without_levels(self.solver), self.problem, *arrays)

    def train(self, state: TrainingState, rows: TurnedRows, points: Any) -> tuple[TrainingState, Any, Any]:
        """A step of the optimiser: the state after it, the loop's points after one iteration, the loss."""
        arguments = self.prior, state, without_levels(self.solver), self.problem, rows, points
        return self.watch.call(training_step, *arguments, settings=self.settings)

    def training_memory(self) -> int:
        """Bytes that a step of the optimiser needs, which is more than the other programs need."""
        sinograms = np.zeros((self.batch, *self.problem.A.sinogram_shape), np.float32)
        images = np.zeros((self.batch, *self.problem.support.shape), np.float32)
        turned = images, sinograms, self.noise, jax.random.key_data(jax.random.key(0))
        rows, solver = jax.eval_shape(turn_images, self.problem, *turned), without_levels(self.solver)
        points = jax.eval_shape(start_rows, solver, self.problem, rows.sinograms, rows.masks, rows.supports)
        arguments = self.prior, TrainingState.start(self.prior.params, self.settings), solver, self.problem
        step = compiled(training_step, *as_arrays((*arguments, rows, points)), settings=self.settings)[0]
        return device_bytes(step)

    @functools.cached_property
    def _test(self) -> tuple[StartedRows, np.ndarray]:
        """Turned images of the first round, of rows that are not trained on, and their truth."""
        key = jax.random.key_data(jax.random.key(self.settings.seed + 1))
        tested = self.first[self.tested], self.masks[self.tested], self.noise
        turned = jax.tree.map(np.asarray, self.watch.call(turn_images, self.problem, *tested, key))
        started = self._begin(self.problem, turned.sinograms, turned.masks, turned.supports)
        return started, turned.truth.astype(float)

    @functools.cached_property
    def first(self) -> np.ndarray:
        """(rows, n, n), reconstructions with the prior before the adaptation."""
        return self.reconstruct(self.prior.params)

    def errors(self, params: Any, images: np.ndarray) -> RoundErrors:
        """Errors of reconstructed images, and of turned images of the first round.

        Args:
            params: Parameters of the network.
            images: (rows, n, n), their reconstructions.
        """
        squares = self.watch.call(squared_residuals, self.problem, images, self.sinograms, self.masks)
        squares = np.asarray(squares, float)
        power = np.sum(self.masks * self.sinograms.astype(float) ** 2, axis=2)
        tiny = float(np.finfo(float).tiny)
        relative = lambda views: float(  # noqa: E731
            np.sqrt(squares[:, views].sum() / max(float(power[:, views].sum()), tiny))
        )
        (started, truth), held_out = self._test, self.held_out
        again = self._solve(params, started)
        return RoundErrors(
            relative(held_out.interpolated),
            relative(held_out.extrapolated),
            relative(held_out.used),
            float(np.linalg.norm(again - truth)) / max(float(np.linalg.norm(truth)), tiny),
            domain_score(self.prior.card, np.asarray(image_statistics(images)).tolist()),
        )


def _batches(rows: Sequence[np.ndarray], size: int) -> list[list[np.ndarray]]:
    """Arrays of rows in batches of a fixed size, for one program; the last batch repeats rows."""
    starts = range(0, len(rows[0]), size)
    return [[np.resize(a[start:][:size], (size, *a.shape[1:])) for a in rows] for start in starts]
