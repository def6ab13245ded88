"""Lower resolution: geometry of larger bins; sinograms and images at half the resolution, and back."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.geometry import ParallelGeometry


def binned_geometry(geometry: ParallelGeometry, factor: int) -> ParallelGeometry:
    """Geometry of a detector whose bins are ``factor`` bins; an incomplete one at the end is left out.

    Bin ``j`` lies at ``factor j + (factor - 1)/2`` of the original bins.
    """
    return dataclasses.replace(
        geometry,
        center=(geometry.center - (factor - 1) / 2) / factor,
        shifts=geometry.shifts / factor,
        columns=geometry.columns // factor,
    )


def half_sinogram(
    sinogram: Float[Array, "*rows views columns"], mask: Float[Array, "*rows views columns"]
) -> tuple[Float[Array, "*rows views half"], Float[Array, "*rows views half"]]:
    """Line integrals of :func:`binned_geometry` for pairs of bins, and their mask.

    They are means of pairs of bins over 2, because a path is half as long in pixels of twice the size: image
    values keep their unit. A pair is valid if both bins are.
    """
    half = sinogram.shape[-1] // 2
    pairs = (*sinogram.shape[:-1], half, 2)
    values, valid = (a[..., : 2 * half].reshape(pairs) for a in (sinogram, mask))
    return values.mean(axis=-1) / 2, valid.prod(axis=-1)


def half_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Shape of an image with pixels of twice the size that covers one of ``shape (ny, nx)`` pixels."""
    return (shape[0] + 1) // 2, (shape[1] + 1) // 2


def half_support(support: Float[Array, "ny nx"]) -> Float[Array, "my mx"]:
    """1 for the pixels of :func:`half_shape` from which a pixel of the support is interpolated, else 0."""
    rows, columns = (_interpolation(n).astype(support.dtype) for n in support.shape)
    return ((rows.T @ support @ columns) > 0).astype(support.dtype)


def double_resolution(
    image: Float[Array, "*rows my mx"], shape: tuple[int, int]
) -> Float[Array, "*rows ny nx"]:
    """Bilinear interpolation of an image of :func:`half_shape` pixels on ``shape (ny, nx)`` pixels.

    Both images have their middle at the rotation axis.
    """
    rows, columns = (_interpolation(n).astype(image.dtype) for n in shape)
    return jnp.asarray(rows) @ image @ jnp.asarray(columns).T


def _interpolation(size: int) -> np.ndarray:
    """(size, half), weights of the coarse pixels in each of ``size`` fine pixels of one axis."""
    half = half_shape((size, size))[0]
    position = np.clip((np.arange(size) - (size - 1) / 2) / 2 + (half - 1) / 2, 0, half - 1)
    return np.maximum(1 - np.abs(position[:, None] - np.arange(half)), 0)
