"""Scale and noise of a whole scan, from all its rows, whichever of them are asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.support import image_support
from pfitre_jax.runtime.compilation import compiled
from pfitre_jax.solvers.parameters.noise import noise_level, scan_noise
from pfitre_jax.solvers.parameters.scale import reference_scale
from pfitre_jax.solvers.parameters.tv_weight import automatic_weight
from pfitre_jax.solvers.problem import Problem

if TYPE_CHECKING:
    from pfitre_jax.data.stored_scan import StoredScan

#: At most this many rows, evenly spread over the scan, are looked at.
SAMPLE_ROWS = 32


def sample_rows(rows: int) -> np.ndarray:
    """At most :data:`SAMPLE_ROWS` of ``rows`` rows, evenly spread, ascending."""
    return np.unique(np.round(np.linspace(0, rows - 1, min(rows, SAMPLE_ROWS))).astype(int))


_reference_scale = jax.jit(reference_scale)


def scan_scale(scan: Scan | StoredScan, problem: Problem) -> tuple[float, float]:
    """The scan's scale, and the seconds its compilation took.

    :func:`pfitre_jax.solvers.parameters.scale.reference_scale` of :func:`sample_rows`.

    Looks inside the disc that every view sees, also where the support of ``problem`` is wider.
    """
    sinograms, masks = sampled(scan)
    field = image_support(scan.geometry())
    margin = (problem.support.shape[0] - field.shape[0]) // 2
    region = np.pad(field, margin) * np.asarray(problem.support)
    executable, seconds = compiled(_reference_scale, problem, sinograms, masks, region)
    return float(executable(problem, sinograms, masks, region)), seconds


def found_noise(
    scan: Scan | StoredScan, problem: Problem, scale: float, matters: Callable[[float], bool]
) -> tuple[float, float, float]:
    """The noise of a bin, in units of the scale, the automatic weight of total variation that belongs to it,
    and the seconds their compilation took.

    :func:`pfitre_jax.solvers.parameters.noise.noise_level` of :func:`sample_rows`, and where its weight ``matters``, as
    it may be less, :func:`pfitre_jax.solvers.parameters.noise.scan_noise`, which makes first reconstructions.
    """
    sinograms, masks = sampled(scan)
    arguments = (problem, sinograms / np.float32(scale), masks)
    executable, seconds = compiled(_noise_and_weight, *arguments, fitted=False)
    noise, weight = executable(*arguments)
    if matters(float(weight)):
        executable, more = compiled(_noise_and_weight, *arguments, fitted=True)
        seconds += more
        noise, weight = executable(*arguments)
    return float(noise), float(weight), seconds


@functools.partial(jax.jit, static_argnames="fitted")
def _noise_and_weight(problem, sinograms, masks, *, fitted):
    noise = scan_noise(problem, sinograms, masks) if fitted else noise_level(sinograms, masks)
    return noise, automatic_weight(problem, noise, masks)


def sampled(scan: Scan | StoredScan) -> tuple[np.ndarray, np.ndarray]:
    """Sinograms and masks (slices, views, columns) of :func:`sample_rows`."""
    rows = scan.take_rows(sample_rows(scan.rows))
    sinograms = np.ascontiguousarray(np.moveaxis(rows.projections, 1, 0))
    return sinograms, np.moveaxis(rows.mask, 1, 0).astype(np.float32)
