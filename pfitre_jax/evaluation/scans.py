"""Scans simulated on a grid twice as fine, so that no method is judged on its own discretisation."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.evaluation.cells import Cell
from pfitre_jax.evaluation.scenes import Scene, draw_scene, draw_volume
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.twin.instrument import Instrument, limited_angle_geometry, measure, quiet_instrument
from pfitre_jax.twin.projection import OVERSAMPLING, bin_down


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Scans:
    """A group of scans of one slice each, taken with one geometry; or the rows of one scan of a volume.

    problem: all but sinogram and mask, which are those of the first scan
    sinograms, masks: (scans, views, columns); truth: (scans, ny, nx)
    noise: (scans,), norm of what the noise changed in the valid bins: what an ideal residual would be
    """

    problem: SliceProblem
    sinograms: Float[Array, "scans views columns"]
    masks: Float[Array, "scans views columns"]
    truth: Float[Array, "scans ny nx"]
    noise: Float[Array, " scans"]

    def each(self, function, *args):
        """``function(problem, *args)`` of every scan, ``args`` with a leading axis of scans."""
        one = lambda y, mask, *args: function(self.problem.with_sinogram(y, mask), *args)  # noqa: E731
        return jax.vmap(one)(self.sinograms, self.masks, *args)


def scan_cell(cell: Cell, fine: Float[Array, "scans fy fx"]) -> Scans:
    """The scans of a cell of the scenes ``fine``, drawn twice as fine as they are reconstructed.

    A scene's noise depends on its seed alone: cells that differ in a factor share it.
    """
    return _scan(_keys(cell.seeds), fine, *_wedge(cell), **_instruments(cell), views=cell.views)


def scan_volume(cell: Cell, seed: int, fine: Float[Array, "rows fy fx"]) -> Scans:
    """The scan of one volume of a cell, as :func:`scan_cell`: what is wrong with it is so in all its rows."""
    [key] = _keys([seed])
    return _scan_volume(key, fine, *_wedge(cell), **_instruments(cell), views=cell.views)


def simulated(cell: Cell, rows: int, size: int) -> tuple[list[Scene], Scans]:
    """The scenes of a cell's seeds and their scans of ``size`` bins; of several ``rows``, of its one seed's
    volume.

    Errors are those of the source.
    """
    fine = OVERSAMPLING * size
    if rows > 1:
        [seed] = cell.seeds
        scene = draw_volume(cell.source, seed, rows, fine, 1 / size)
        return [scene], scan_volume(cell, seed, jnp.asarray(scene.image))
    scenes = [draw_scene(cell.source, seed, fine) for seed in cell.seeds]
    return scenes, scan_cell(cell, jnp.stack([scene.image for scene in scenes]))


def _keys(seeds):
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(20263), seed))(jnp.asarray(seeds))


def _wedge(cell: Cell):
    """Width and orientation, radians."""
    return jnp.deg2rad(jnp.asarray([cell.missing_deg, cell.wedge_center_deg], jnp.float32))


def _instruments(cell: Cell) -> dict[str, Instrument]:
    spoilt = {cell.artifact: (cell.strength, cell.strength)} if cell.artifact else {}
    noise = {"noise": (cell.noise, cell.noise)}
    instrument = quiet_instrument(**(noise | spoilt))
    return {
        "instrument": instrument,
        "silent": dataclasses.replace(instrument, noise=(0.0, 0.0), counts=(0.0, 0.0)),
    }


_STATIC = ("instrument", "silent", "views")


@functools.partial(jax.jit, static_argnames=_STATIC)
def _scan(keys, fine, missing_rad, orientation_rad, *, instrument, silent, views):
    truth = jax.vmap(bin_down)(fine)
    n = truth.shape[-1]
    geometry, wedge = limited_angle_geometry(missing_rad, orientation_rad, views, n)

    def one(key, image):
        with_noise = measure(key, instrument, geometry, image[None])
        without = measure(key, silent, geometry, image[None])
        y, mask = with_noise.sinograms[0], with_noise.mask
        return y, mask, jnp.linalg.norm(mask * (y - without.sinograms[0]))

    sinograms, masks, noise = jax.lax.map(lambda args: one(*args), (keys, fine))
    return _scans(geometry, wedge, sinograms, masks, truth, noise)


@functools.partial(jax.jit, static_argnames=_STATIC)
def _scan_volume(key, fine, missing_rad, orientation_rad, *, instrument, silent, views):
    truth = jax.vmap(bin_down)(fine)
    geometry, wedge = limited_angle_geometry(missing_rad, orientation_rad, views, truth.shape[-1])
    made, without = (measure(key, used, geometry, fine, volume=True) for used in (instrument, silent))
    masks = jnp.broadcast_to(made.mask, made.sinograms.shape)
    noise = jnp.linalg.norm(masks * (made.sinograms - without.sinograms), axis=(1, 2))
    return _scans(geometry, wedge, made.sinograms, masks, truth, noise)


def _scans(geometry, wedge, sinograms, masks, truth, noise) -> Scans:
    problem = SliceProblem.create(Projector(geometry, truth.shape[1:]), sinograms[0], masks[0], wedge=wedge)
    return Scans(problem, sinograms, masks, truth, noise)
