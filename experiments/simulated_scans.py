"""Scans of the digital twin, of circuits that no prior was trained on, with their truth."""

from __future__ import annotations

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

import pfitre_jax as pf
from pfitre_jax.evaluate.cells import Cell
from pfitre_jax.evaluate.scans import scan_cell
from pfitre_jax.evaluate.scenes import draw
from pfitre_jax.twin.projecting import OVERSAMPLING


@dataclasses.dataclass(frozen=True)
class Twin:
    """size: pixels and bins; spacing_deg: of the views; orientation_deg: middle of the wedge
    seeds: of the scenes, :func:`pfitre_jax.twin.scenes.heldout.heldout`; each is one row of the scan
    prior: of ``pfitre``
    """

    size: int = 128
    spacing_deg: float = 2.0
    orientation_deg: float = 22.5
    seeds: tuple[int, ...] = tuple(range(7000, 7016))
    prior: str = "circuits"


def simulate(twin: Twin, missing_deg: float, *, noise: float = 0.0, photons: float = 0.0):
    """A scan with a wedge of ``missing_deg`` left out, and its truth (rows, ny, nx).

    noise: Gaussian, sigma over the sinogram's maximum
    photons: in the brightest bin, of Poisson noise; 0 for none
    """
    cell = Cell(
        factor="",
        value="",
        methods=(),
        wedge_center_deg=twin.orientation_deg,
        missing_deg=missing_deg,
        views=round((180 - missing_deg) / twin.spacing_deg),
        noise=noise,
        source="heldout",
        seeds=twin.seeds,
        artifact="counts" if photons else "",
        strength=photons,
    )
    scans = scan_cell(cell, _scenes(twin))
    geometry = scans.problem.A.geometry
    scan = pf.Scan.create(
        np.moveaxis(np.asarray(scans.sinograms), 0, 1), geometry.theta_rad, center=float(geometry.center)
    )
    return scan, np.asarray(scans.truth)


@functools.lru_cache(maxsize=1)
def _scenes(twin: Twin):
    return jnp.stack([draw("heldout", seed, OVERSAMPLING * twin.size).image for seed in twin.seeds])
