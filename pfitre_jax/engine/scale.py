"""Numbers of a whole scan, from all its rows, whichever of them are asked for: scale, weight of TV."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.engine.compiled import compiled
from pfitre_jax.engine.support import image_support
from pfitre_jax.scan import Scan
from pfitre_jax.solvers.cg import data_step
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.scale import SCALE_ITERATIONS, SCALE_QUANTILE, SCALE_RHO
from pfitre_jax.solvers.weight import automatic_weight

#: At most this many rows, evenly spread over the scan, are looked at.
SAMPLE_ROWS = 32


def sample_rows(rows: int) -> np.ndarray:
    """At most :data:`SAMPLE_ROWS` of ``rows`` rows, evenly spread, ascending."""
    return np.unique(np.round(np.linspace(0, rows - 1, min(rows, SAMPLE_ROWS))).astype(int))


@jax.jit
def estimate_scale(
    problem: Problem,
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"],
    region: Float[Array, "ny nx"],
) -> Float[Array, ""]:
    """:func:`pfitre_jax.solvers.scale.reference_scale` with a mask for each slice.

    The quantile ``SCALE_QUANTILE`` of a quick, non-negative reconstruction of all slices together; their
    maximum where the object is so small that the quantile is 0; 1 for sinograms without signal.

    problem: supplies everything but sinogram and mask
    region: (ny, nx), 1 for the pixels that count
    """
    zero = jnp.zeros(problem.A.shape, sinograms.dtype)

    def quick(sinogram, mask):
        one = dataclasses.replace(problem, sinogram=sinogram, mask=mask)
        return data_step(one, zero, SCALE_RHO, zero, iterations=SCALE_ITERATIONS)

    images = jnp.where(region[None] > 0, jax.vmap(quick)(sinograms, masks), jnp.nan)
    scale, largest = jnp.nanquantile(images, SCALE_QUANTILE), jnp.nanmax(images)
    return jnp.where(scale > 0, scale, jnp.where(largest > 0, largest, 1.0))


def scan_scale(scan: Scan, problem: Problem) -> tuple[float, float]:
    """:func:`estimate_scale` of :func:`sample_rows` of a scan, and the seconds its compilation took.

    Looks inside the disc that every view sees, also where the support of ``problem`` is wider.
    """
    sinograms, masks = _sampled(scan)
    field = image_support(scan.geometry())
    margin = (problem.support.shape[0] - field.shape[0]) // 2
    region = np.pad(field, margin) * np.asarray(problem.support)
    executable, seconds = compiled(estimate_scale, problem, sinograms, masks, region)
    return float(executable(problem, sinograms, masks, region)), seconds


def scan_weight(scan: Scan, problem: Problem, scale: float) -> float:
    """The automatic weight of total variation, :func:`pfitre_jax.solvers.weight.automatic_weight`."""
    sinograms, masks = _sampled(scan)
    return float(_weight(problem.A, problem.norm_squared, sinograms / np.float32(scale), masks))


_weight = jax.jit(automatic_weight)


def _sampled(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Sinograms and masks (slices, views, columns) of :func:`sample_rows`."""
    rows = sample_rows(scan.rows)
    sinograms = np.ascontiguousarray(np.moveaxis(scan.projections[:, rows], 1, 0))
    return sinograms, np.moveaxis(scan.mask[:, rows], 1, 0).astype(np.float32)
