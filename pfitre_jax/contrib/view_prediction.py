"""Self-supervised fine-tuning of a prior on one scan: it is trained to predict held-out views.

The shifts of the views can be estimated at the same time, through the same loop: those of the used views
improve the prediction of the held-out views, and those of a held-out view align it with its prediction.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pfitre_jax.geometry import Wedge, remove_object_shift
from pfitre_jax.interfaces import Iterate
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.solvers.hqs import HQS, HQSState
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Smallest number of views of a scan.
MIN_VIEWS = 12


@dataclasses.dataclass(frozen=True)
class ViewPredictionSettings:
    """Settings of the fine-tuning.

    Attributes:
        steps: Largest number of steps.
        rate: Learning rate of Adam.
        clip: Global norm that gradients are clipped to.
        geometry_rate: Learning rate of the shifts of the views, bins; 0 keeps the shifts fixed.
        unrolled: Iterations of the loop that a step differentiates through.
        validation_iterations: Iterations of the loop that predicts the validation views.
        rho: Prior strength of the loop, relative to ``||A||^2 = 1``; the default suits noise of 1% or less.
        splits: Number of training splits, which the steps use in turn.
        share: Share of the other views that a training split holds out.
        validation_share: Share of the views that no step trains the network on; they decide when to stop.
        check_every: Steps between two checks of the validation views.
        patience: Checks without an improvement after which the fine-tuning stops.
        margin: Relative decrease of the error that counts as an improvement.
        batch: Number of rows in a step.
        seed: Seed of splits and rows.
    """

    steps: int = 120
    rate: float = 3e-5
    clip: float = 1.0
    geometry_rate: float = 0.0
    unrolled: int = 3
    validation_iterations: int = 6
    rho: float = 0.005
    splits: int = 6
    share: float = 0.2
    validation_share: float = 0.15
    check_every: int = 10
    patience: int = 3
    margin: float = 0.005
    batch: int = 4
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Split:
    """Views to reconstruct from, and views to predict.

    Attributes:
        used: (views,), 1 for views to reconstruct from, else 0.
        target: (views,), 1 for held-out views to predict, else 0.
        wedge: Missing wedge of the used views.
    """

    used: np.ndarray
    target: np.ndarray
    wedge: Wedge


@dataclasses.dataclass(frozen=True)
class ViewPrediction:
    """Result of the fine-tuning.

    Attributes:
        prior: The best prior, or the original one where none was better.
        shifts: (views,), bins, to be added to the shifts of the geometry; without the components that
            translate the object in its plane, which a scan does not determine.
        step: Step of the best prior, 0 for the original one.
        check_steps: Steps of the checks.
        errors: Relative residuals ``||M(A x - y)|| / ||M y||`` of the validation views at the checks.
        losses: Relative residuals of the target views of every step.
        validation_views: (validation views,), indices of the validation views. No step trains the network on
            them; only their shifts are estimated.
    """

    prior: NetworkPrior
    shifts: np.ndarray
    step: int
    check_steps: list[int]
    errors: list[float]
    losses: list[float]
    validation_views: np.ndarray

    @property
    def error(self) -> float:
        """Relative residual of the validation views with the best prior."""
        return self.errors[self.check_steps.index(self.step)]


def make_splits(theta_rad: ArrayLike, settings: ViewPredictionSettings) -> tuple[Split, list[Split]]:
    """Makes the validation split and the training splits, which exclude its target views.

    Half of the validation views lie at one end of the angular range, where the prediction extrapolates into
    the wedge; the rest are spread over the range. The training splits alternately hold out a block of views
    at one end and views chosen at random.

    Args:
        theta_rad: (views,), view angles.
        settings: Settings of the fine-tuning.

    Raises:
        ValueError: If there are fewer than :data:`MIN_VIEWS` views.
    """
    theta = np.asarray(theta_rad, float)
    views = theta.size
    if views < MIN_VIEWS:
        raise ValueError(f"the scan has {views} views; expected at least {MIN_VIEWS}, to hold some out")
    wedge = Wedge.from_angles(theta)
    # From one end of the angular range to the other.
    order = np.argsort(np.mod(theta - float(wedge.center_rad), np.pi))
    rng = np.random.default_rng(settings.seed)

    def split(available: np.ndarray, held_out: np.ndarray) -> Split:
        used = np.zeros(views, np.float32)
        used[np.setdiff1d(available, held_out)] = 1
        target = np.zeros(views, np.float32)
        target[held_out] = 1
        return Split(used, target, Wedge.from_angles(theta[used > 0]))

    number = max(2, round(settings.validation_share * views))
    end, rest = order[: number // 2], order[number // 2 :]
    spread = rest[np.linspace(0, rest.size - 1, number - end.size + 2).round().astype(int)[1:-1]]
    validation = np.concatenate([end, spread])
    available = order[~np.isin(order, validation)]
    number = max(1, round(settings.share * available.size))
    splits = []
    for k in range(settings.splits):
        if k % 2:
            held_out = rng.choice(available, number, replace=False)
        else:
            # Blocks of several sizes.
            size = max(1, round(number * (1 - k / (2 * settings.splits))))
            held_out = available[:size] if k % 4 else available[-size:]
        splits.append(split(available, held_out))
    return split(order, validation), splits


def fit_view_prediction(
    prior: NetworkPrior,
    problem: SliceProblem,
    sinograms: Float[Array, "rows views columns"],
    masks: Float[Array, "rows views columns"],
    settings: ViewPredictionSettings | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> ViewPrediction:
    """Fine-tunes a prior on the rows of one scan, by gradient steps through the unrolled loop.

    Each step holds out some views, reconstructs a few rows from the others and lowers the squared error of
    the prediction of the held-out views, as Noise2Self does with pixels. The fine-tuning stops when the
    prediction of the validation views no longer improves. With a ``geometry_rate`` each step also shifts the
    validation views towards their predictions; the network is not trained on them.

    Args:
        prior: The prior.
        problem: Supplies everything but sinogram and mask.
        sinograms: (rows, views, columns), line integrals divided by the scale of the scan.
        masks: (rows, views, columns), 1 for a valid bin, else 0.
        settings: Settings of the fine-tuning.
        report: Called with the number of steps done and of all steps.

    Raises:
        ValueError: As :func:`make_splits`.

    References:
        Batson & Royer, Noise2Self, ICML 2019.
    """
    settings = ViewPredictionSettings() if settings is None else settings
    validation_split, splits = make_splits(problem.A.geometry.theta_rad, settings)
    symmetric, prior = prior.symmetric, dataclasses.replace(prior, symmetric=False)
    sinograms, masks = jnp.asarray(sinograms), jnp.asarray(masks, jnp.float32)
    rows = len(sinograms)
    sets = [_starts(prior, problem, sinograms, masks, s, settings) for s in (validation_split, *splits)]
    validate = functools.partial(_validation_error, settings)
    theta = np.asarray(problem.A.geometry.theta_rad, float)
    trainable = _Trainable(prior.params, jnp.zeros(theta.size))
    moments = _optimiser(settings).init(trainable)
    error = float(validate(prior, trainable, problem, sets[0]))
    best, check_steps, errors, losses = (error, trainable, 0), [0], [error], []
    rng = np.random.default_rng([settings.seed, 1])
    for done in range(1, settings.steps + 1):
        picked = rng.choice(rows, min(settings.batch, rows), replace=False)
        validation, batch = (
            jax.tree.map(lambda a: a[picked], part)  # noqa: B023
            for part in (sets[0].target, sets[1 + (done - 1) % len(splits)])
        )
        trainable, moments, loss = _step(settings, trainable, moments, prior, problem, batch, validation)
        if settings.geometry_rate:
            trainable = dataclasses.replace(
                trainable, shifts=jnp.asarray(remove_object_shift(theta, trainable.shifts), jnp.float32)
            )
        losses.append(float(loss))
        if done % settings.check_every == 0 or done == settings.steps:
            if settings.geometry_rate:
                # The first iterates depend on the positions of the views.
                moved = _moved(problem, trainable.shifts)
                now = dataclasses.replace(prior, params=trainable.params)
                sets = [
                    _starts(now, moved, sinograms, masks, s, settings) for s in (validation_split, *splits)
                ]
            error = float(validate(prior, trainable, problem, sets[0]))
            check_steps.append(done)
            errors.append(error)
            if error < (1 - settings.margin) * best[0]:
                best = (error, trainable, done)
            if done - best[2] >= settings.patience * settings.check_every or not np.isfinite(error):
                break
        report(done, settings.steps)
    adapted = dataclasses.replace(prior, params=best[1].params, symmetric=symmetric)
    shifts = np.asarray(best[1].shifts, float)
    return ViewPrediction(
        adapted, shifts, best[2], check_steps, errors, losses, np.flatnonzero(validation_split.target)
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Trainable:
    """Trained quantities: parameters of the network, and shifts of the views, (views,), bins."""

    params: Any
    shifts: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Rows:
    """Rows of one split and the (iterate, state) where their loops start; every leaf has the rows first."""

    sinogram: Array
    used: Array
    target: Array
    wedge: Wedge
    start: tuple[Iterate, HQSState]


def _starts(prior, problem, sinograms, masks, split: Split, settings) -> _Rows:
    rows = len(sinograms)
    wedge = jax.tree.map(lambda a: jnp.full(rows, a, jnp.float32), split.wedge)
    used, target = (masks * jnp.asarray(part)[None, :, None] for part in (split.used, split.target))
    start = _start(HQS(prior, settings.rho), problem, sinograms, used, wedge)
    return _Rows(sinograms, used, target, wedge, start)


@jax.jit
def _start(loop, problem, sinograms, used, wedge):
    def one(sinogram, mask, wedge):
        row = _row(problem, sinogram, mask, wedge)
        return loop.init(row, jnp.zeros(row.A.shape, sinogram.dtype))

    return jax.vmap(one)(sinograms, used, wedge)


def _row(problem: SliceProblem, sinogram, mask, wedge) -> SliceProblem:
    return dataclasses.replace(problem.with_sinogram(sinogram, mask), wedge=wedge)


def _residuals(
    prior, trainable: _Trainable, problem: SliceProblem, settings, iterations, differentiate, rows: _Rows
):
    """Returns residuals ``A x - y`` of all views, (rows, views, columns), ``x`` from the used views.

    The second array has the same values, but no gradient flows through ``x``.
    """
    problem = _moved(problem, trainable.shifts)
    loop = HQS(dataclasses.replace(prior, params=trainable.params), settings.rho)

    def one(row: _Rows):
        row_problem = _row(problem, row.sinogram, row.used, row.wedge)
        x0, settings = row.start[0].x, dict(iterations=iterations, differentiate=differentiate)
        x = run(loop, row_problem, x0, start=row.start, **settings).value
        return problem.A(x) - row.sinogram, problem.A(jax.lax.stop_gradient(x)) - row.sinogram

    return jax.vmap(one)(rows)


def _moved(problem: SliceProblem, shifts) -> SliceProblem:
    """Returns the problem with its views shifted along the columns by ``shifts: (views,), bins``."""
    geometry = problem.A.geometry
    geometry = dataclasses.replace(geometry, shifts=geometry.shifts + shifts)
    return dataclasses.replace(problem, A=dataclasses.replace(problem.A, geometry=geometry))


def _squared(residuals, mask, sinograms):
    """Returns ``||M(A x - y)||^2 / ||M y||^2`` of all rows."""
    return jnp.sum((mask * residuals) ** 2) / jnp.sum((mask * sinograms) ** 2)


def _optimiser(settings: ViewPredictionSettings) -> optax.GradientTransformation:
    network = optax.chain(optax.clip_by_global_norm(settings.clip), optax.adam(settings.rate))
    shifts = optax.adam(settings.geometry_rate) if settings.geometry_rate else optax.set_to_zero()
    return optax.partition({"network": network, "shifts": shifts}, _Trainable("network", "shifts"))


@functools.partial(jax.jit, static_argnums=0)
def _validation_error(settings, prior, trainable: _Trainable, problem, rows: _Rows):
    residuals, _ = _residuals(prior, trainable, problem, settings, settings.validation_iterations, None, rows)
    return jnp.sqrt(_squared(residuals, rows.target, rows.sinogram))


@functools.partial(jax.jit, static_argnums=0)
def _step(settings, trainable: _Trainable, moments, prior, problem, rows: _Rows, validation):
    """Makes a step; the bins ``validation: (rows, views, columns)`` train only the shifts of their views."""

    def losses(trainable: _Trainable):
        if not settings.geometry_rate:
            trainable = dataclasses.replace(trainable, shifts=jax.lax.stop_gradient(trainable.shifts))
        residuals, fixed_image = _residuals(
            prior, trainable, problem, settings, settings.unrolled, "checkpoint", rows
        )
        loss = _squared(residuals, rows.target, rows.sinogram)
        validation_loss = _squared(fixed_image, validation, rows.sinogram) if settings.geometry_rate else 0.0
        return loss + validation_loss, loss

    gradients, loss = jax.grad(losses, has_aux=True)(trainable)
    updates, moments = _optimiser(settings).update(gradients, moments, trainable)
    return optax.apply_updates(trainable, updates), moments, jnp.sqrt(loss)
