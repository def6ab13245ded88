"""Simulated scans of an evaluation, projected on a finer grid than any method uses."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

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
    """Scans of one slice each with the same geometry, or the rows of one scan of a volume.

    Attributes:
        problem: The problem of the first scan; the others differ in sinogram and mask.
        sinograms: (scans, views, columns), line integrals in bins.
        masks: (scans, views, columns), 1 for a valid bin, else 0.
        truth: (scans, ny, nx).
        noise: (scans,), norm of the noise in the valid bins, which is that of an ideal residual.
    """

    problem: SliceProblem
    sinograms: Float[Array, "scans views columns"]
    masks: Float[Array, "scans views columns"]
    truth: Float[Array, "scans ny nx"]
    noise: Float[Array, " scans"]

    def each(self, function: Callable[..., Any], *args: Any) -> Any:
        """Returns ``function(problem, *args)`` of every scan; ``args`` have a leading axis of scans."""
        one = lambda y, mask, *args: function(self.problem.with_sinogram(y, mask), *args)  # noqa: E731
        return jax.vmap(one)(self.sinograms, self.masks, *args)


def scan_cell(cell: Cell, fine: Float[Array, "scans fy fx"]) -> Scans:
    """Simulates the scans of a cell.

    The noise of a scene depends only on its seed, so that cells that differ in a factor share it.

    Args:
        cell: The cell.
        fine: (scans, fy, fx), its scenes, drawn :data:`pfitre_jax.twin.projection.OVERSAMPLING` times finer
            than they are reconstructed.
    """
    return _scan(_keys(cell.seeds), fine, *_wedge(cell), **_instruments(cell), views=cell.views)


def scan_volume(cell: Cell, seed: int, fine: Float[Array, "rows fy fx"]) -> Scans:
    """Simulates the scan of one volume, (rows, fy, fx), of a cell; its rows share the artifacts."""
    [key] = _keys([seed])
    return _scan_volume(key, fine, *_wedge(cell), **_instruments(cell), views=cell.views)


def simulate_cell(cell: Cell, rows: int, size: int) -> tuple[list[Scene], Scans]:
    """Draws the scenes of a cell and simulates their scans.

    Args:
        cell: The cell; it has one seed where there are several rows.
        rows: Rows of each scene, which is a volume if there is more than one.
        size: Number of pixels and bins.

    Raises:
        FileNotFoundError: If the files of the cell's source do not exist.
    """
    fine = OVERSAMPLING * size
    if rows > 1:
        [seed] = cell.seeds
        scene = draw_volume(cell.source, seed, rows, fine, 1 / size)
        return [scene], scan_volume(cell, seed, jnp.asarray(scene.image))
    scenes = [draw_scene(cell.source, seed, fine) for seed in cell.seeds]
    return scenes, scan_cell(cell, jnp.stack([scene.image for scene in scenes]))


def _keys(seeds: Sequence[int]) -> Array:
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(20263), seed))(jnp.asarray(seeds))


def _wedge(cell: Cell) -> Array:
    """Returns width and orientation of the wedge, radians, (2,)."""
    return jnp.deg2rad(jnp.asarray([cell.missing_deg, cell.wedge_center_deg], jnp.float32))


def _instruments(cell: Cell) -> dict[str, Instrument]:
    artifact = {cell.artifact: (cell.strength, cell.strength)} if cell.artifact else {}
    noise = {"noise": (cell.noise, cell.noise)}
    noise_free = {"noise": (0.0, 0.0), "counts": (0.0, 0.0)}
    return {
        "instrument": quiet_instrument(**(noise | artifact)),
        "noise_free": quiet_instrument(**(artifact | noise_free)),
    }


_STATIC = ("instrument", "noise_free", "views")


@functools.partial(jax.jit, static_argnames=_STATIC)
def _scan(keys, fine, missing_rad, orientation_rad, *, instrument, noise_free, views):
    truth = jax.vmap(bin_down)(fine)
    n = truth.shape[-1]
    geometry, wedge = limited_angle_geometry(missing_rad, orientation_rad, views, n)

    def one(key, image):
        with_noise = measure(key, instrument, geometry, image[None])
        without = measure(key, noise_free, geometry, image[None])
        y, mask = with_noise.sinograms[0], with_noise.mask
        return y, mask, jnp.linalg.norm(mask * (y - without.sinograms[0]))

    sinograms, masks, noise = jax.lax.map(lambda args: one(*args), (keys, fine))
    return _scans(geometry, wedge, sinograms, masks, truth, noise)


@functools.partial(jax.jit, static_argnames=_STATIC)
def _scan_volume(key, fine, missing_rad, orientation_rad, *, instrument, noise_free, views):
    truth = jax.vmap(bin_down)(fine)
    geometry, wedge = limited_angle_geometry(missing_rad, orientation_rad, views, truth.shape[-1])
    with_noise, without = (
        measure(key, used, geometry, fine, volume=True) for used in (instrument, noise_free)
    )
    masks = jnp.broadcast_to(with_noise.mask, with_noise.sinograms.shape)
    noise = jnp.linalg.norm(masks * (with_noise.sinograms - without.sinograms), axis=(1, 2))
    return _scans(geometry, wedge, with_noise.sinograms, masks, truth, noise)


def _scans(geometry, wedge, sinograms, masks, truth, noise) -> Scans:
    problem = SliceProblem.create(Projector(geometry, truth.shape[1:]), sinograms[0], masks[0], wedge=wedge)
    return Scans(problem, sinograms, masks, truth, noise)
