"""Decomposition of solved slices: the component that the data determine, and the corrections of the data."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.reconstruction.data_model import LEAST_SQUARES, DataModel
from pfitre_jax.solvers.conjugate_gradients import ratio
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.trust.consistency import measured_component, noise_damping


class Decomposition(NamedTuple):
    """Arrays of :func:`decompose`.

    Attributes:
        measured: (slices, ny, nx), the component of each slice that its data determine.
        supplied: (slices,), ``||x - measured|| / ||x||``, 0 for an empty slice.
        gains: (slices, views), see :meth:`DataModel.corrections`.
        stripes: (slices, columns), column offsets in units of the scale.
        view_weights: (slices, views), mean weights of the views.
    """

    measured: Array
    supplied: Array
    gains: Array
    stripes: Array
    view_weights: Array


def decompose(
    problem: SliceProblem,
    noise: float | Float[Array, ""],
    scale: float | Float[Array, ""],
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"],
    images: Float[Array, "slices ny nx"],
    model: DataModel = LEAST_SQUARES,
) -> Decomposition:
    """Measured component of solved slices, and the corrections of their data.

    Args:
        problem: Supplies everything but sinogram and mask.
        noise: (), standard deviation of the noise in a bin, in units of the scale.
        scale: (), value by which the sinograms were divided.
        sinograms: (slices, views, columns), line integrals divided by the scale.
        masks: (slices, views, columns), 1 for a valid bin.
        images: (slices, ny, nx), the results.
        model: Data model of the method; static. A robust term estimates the noise of each slice, also where
            the method estimated that of a whole volume.
    """

    def one(sinogram, mask, image):
        raw = dataclasses.replace(problem, sinogram=sinogram, mask=mask)
        row = model.apply(raw, image, scale)
        measured = measured_component(row, image, noise_damping(row, image, noise))
        supplied = ratio(jnp.linalg.norm(image - measured), jnp.linalg.norm(image))
        return Decomposition(measured, supplied, *model.corrections(raw, image, row.weights))

    return jax.vmap(one)(sinograms, masks, images)
