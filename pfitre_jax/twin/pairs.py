"""From scenes to training batches: truth, simulated scan and first reconstruction, in one jitted program."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.estimation.calibrate import estimate_parameters
from pfitre_jax.interfaces import Iterate
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.hqs import HQS, HQSState
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.volume_problem import VolumeProblem
from pfitre_jax.twin.instrument import Instrument, draw_geometry, measure
from pfitre_jax.twin.projection import OVERSAMPLING, bin_down
from pfitre_jax.twin.scenes.bank import Bank
from pfitre_jax.twin.scenes.mixture import SceneMixture, batch, each, volume

#: Image values may lie this factor above or below the scale of the scan: slices of one scan differ.
SCALE_JITTER = 1.25
#: Iterations of the scale's reconstruction: within 5% of what a scan's own takes, far below the jitter.
SCALE_ITERATIONS = 4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Slices of one simulated scan and where the reconstruction loop stands on each.

    problem: shared by the slices, but for the sinogram
    sinograms: (slices, views, columns); truth: (slices, ny, nx); noise: (), relative noise level
    iterate, state: of the loop on every slice, or of the one on the volume; rho: (); k: (), iterations done
    volume: whether the slices are the rows of one volume, and the loop is that of all of them together
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
    def shares(cls, whole, part) -> Batch:
        """A batch of ``part`` where arrays of independent slices have these first, and of ``whole``
        elsewhere."""
        return cls(whole, part, part, whole, part, part, whole, whole)

    def each(self, function, *args):
        """``function(problem, *slice_args)`` for every slice, vmapped; for a volume once, with all rows."""
        if self.volume:
            return function(VolumeProblem.create(self.problem, self.sinograms, self.problem.mask), *args)
        call = lambda y, *a: function(self.problem.with_sinogram(y), *a)  # noqa: E731
        return jax.vmap(call)(self.sinograms, *args)


@dataclasses.dataclass(frozen=True)
class PairSettings:
    """size: pixels and bins; slices: per scan; rho: range, log-uniform; cg_iterations: of a data step;
    distinct: number of scenes that there are, each seen again and again, 0 for no end of them
    volume: whether the slices are the rows of one volume, of cubic voxels; the scenes are then of
        :func:`pfitre_jax.twin.scenes.mixture.volume`
    """

    size: int = 96
    slices: int = 8
    rho: tuple[float, float] = (0.005, 0.08)
    cg_iterations: int = 5
    distinct: int = 0
    volume: bool = False


def draw(
    key, scenes: SceneMixture, settings: PairSettings, banks: Mapping[str, Bank] | None = None
) -> Float[Array, "slices fy fx"]:
    """``settings.slices`` scenes in [0, 1], ``OVERSAMPLING`` times finer than they are reconstructed.

    banks: of the families that come from files, see :func:`pfitre_jax.twin.scenes.mixture.sample`
    """
    n = OVERSAMPLING * settings.size
    if settings.volume:
        if settings.distinct:
            key = jax.random.fold_in(jax.random.key(0), jax.random.randint(key, (), 0, settings.distinct))
        return volume(scenes, key, settings.slices, n, 1 / settings.size, banks)
    if not settings.distinct:
        return batch(scenes, key, settings.slices, n, banks)
    numbers = jax.random.randint(key, (settings.slices,), 0, settings.distinct)
    return each(scenes, jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), numbers), n, banks)


def simulate(
    key, fine: Float[Array, "slices fy fx"], instrument: Instrument, views: int, volume: bool = False
):
    """One scan of the scenes ``fine``: ``(problem, sinograms, truth, noise)``, not yet scaled.

    volume: whether they are the rows of one volume

    The problem has the mask of the scan and the sinogram of the first slice.
    """
    k_geometry, k_measure = jax.random.split(key)
    n = fine.shape[-1] // OVERSAMPLING
    geometry, wedge = draw_geometry(k_geometry, instrument, views, n)
    scan = measure(k_measure, instrument, geometry, fine, volume)
    A = Projector(geometry, (n, n))
    problem = SliceProblem.create(A, scan.sinograms[0], scan.mask, wedge=wedge)
    truth = jax.vmap(bin_down)(fine)
    return problem, scan.sinograms, truth, scan.noise


def start(
    key,
    fine,
    instrument: Instrument,
    settings: PairSettings,
    views: int,
    first_iterations: int = 0,
) -> Batch:
    """A fresh training batch of the scenes ``fine`` (slices, fy, fx), see :func:`draw`: a simulated scan,
    scaled, with the loop's first data step done.

    first_iterations: of the first reconstruction before it, see :class:`HQS`
    """
    k_scan, k_rho, k_jitter = jax.random.split(key, 3)
    problem, sinograms, truth, noise = simulate(k_scan, fine, instrument, views, settings.volume)
    jitter = jnp.exp(jax.random.uniform(k_jitter, minval=-1, maxval=1) * jnp.log(SCALE_JITTER))
    estimates = estimate_parameters(problem, sinograms, until="scale", scale_iterations=SCALE_ITERATIONS)
    scale = estimates.scale * jitter
    sinograms, truth = sinograms / scale, truth / scale
    rho = jnp.exp(jax.random.uniform(k_rho, minval=jnp.log(settings.rho[0]), maxval=jnp.log(settings.rho[1])))
    loop = HQS(None, rho, settings.cg_iterations, initial_iterations=first_iterations)
    blank = jnp.zeros_like(truth)
    fresh = Batch(problem, sinograms, truth, noise, None, None, rho, jnp.array(0), settings.volume)
    iterate, state = fresh.each(loop.init, blank)
    return dataclasses.replace(fresh, iterate=iterate, state=state)
