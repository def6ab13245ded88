"""Projection on a finer grid than that of the reconstruction, to avoid an inverse crime."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.joseph import forward_exponential
from pfitre_jax.operators.projector import Projector

#: Factor by which scenes are drawn and projected finer than the detector.
OVERSAMPLING = 2


def project_finely(
    geometry: ParallelGeometry, image: Float[Array, "fy fx"], factor: int = OVERSAMPLING
) -> Float[Array, "views columns"]:
    """Line integrals of an image that is ``factor`` times finer than the detector: (views, columns), in bins.

    The rays are ``factor`` times finer too, and averaged over each bin (strip integrals).
    """
    return _binned(Projector(_finer(geometry, factor), (image.shape[0], image.shape[1]))(image), factor)


def project_absorbed(
    geometry: ParallelGeometry,
    images: Float[Array, "slices fy fx"],
    strength: Array | float,
    factor: int = OVERSAMPLING,
) -> Float[Array, "slices views columns"]:
    """Line integrals of fluorescence with self-absorption, as :func:`project_finely`.

    The detector is at 90 degrees to the beam. The signal of a point is attenuated by
    ``exp(-strength (1 + d)/2)``, where ``d`` in [-1, 1] is its distance from the rotation axis away from the
    detector, in units of the radius of the field: a slab of uniform absorption. It depends on the view, so
    that no single image explains all views. The path to the detector changes along the ray only, so that this
    is the exponential X-ray transform.
    """
    fine = _finer(geometry, factor)
    theta, offset = fine.theta_rad.astype(images.dtype), (fine.center + fine.shifts).astype(images.dtype)
    rays = forward_exponential(theta, offset, images, fine.columns, strength / images.shape[-1])
    return jnp.exp(-strength / 2) * _binned(rays, factor)


def _finer(geometry: ParallelGeometry, factor: int) -> ParallelGeometry:
    center = factor * geometry.center + (factor - 1) / 2
    return ParallelGeometry(geometry.theta_rad, center, factor * geometry.shifts, factor * geometry.columns)


def _binned(rays, factor: int):
    """Means over ``factor`` rays, lengths of fine pixels turned into bins: (..., views, columns)."""
    return rays.reshape(*rays.shape[:-1], -1, factor).mean(axis=-1) / factor


def bin_down(image: Float[Array, "fy fx"], factor: int = OVERSAMPLING) -> Float[Array, "ny nx"]:
    """Mean over blocks of ``factor x factor`` pixels."""
    ny, nx = (size // factor for size in image.shape)
    return image.reshape(ny, factor, nx, factor).mean(axis=(1, 3))
