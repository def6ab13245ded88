"""Self-supervised adaptation of a prior to one scan: rounds of training on rotated reconstructions.

In each round the rows of the scan are reconstructed with the present prior, and the prior is trained to
reconstruct these images when they are rotated and measured again
(:mod:`pfitre_jax.training.equivariance`). Rows that it is not trained on, and views that no image is computed
from, decide which round is kept (:mod:`pfitre_jax.training.round_selection`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Solver
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.training.adaptation_programs import TrainingState
from pfitre_jax.training.adaptation_rows import AdaptationRows, Stopwatch, as_rows
from pfitre_jax.training.adaptation_settings import AdaptationSettings, HeldOutViews
from pfitre_jax.training.round_selection import RoundChoice, RoundErrors, best_predicted, select_round


@dataclasses.dataclass(frozen=True)
class Round:
    """A round of the adaptation.

    Attributes:
        steps: Steps of the optimiser before it.
        errors: What the prior achieves.
        loss: Mean loss of the steps since the round before; None in the first round.
        seconds: Time since the start of the adaptation, without compilation.
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
    sinograms: Float[Array | np.ndarray, "items *rows views columns"],
    masks: Float[Array | np.ndarray, "items *rows views columns"],
    noise: float,
    settings: AdaptationSettings | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
    observe: Callable[[np.ndarray], None] = lambda images: None,
) -> Adaptation:
    """Adapts the prior of a loop to rows of one scan, or to slabs of neighbouring rows.

    Args:
        solver: The loop, which contains the prior.
        prior: The prior.
        problem: Geometry and support; its sinogram is ignored.
        sinograms: (items, views, columns) of rows that are solved separately, or (items, rows, views,
            columns) of slabs that are solved as volumes; line integrals divided by the scale of the scan.
        masks: As ``sinograms``, 1 for a valid bin, else 0.
        noise: Standard deviation of the noise in a bin, in the same units.
        settings: Settings of the adaptation.
        report: Called with the number of steps done and of all steps.
        observe: Called in each round with the reconstructions (rows, n, n), divided by the scale of the scan.

    Raises:
        ValueError: See :meth:`HeldOutViews.select`.
    """
    settings = AdaptationSettings() if settings is None else settings
    held_out, watch = HeldOutViews.select(problem.A.geometry.theta_rad), Stopwatch()
    arrays = np.asarray(sinograms, np.float32), np.asarray(masks, np.float32)
    rows = AdaptationRows(solver, prior, problem, *arrays, np.float32(noise), held_out, settings, watch)
    state = TrainingState.start(prior.params, settings)
    key, rng = jax.random.key(settings.seed), np.random.default_rng(settings.seed)
    images = first = rows.first
    observe(as_rows(images))
    shown = int(np.argmax(np.linalg.norm(as_rows(images), axis=(1, 2))))
    rounds = [Round(0, rows.errors(prior.params, images), None, watch.seconds)]
    best = prior.params, as_rows(images)[shown]
    total = settings.rounds * settings.steps
    for number in range(1, settings.rounds + 1):
        # A round that would end after the limit is not started.
        if settings.minutes is not None and watch.seconds + _last_duration(rounds) > 60 * settings.minutes:
            break
        losses = []
        # Consecutive steps use different images.
        batches: list[tuple] = []
        for step in range(settings.steps):
            if step < -(-settings.steps // settings.iterations):
                picked = rng.choice(rows.training, rows.batch, replace=len(rows.training) < rows.batch)
                key, batch_key = jax.random.split(key)
                batches.append(rows.rotate(images, picked, batch_key))
            rotated, loop_states = batches.pop(0)
            state, loop_states, loss = rows.train(state, rotated, loop_states)
            batches.append((rotated, loop_states))
            losses.append(float(loss))
            report((number - 1) * settings.steps + step + 1, total)
        images = rows.reconstruct(state.average)
        observe(as_rows(images))
        errors = rows.errors(state.average, images)
        rounds.append(Round(number * settings.steps, errors, float(np.mean(losses)), watch.seconds))
        all_errors = [r.errors for r in rounds]
        choice = select_round(all_errors, settings.margin)
        if choice.index == number:
            best = state.average, as_rows(images)[shown]
        if number - best_predicted(all_errors) >= settings.patience or not errors.is_finite:
            break
    choice = select_round([r.errors for r in rounds], settings.margin)
    report(total, total)
    adapted = dataclasses.replace(prior, params=best[0])
    return Adaptation(adapted, rounds, choice, held_out, as_rows(first)[shown], best[1])


def _last_duration(rounds: list[Round]) -> float:
    """Seconds of the last round; 0 before the first one, whose duration is unknown."""
    return rounds[-1].seconds - rounds[-2].seconds if len(rounds) > 1 else 0.0
