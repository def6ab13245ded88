"""Projection on a finer grid: no reconstruction is judged, or trained, on its own discretisation."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.joseph import forward_exponential
from pfitre_jax.operators.projector import Projector

#: Scenes are drawn and projected this much finer than the detector.
OVERSAMPLING = 2


def project_finely(geometry: ParallelGeometry, image: Float[Array, "fy fx"], factor: int = OVERSAMPLING):
    """Line integrals of an image drawn ``factor`` times finer than the detector, (views, columns).

    Rays are ``factor`` times finer too and averaged over each bin: strip integrals. Lengths in detector bins.
    """
    return _binned(Projector(_finer(geometry, factor), image.shape)(image), factor)


def project_absorbed(
    geometry: ParallelGeometry, images: Float[Array, "slices fy fx"], strength, factor: int = OVERSAMPLING
) -> Float[Array, "slices views columns"]:
    """:func:`project_finely` of fluorescence that the sample itself absorbs on its way to the detector.

    A point's signal is weakened by ``exp(-strength (1 + d)/2)``, ``d`` in [-1, 1] its distance behind the
    sample's middle as the detector sees it, which stands at 90 degrees to the beam, in units of the field's
    radius: a slab of even absorption. It depends on the view, so that views no longer agree on one image.

    The way to a detector at 90 degrees changes along the ray and not across it, so that this is the
    exponential X-ray transform.
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
