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
    sinogram: Float[Array, "*rows views columns"],
    mask: Float[Array, "*rows views columns"],
    weights: Float[Array, "*rows views columns"] | None = None,
) -> tuple[
    Float[Array, "*rows views half"], Float[Array, "*rows views half"], Float[Array, "*rows views half"]
]:
    """Line integrals of :func:`binned_geometry` for pairs of bins, their mask and their weights.

    They are weighted means of the valid bins of a pair over 2, because a path is half as long in pixels of
    twice the size: image values keep their unit. A pair is valid if one of its bins is. Its weight is the
    mean weight of its bins, 0 for an invalid one, so that a single valid bin counts half.

    Args:
        sinogram: (views, columns), line integrals.
        mask: (views, columns), 1 for a valid bin.
        weights: (views, columns), 0 to 1. None: 1 everywhere.
    """
    half = sinogram.shape[-1] // 2
    pairs = (*sinogram.shape[:-1], half, 2)
    share = mask if weights is None else mask * weights
    values, valid, share = (a[..., : 2 * half].reshape(pairs) for a in (sinogram, mask, share))
    # The bins of a pair without any weight count alike.
    share = jnp.where(jnp.sum(share, axis=-1, keepdims=True) > 0, share, valid)
    total = jnp.sum(share, axis=-1)
    means = jnp.sum(share * values, axis=-1) / jnp.where(total > 0, total, 1)
    used = valid if weights is None else valid * weights[..., : 2 * half].reshape(pairs)
    return means / 2, valid.max(axis=-1), used.mean(axis=-1)


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
