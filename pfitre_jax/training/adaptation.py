"""A prior adapted to one scan, without truth: it learns to predict views that it is not shown.

Where the views lie can be learned with it, through the same loop: a view that is given is moved to where the
others are predicted best, one that is predicted to where its prediction is.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge, remove_object_shift
from pfitre_jax.interfaces import Iterate
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.solvers.hqs import HQS, HQSState
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Fewer views than this leave nothing to predict.
FEWEST_VIEWS = 12


@dataclasses.dataclass(frozen=True)
class AdaptationSettings:
    """steps: at most; rate: of Adam; clip: global norm that gradients are clipped to
    geometry_rate: of Adam, for the views' shifts, bins; 0: they are as the problem's geometry says

    unrolled: iterations of the loop that a step differentiates through; judged_iterations: of the loop whose
        prediction decides when to stop
    rho: of the loop: that of a reconstruction afterwards at 1% noise and less
    splits: ways of leaving views out that the steps take turns in; share: of the views, left out in each
    judged_share: of the views, that no step sees
    check_every: steps between two looks at the judged views; patience: looks without a better one; margin:
        part by which the error must have fallen to be better, a choice
    batch: rows of a step; seed: of splits and rows
    """

    steps: int = 120
    rate: float = 3e-5
    clip: float = 1.0
    geometry_rate: float = 0.0
    unrolled: int = 3
    judged_iterations: int = 6
    rho: float = 0.005
    splits: int = 6
    share: float = 0.2
    judged_share: float = 0.15
    check_every: int = 10
    patience: int = 3
    margin: float = 0.005
    batch: int = 4
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Split:
    """given, target: (views,), 1 for views to reconstruct from and for those to predict, else 0; wedge: of
    the given ones."""

    given: np.ndarray
    target: np.ndarray
    wedge: Wedge


@dataclasses.dataclass(frozen=True)
class Adapted:
    """prior: the best one, the first where none was better; step: it was found at, 0 for the first
    shifts: (views,), bins, found with it, to be added to the geometry's; without what moves the object in its
        plane, which no scan tells

    looks: the steps at which the judged views were looked at; errors: there,
    ``norm(M(Ax-y))/norm(My)`` over the judged views; losses: of every step, the same over its target views
    judged: indices of the views that no step saw, but to move them where views are free
    """

    prior: NetworkPrior
    shifts: np.ndarray
    step: int
    looks: list[int]
    errors: list[float]
    losses: list[float]
    judged: np.ndarray

    @property
    def error(self) -> float:
        """Of the judged views, with the prior that was kept."""
        return self.errors[self.looks.index(self.step)]


def make_splits(theta_rad, settings: AdaptationSettings) -> tuple[Split, list[Split]]:
    """The split that is judged, and those to learn from, which leave its target views out altogether.

    Half of what is judged lies at one end of the angular range, where the prediction is an extrapolation into
    the wedge, the rest is spread. The others leave out in turns a block at an end and spread views.

    theta_rad: (views,); ``ValueError`` for fewer than :data:`FEWEST_VIEWS` of them
    """
    theta = np.asarray(theta_rad, float)
    views = theta.size
    if views < FEWEST_VIEWS:
        raise ValueError(f"the scan has {views} views; expected at least {FEWEST_VIEWS}, to leave some out")
    wedge = Wedge.from_angles(theta)
    # From one edge of the wedge to the other.
    order = np.argsort(np.mod(theta - float(wedge.center_rad), np.pi))
    rng = np.random.default_rng(settings.seed)

    def split(known: np.ndarray, left_out: np.ndarray) -> Split:
        given = np.zeros(views, np.float32)
        given[np.setdiff1d(known, left_out)] = 1
        target = np.zeros(views, np.float32)
        target[left_out] = 1
        return Split(given, target, Wedge.from_angles(theta[given > 0]))

    number = max(2, round(settings.judged_share * views))
    end, rest = order[: number // 2], order[number // 2 :]
    spread = rest[np.linspace(0, rest.size - 1, number - end.size + 2).round().astype(int)[1:-1]]
    judged = np.concatenate([end, spread])
    known = order[~np.isin(order, judged)]
    number = max(1, round(settings.share * known.size))
    splits = []
    for k in range(settings.splits):
        if k % 2:
            left_out = rng.choice(known, number, replace=False)
        else:
            # Of several sizes.
            size = max(1, round(number * (1 - k / (2 * settings.splits))))
            left_out = known[:size] if k % 4 else known[-size:]
        splits.append(split(known, left_out))
    return split(order, judged), splits


def adapt(
    prior: NetworkPrior,
    problem: SliceProblem,
    sinograms: Float[Array, "rows views columns"],
    masks: Float[Array, "rows views columns"],
    settings: AdaptationSettings | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Adapted:
    """``prior`` adapted to the rows of one scan, by gradient steps through the unrolled loop.

    Each step leaves some views out, reconstructs a few rows from the others and lowers the squared error of
    the prediction of those left out (as Noise2Self does with pixels: Batson & Royer, ICML 2019). It stops
    when views that no step ever saw are predicted no better; with a ``geometry_rate`` each step also moves
    these to where they are predicted, and learns nothing else from them.

    problem: supplies everything but sinogram and mask; sinograms: divided by the scan's scale
    report: called with steps made and steps in all

    ``ValueError`` where :func:`make_splits` raises it.
    """
    settings = AdaptationSettings() if settings is None else settings
    judge, splits = make_splits(problem.A.geometry.theta_rad, settings)
    symmetric, prior = prior.symmetric, dataclasses.replace(prior, symmetric=False)
    sinograms, masks = jnp.asarray(sinograms), jnp.asarray(masks, jnp.float32)
    rows = len(sinograms)
    sets = [_starts(prior, problem, sinograms, masks, s, settings) for s in (judge, *splits)]
    look = functools.partial(_look, settings)
    theta = np.asarray(problem.A.geometry.theta_rad, float)
    free = _Free(prior.params, jnp.zeros(theta.size))
    moments = _optimiser(settings).init(free)
    error = float(look(prior, free, problem, sets[0]))
    best, looks, errors, losses = (error, free, 0), [0], [error], []
    rng = np.random.default_rng([settings.seed, 1])
    for done in range(1, settings.steps + 1):
        picked = rng.choice(rows, min(settings.batch, rows), replace=False)
        judged, batch = (
            jax.tree.map(lambda a: a[picked], part)  # noqa: B023
            for part in (sets[0].target, sets[1 + (done - 1) % len(splits)])
        )
        free, moments, loss = _step(settings, free, moments, prior, problem, batch, judged)
        if settings.geometry_rate:
            free = dataclasses.replace(
                free, shifts=jnp.asarray(remove_object_shift(theta, free.shifts), jnp.float32)
            )
        losses.append(float(loss))
        if done % settings.check_every == 0 or done == settings.steps:
            if settings.geometry_rate:
                # Where the loops start belongs to where the views lie.
                moved = _moved(problem, free.shifts)
                now = dataclasses.replace(prior, params=free.params)
                sets = [_starts(now, moved, sinograms, masks, s, settings) for s in (judge, *splits)]
            error = float(look(prior, free, problem, sets[0]))
            looks.append(done)
            errors.append(error)
            if error < (1 - settings.margin) * best[0]:
                best = (error, free, done)
            if done - best[2] >= settings.patience * settings.check_every or not np.isfinite(error):
                break
        report(done, settings.steps)
    adapted = dataclasses.replace(prior, params=best[1].params, symmetric=symmetric)
    shifts = np.asarray(best[1].shifts, float)
    return Adapted(adapted, shifts, best[2], looks, errors, losses, np.flatnonzero(judge.target))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Free:
    """What steps change: the network's parameters and the views' shifts, (views,)."""

    params: object
    shifts: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Rows:
    """Rows of one split and the (iterate, state) where their loops start; every leaf has the rows first."""

    sinogram: Array
    given: Array
    target: Array
    wedge: Wedge
    start: tuple[Iterate, HQSState]


def _starts(prior, problem, sinograms, masks, split: Split, settings) -> _Rows:
    rows = len(sinograms)
    wedge = jax.tree.map(lambda a: jnp.full(rows, a, jnp.float32), split.wedge)
    given, target = (masks * jnp.asarray(part)[None, :, None] for part in (split.given, split.target))
    start = _start(HQS(prior, settings.rho), problem, sinograms, given, wedge)
    return _Rows(sinograms, given, target, wedge, start)


@jax.jit
def _start(loop, problem, sinograms, given, wedge):
    def one(sinogram, mask, wedge):
        row = _row(problem, sinogram, mask, wedge)
        return loop.init(row, jnp.zeros(row.A.shape, sinogram.dtype))

    return jax.vmap(one)(sinograms, given, wedge)


def _row(problem: SliceProblem, sinogram, mask, wedge) -> SliceProblem:
    return dataclasses.replace(problem.with_sinogram(sinogram, mask), wedge=wedge)


def _residuals(prior, free: _Free, problem: SliceProblem, settings, iterations, differentiate, rows: _Rows):
    """``A x - y`` of all views, (rows, views, columns), ``x`` from the given ones; and the same without a
    gradient to what ``x`` was made with."""
    problem = _moved(problem, free.shifts)
    loop = HQS(dataclasses.replace(prior, params=free.params), settings.rho)

    def one(row: _Rows):
        given = _row(problem, row.sinogram, row.given, row.wedge)
        x0, settings = row.start[0].x, dict(iterations=iterations, differentiate=differentiate)
        x = run(loop, given, x0, start=row.start, **settings).value
        return problem.A(x) - row.sinogram, problem.A(jax.lax.stop_gradient(x)) - row.sinogram

    return jax.vmap(one)(rows)


def _moved(problem: SliceProblem, shifts) -> SliceProblem:
    """``problem`` with its views further along the columns by ``shifts (views,)``."""
    geometry = problem.A.geometry
    geometry = dataclasses.replace(geometry, shifts=geometry.shifts + shifts)
    return dataclasses.replace(problem, A=dataclasses.replace(problem.A, geometry=geometry))


def _squared(residuals, mask, sinograms):
    """``|M(Ax-y)|^2 / |My|^2`` of all rows."""
    return jnp.sum((mask * residuals) ** 2) / jnp.sum((mask * sinograms) ** 2)


def _optimiser(settings: AdaptationSettings) -> optax.GradientTransformation:
    network = optax.chain(optax.clip_by_global_norm(settings.clip), optax.adam(settings.rate))
    shifts = optax.adam(settings.geometry_rate) if settings.geometry_rate else optax.set_to_zero()
    return optax.partition({"network": network, "shifts": shifts}, _Free("network", "shifts"))


@functools.partial(jax.jit, static_argnums=0)
def _look(settings, prior, free: _Free, problem, rows: _Rows):
    residuals, _ = _residuals(prior, free, problem, settings, settings.judged_iterations, None, rows)
    return jnp.sqrt(_squared(residuals, rows.target, rows.sinogram))


@functools.partial(jax.jit, static_argnums=0)
def _step(settings, free: _Free, moments, prior, problem, rows: _Rows, judged):
    """judged: (rows, views, columns), the views that lose no more than their own shifts' error."""

    def losses(free: _Free):
        if not settings.geometry_rate:
            free = dataclasses.replace(free, shifts=jax.lax.stop_gradient(free.shifts))
        residuals, as_it_is = _residuals(
            prior, free, problem, settings, settings.unrolled, "checkpoint", rows
        )
        loss = _squared(residuals, rows.target, rows.sinogram)
        own = _squared(as_it_is, judged, rows.sinogram) if settings.geometry_rate else 0.0
        return loss + own, loss

    gradients, loss = jax.grad(losses, has_aux=True)(free)
    updates, moments = _optimiser(settings).update(gradients, moments, free)
    return optax.apply_updates(free, updates), moments, jnp.sqrt(loss)
