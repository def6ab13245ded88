"""Self-supervised adaptation of a prior to one scan: rounds of training on turned reconstructions.

In each round the rows of the scan are reconstructed with the present prior, and the prior is trained to
reconstruct these images when they are turned and measured again
(:mod:`pfitre_jax.training.equivariance`). Views that no image is computed from decide which round is kept
(:mod:`pfitre_jax.training.round_selection`).
"""

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
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pfitre_jax.estimation.held_out_views import end_folds, interleaved_folds
from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Solver
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.training.equivariance import TurnedRows, equivariance_loss, start_turned_rows
from pfitre_jax.training.round_selection import RoundChoice, RoundErrors, select_round

#: Smallest number of views of a scan.
MIN_VIEWS = 12
#: Every such view between the ends is held out, and this share of the views at each end.
HELD_OUT_EVERY, HELD_OUT_END_SHARE = 12, 0.04
#: Every such row is not trained on, if there are enough rows.
TEST_ROW_EVERY = 4
#: Rows that are reconstructed together, and pixels of a batch that is trained on: large images are fewer.
BATCH_ROWS, BATCH_PIXELS = 8, 4 * 512**2


@dataclasses.dataclass(frozen=True)
class AdaptationSettings:
    """Settings of the adaptation.

    Attributes:
        rounds: Largest number of rounds.
        batches: Batches of turned images in each round.
        batch: Number of images in a batch, fewer where they have more than :data:`BATCH_PIXELS` together.
        iterations: Iterations of the loop on a batch; each is a step of the optimiser.
        rate: Learning rate of Adam.
        clip: Global norm that gradients are clipped to.
        predicted_iterations: Iterations of the loop that reconstructs the rows in each round.
        margin: Relative decrease of the prediction error of held-out views that counts as better.
        patience: Rounds without a better one after which the adaptation stops.
        minutes: Time limit: no round is started that would end later, except for the first one, whose
            duration is unknown. None for no limit.
        seed: Seed of rows, turns and noise.
    """

    rounds: int = 6
    batches: int = 16
    batch: int = 4
    iterations: int = 3
    rate: float = 3e-4
    clip: float = 1.0
    predicted_iterations: int = 8
    margin: float = 0.01
    patience: int = 2
    minutes: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rounds", "batches", "batch", "iterations", "predicted_iterations", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a whole number of at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes is {self.minutes:g}; expected more than 0")


@dataclasses.dataclass(frozen=True)
class HeldOutViews:
    """Views that the adaptation does not use.

    Attributes:
        interpolated: (views,), whether a view is held out between others.
        extrapolated: (views,), whether it is held out at an end of the angular range.
    """

    interpolated: np.ndarray
    extrapolated: np.ndarray

    @classmethod
    def select(cls, theta_rad: ArrayLike) -> HeldOutViews:
        """Selects the views of a scan.

        Raises:
            ValueError: If there are fewer than :data:`MIN_VIEWS` views.
        """
        views = np.size(theta_rad)
        if views < MIN_VIEWS:
            raise ValueError(f"the scan has {views} views; expected at least {MIN_VIEWS}, to hold some out")
        ends = end_folds(theta_rad, max(round(HELD_OUT_END_SHARE * views), 1)).max(axis=0) > 0
        between = interleaved_folds(theta_rad, HELD_OUT_EVERY, 1)[0] > 0
        return cls(between & ~ends, ends)

    @property
    def used(self) -> np.ndarray:
        """(views,), whether a view is not held out."""
        return ~(self.interpolated | self.extrapolated)


@dataclasses.dataclass(frozen=True)
class Round:
    """A round of the adaptation.

    Attributes:
        steps: Steps of the optimiser before it.
        errors: What the prior achieves.
        loss: Mean loss of the steps since the round before; None in the first round.
        seconds: Time since the start of the adaptation.
    """

    steps: int
    errors: RoundErrors
    loss: float | None
    seconds: float


@dataclasses.dataclass(frozen=True, eq=False)
class Adaptation:
    """Result of the adaptation.

    Attributes:
        prior: The prior of the round that is kept, or the one before the adaptation.
        rounds: All rounds; the first is that of the prior before the adaptation.
        choice: Which round is kept, and why.
        held_out: The views that were held out.
        before: (n, n), a row reconstructed with the prior before the adaptation.
        after: (n, n), the same row with the prior that is kept.
    """

    prior: NetworkPrior
    rounds: list[Round]
    choice: RoundChoice
    held_out: HeldOutViews
    before: np.ndarray
    after: np.ndarray

    @property
    def adapted(self) -> bool:
        """Whether the prior differs from the one before."""
        return self.choice.index > 0

    def record(self) -> dict[str, Any]:
        """The decision and all errors as JSON values."""
        kept = self.rounds[self.choice.index]
        return {
            "by": "auto",
            "chosen": self.choice.index,
            "reason": self.choice.reason,
            "steps": kept.steps,
            "held_out_views": {
                "interpolated": np.flatnonzero(self.held_out.interpolated).tolist(),
                "extrapolated": np.flatnonzero(self.held_out.extrapolated).tolist(),
            },
            "rounds": [
                {"steps": r.steps, "loss": r.loss, "seconds": r.seconds} | dataclasses.asdict(r.errors)
                for r in self.rounds
            ],
        }


def adapt_prior(
    solver: Solver,
    prior: NetworkPrior,
    problem: SliceProblem,
    sinograms: Float[Array | np.ndarray, "rows views columns"],
    masks: Float[Array | np.ndarray, "rows views columns"],
    noise: float,
    settings: AdaptationSettings | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Adaptation:
    """Adapts the prior of a loop to rows of one scan.

    Args:
        solver: The loop, which contains the prior.
        prior: The prior.
        problem: Geometry and support; its sinogram is ignored.
        sinograms: (rows, views, columns), line integrals divided by the scale of the scan.
        masks: (rows, views, columns), 1 for a valid bin, else 0.
        noise: Standard deviation of the noise in a bin, in the same units.
        settings: Settings of the adaptation.
        report: Called with the number of batches done and of all batches.

    Raises:
        ValueError: See :meth:`HeldOutViews.select`.
    """
    settings = AdaptationSettings() if settings is None else settings
    start, theta = time.perf_counter(), np.asarray(problem.A.geometry.theta_rad, float)
    held_out = HeldOutViews.select(theta)
    rows = _Rows.create(solver, prior, problem, sinograms, masks, noise, held_out, settings)
    params, moments = prior.params, _optimiser(settings).init(prior.params)
    key, rng = jax.random.key(settings.seed), np.random.default_rng(settings.seed)
    images = rows.reconstruct(params)
    first = images
    shown = int(np.argmax(np.linalg.norm(images, axis=(1, 2))))
    rounds = [Round(0, rows.errors(params, images), None, time.perf_counter() - start)]
    best = (select_round([rounds[0].errors], settings.margin), params, images[shown])
    total = settings.rounds * settings.batches
    size = max(1, min(settings.batch, BATCH_PIXELS // first[0].size))
    for number in range(1, settings.rounds + 1):
        elapsed = time.perf_counter() - start
        # A round that would end after the limit is not started.
        if settings.minutes is not None and elapsed + _last_duration(rounds) > 60 * settings.minutes:
            break
        losses = []
        for batch in range(settings.batches):
            picked = rng.choice(rows.training, size, replace=len(rows.training) < size)
            key, batch_key = jax.random.split(key)
            turned = rows.turn(params, images, picked, batch_key)
            for _ in range(settings.iterations):
                params, moments, loss, turned = _step(
                    settings, prior, params, moments, solver, problem, turned
                )
                losses.append(loss)
            report((number - 1) * settings.batches + batch + 1, total)
        images = rows.reconstruct(params)
        steps = number * settings.batches * settings.iterations
        errors, loss = rows.errors(params, images), float(np.mean(losses))
        rounds.append(Round(steps, errors, loss, time.perf_counter() - start))
        choice = select_round([r.errors for r in rounds], settings.margin)
        if choice.index == number:
            best = (choice, params, images[shown])
        if number - choice.index >= settings.patience or not errors.is_finite:
            break
    choice = select_round([r.errors for r in rounds], settings.margin)
    report(total, total)
    adapted = dataclasses.replace(prior, params=best[1])
    return Adaptation(adapted, rounds, choice, held_out, first[shown], best[2])


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


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Rows of a scan, and the loop with a variable network."""

    solver: Any
    prior: NetworkPrior
    problem: SliceProblem
    used_problem: SliceProblem
    sinograms: np.ndarray
    masks: np.ndarray
    noise: np.float32
    held_out: HeldOutViews
    settings: AdaptationSettings

    @classmethod
    def create(cls, solver, prior, problem, sinograms, masks, noise, held_out, settings) -> _Rows:
        theta = np.asarray(problem.A.geometry.theta_rad, float)
        wedge = Wedge.from_angles(theta[held_out.used])
        wedge = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), wedge)
        used = dataclasses.replace(problem, wedge=wedge)
        arrays = np.asarray(sinograms, np.float32), np.asarray(masks, np.float32)
        return cls(solver, prior, problem, used, *arrays, np.float32(noise), held_out, settings)

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

    def loop(self, params) -> Any:
        return replace_network(self.solver, dataclasses.replace(self.prior, params=params))

    def reconstruct(self, params) -> np.ndarray:
        """Images (rows, n, n) from the views that are not held out."""
        used = self.masks * self.held_out.used[:, None]
        iterations = self.settings.predicted_iterations
        return np.asarray(
            _reconstruct(self.loop(params), self.used_problem, self.sinograms, used, iterations=iterations)
        )

    def turn(self, params, images, picked, key) -> TurnedRows:
        return _turn(self.loop(params), self.problem, images[picked], self.masks[picked], self.noise, key)

    def errors(self, params, images) -> RoundErrors:
        """Errors of reconstructed images; those of the rows that are not trained on are turned, too."""
        squares = np.asarray(_squares(self.problem, images, self.sinograms, self.masks), float)
        power = np.sum(self.masks * self.sinograms.astype(float) ** 2, axis=2)
        tiny = float(np.finfo(float).tiny)
        relative = lambda views: float(  # noqa: E731
            np.sqrt(squares[:, views].sum() / max(float(power[:, views].sum()), tiny))
        )
        turned = self.turn(params, images, self.tested, jax.random.key(self.settings.seed + 1))
        again = _continue(
            self.loop(params), self.problem, turned, iterations=self.settings.predicted_iterations
        )
        truth = np.asarray(turned.truth, float)
        held_out = self.held_out
        return RoundErrors(
            relative(held_out.interpolated),
            relative(held_out.extrapolated),
            relative(held_out.used),
            float(np.linalg.norm(np.asarray(again) - truth)) / max(float(np.linalg.norm(truth)), tiny),
        )


def _last_duration(rounds: list[Round]) -> float:
    """Seconds of the last round; 0 before the first one, whose duration is unknown."""
    return rounds[-1].seconds - rounds[-2].seconds if len(rounds) > 1 else 0.0


def _optimiser(settings: AdaptationSettings) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(settings.clip), optax.adam(settings.rate))


@functools.partial(jax.jit, static_argnames="iterations")
def _reconstruct(solver, problem, sinograms, masks, *, iterations):
    def one(row):
        return run(
            solver, problem.with_sinogram(*row), jnp.zeros(problem.A.shape), iterations=iterations
        ).value

    return jax.lax.map(one, (sinograms, masks), batch_size=BATCH_ROWS)


@jax.jit
def _squares(problem, images, sinograms, masks):
    """Squared residuals of each view, (rows, views)."""

    def one(row):
        image, sinogram, mask = row
        return jnp.sum(problem.with_sinogram(sinogram, mask).residual(image) ** 2, axis=1)

    return jax.lax.map(one, (images, sinograms, masks), batch_size=BATCH_ROWS)


@jax.jit
def _turn(solver, problem, images, masks, noise, key):
    return start_turned_rows(solver, problem, images, masks, noise, key)


@functools.partial(jax.jit, static_argnames="iterations")
def _continue(solver, problem, rows: TurnedRows, *, iterations):
    """Images (rows, n, n) of turned rows after more iterations of the loop."""

    def one(row: TurnedRows):
        turned = row.problem(problem)
        return run(solver, turned, row.point[0].x, start=row.point, iterations=iterations).value

    return jax.lax.map(one, rows, batch_size=BATCH_ROWS)


@functools.partial(jax.jit, static_argnums=0)
def _step(settings, prior: NetworkPrior, params, moments, solver, problem, rows: TurnedRows):
    def loss(params):
        loop = replace_network(solver, dataclasses.replace(prior, params=params))
        return equivariance_loss(loop, problem, rows)

    (value, rows), gradients = jax.value_and_grad(loss, has_aux=True)(params)
    updates, moments = _optimiser(settings).update(gradients, moments, params)
    return optax.apply_updates(params, updates), moments, value, rows
