"""Training batches: truth, simulated scan and initial iterate of the loop, in one jitted program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.estimation.calibrate import estimate_parameters
from pfitre_jax.interfaces import Iterate, Prior, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.nonnegative import Nonnegative
from pfitre_jax.solvers.hqs import HQS, HQSState
from pfitre_jax.solvers.parameters.tv_weight import tv_weight_from_noise, unclipped_rho
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.volume_problem import VolumeProblem
from pfitre_jax.solvers.wrappers.coarse_to_fine import CoarseToFine
from pfitre_jax.twin.instrument import Instrument, draw_geometry, measure
from pfitre_jax.twin.projection import OVERSAMPLING, bin_down
from pfitre_jax.twin.scenes.bank import Bank
from pfitre_jax.twin.scenes.mixture import SceneMixture, sample_scenes, sample_volume, scenes_of_keys

#: Largest factor between the scale of a batch and the estimated scale, because slices of a scan differ.
SCALE_JITTER = 1.25
#: Iterations of the reconstruction that estimates the scale: within 5% of the converged scale, far below the
#: jitter.
SCALE_ITERATIONS = 4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Slices of one simulated scan, and the state of the reconstruction loop on each.

    Attributes:
        problem: Problem of the first slice; the others differ in the sinogram.
        sinograms: (slices, views, columns), line integrals divided by the scale.
        truth: (slices, ny, nx), divided by the scale.
        noise: (), relative noise level.
        iterate: Iterates of the loop, with a leading axis of slices, or that of the volume.
        state: Private states of the loop, with the same leading axis.
        rho: (), prior strength.
        k: (), iterations done.
        volume: Whether the slices are the rows of one volume, which one loop reconstructs.
    """

    problem: SliceProblem
    sinograms: Float[Array, "slices views columns"]
    truth: Float[Array, "slices ny nx"]
    noise: Float[Array, ""]
    iterate: Iterate
    state: HQSState
    rho: Float[Array, ""]
    k: Float[Array, ""]
    volume: bool = dataclasses.field(default=False, metadata={"static": True})

    @classmethod
    def shares(cls, whole: Any, part: Any) -> Batch:
        """Returns a batch of ``part`` for arrays with an axis of slices, and of ``whole`` otherwise."""
        return cls(whole, part, part, whole, part, part, whole, whole)

    def each(self, function: Callable[..., Any], *args: Any) -> Any:
        """Returns ``function(problem, *args)`` of every slice, vmapped, or of the whole volume."""
        return _each(self.problem, self.sinograms, self.volume, function, *args)


@dataclasses.dataclass(frozen=True)
class PairSettings:
    """Settings of training pairs.

    Attributes:
        size: Number of pixels and bins.
        slices: Number of slices in a scan.
        rho: Range of the prior strength, log-uniform.
        rho_jitter: Largest factor between the prior strength and the noise law
            :func:`pfitre_jax.solvers.parameters.tv_weight.unclipped_rho` of the true noise, log-uniform
            either way. Both the law and the result are clipped to ``rho``. 0: the prior strength does not
            depend on the noise.
        cg_iterations: Conjugate gradient iterations in each data step.
        distinct: Number of distinct scenes, which are then drawn repeatedly; 0 for no limit.
        volume: Whether the slices are the rows of one volume with cubic voxels; the scenes are then those of
            :func:`pfitre_jax.twin.scenes.mixture.sample_volume`.
    """

    size: int = 96
    slices: int = 8
    rho: tuple[float, float] = (0.005, 0.08)
    cg_iterations: int = 5
    distinct: int = 0
    volume: bool = False
    rho_jitter: float = 0.0

    def __post_init__(self) -> None:
        if self.rho_jitter != 0 and not 1 <= self.rho_jitter < float("inf"):
            raise ValueError(
                f"rho_jitter is {self.rho_jitter:g}; expected a factor of at least 1, or 0 for a prior "
                "strength that does not depend on the noise"
            )


def draw_training_scenes(
    key: Array, scenes: SceneMixture, settings: PairSettings, banks: Mapping[str, Bank] | None = None
) -> Float[Array, "slices fy fx"]:
    """Draws scenes in [0, 1], :data:`OVERSAMPLING` times finer than they are reconstructed.

    Args:
        key: Random key.
        scenes: Mixture of scenes.
        settings: Settings of the pairs.
        banks: Banks of the families that are cut from files.
    """
    n = OVERSAMPLING * settings.size
    if settings.volume:
        if settings.distinct:
            key = jax.random.fold_in(jax.random.key(0), jax.random.randint(key, (), 0, settings.distinct))
        return sample_volume(scenes, key, settings.slices, n, 1 / settings.size, banks)
    if not settings.distinct:
        return sample_scenes(scenes, key, settings.slices, n, banks)
    numbers = jax.random.randint(key, (settings.slices,), 0, settings.distinct)
    return scenes_of_keys(
        scenes, jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), numbers), n, banks
    )


def simulate_slices(
    key: Array, fine: Float[Array, "slices fy fx"], instrument: Instrument, views: int, volume: bool = False
) -> tuple[
    SliceProblem,
    Float[Array, "slices views columns"],
    Float[Array, "slices ny nx"],
    Float[Array, ""],
]:
    """Simulates one scan, not yet scaled.

    Args:
        key: Random key.
        fine: (slices, fy, fx), its scenes.
        instrument: Ranges of the wedge and the artifacts.
        views: Number of views.
        volume: Whether the slices are the rows of one volume.

    Returns:
        The problem of the first slice, sinograms (slices, views, columns), truth (slices, ny, nx) and the
        relative noise level, ().
    """
    k_geometry, k_measure = jax.random.split(key)
    n = fine.shape[-1] // OVERSAMPLING
    geometry, wedge = draw_geometry(k_geometry, instrument, views, n)
    scan = measure(k_measure, instrument, geometry, fine, volume)
    A = Projector(geometry, (n, n))
    problem = SliceProblem.create(A, scan.sinograms[0], scan.mask, wedge=wedge)
    truth = jax.vmap(bin_down)(fine)
    return problem, scan.sinograms, truth, scan.noise


def start_batch(
    key: Array,
    fine: Float[Array, "slices fy fx"],
    instrument: Instrument,
    settings: PairSettings,
    views: int,
    initial_iterations: int = 0,
    coarse_prior: Prior | None = None,
) -> Batch:
    """Simulates a scan, scales it and performs the first data step of the loop.

    Args:
        key: Random key.
        fine: (slices, fy, fx), scenes, see :func:`draw_training_scenes`.
        instrument: Ranges of the wedge and the artifacts.
        settings: Settings of the pairs.
        views: Number of views.
        initial_iterations: Iterations of the initial estimate, see :class:`HQS`.
        coarse_prior: Prior of the loop at half the resolution whose result the loop starts from; None to
            start from zeros.
    """
    k_scan, k_rho, k_jitter = jax.random.split(key, 3)
    problem, sinograms, truth, noise = simulate_slices(k_scan, fine, instrument, views, settings.volume)
    jitter = jnp.exp(jax.random.uniform(k_jitter, minval=-1, maxval=1) * jnp.log(SCALE_JITTER))
    estimates = estimate_parameters(problem, sinograms, until="scale", scale_iterations=SCALE_ITERATIONS)
    scale = estimates.scale * jitter
    sinograms, truth = sinograms / scale, truth / scale
    rho = _draw_rho(k_rho, settings, problem, sinograms, noise)
    # The first data step of the loop does not use its prior.
    prior = Nonnegative() if coarse_prior is None else coarse_prior
    loop: Solver = HQS(prior, rho, settings.cg_iterations, initial_iterations=initial_iterations)
    if coarse_prior is not None:
        loop = CoarseToFine(loop, fewest_columns=settings.size // 2)
    iterate, state = _each(problem, sinograms, settings.volume, loop.init, jnp.zeros_like(truth))
    return Batch(problem, sinograms, truth, noise, iterate, state, rho, jnp.array(0), settings.volume)


def _draw_rho(
    key: Array,
    settings: PairSettings,
    problem: SliceProblem,
    sinograms: Float[Array, "slices views columns"],
    noise: Float[Array, ""],
) -> Float[Array, ""]:
    """Draws the prior strength of a scan, see :class:`PairSettings`.

    Args:
        key: Random key.
        settings: Settings of the pairs.
        problem: The geometry and the mask.
        sinograms: (slices, views, columns), line integrals divided by the scale.
        noise: (), standard deviation of the noise, relative to the maximum of each sinogram.
    """
    low, high = settings.rho
    if not settings.rho_jitter:
        return jnp.exp(jax.random.uniform(key, minval=jnp.log(low), maxval=jnp.log(high)))
    # The estimate of a scan's noise that reconstructions use is a median, too.
    sigma = noise * jnp.median(jnp.max(sinograms, axis=(1, 2)))
    # The law alone is far below the range where there is little noise: the jitter starts within it.
    law = jnp.clip(unclipped_rho(tv_weight_from_noise(problem, sigma, smallest=0.0)), low, high)
    factor = jnp.exp(jax.random.uniform(key, minval=-1, maxval=1) * jnp.log(settings.rho_jitter))
    return jnp.clip(law * factor, low, high)


def _each(
    problem: SliceProblem, sinograms: Array, volume: bool, function: Callable[..., Any], *args: Any
) -> Any:
    """Returns ``function(problem, *args)`` of every slice, vmapped, or of the whole volume."""
    if volume:
        return function(VolumeProblem.create(problem, sinograms, problem.mask), *args)
    call = lambda y, *a: function(problem.with_sinogram(y), *a)  # noqa: E731
    return jax.vmap(call)(sinograms, *args)
