"""Projection on a finer grid: no reconstruction is judged, or trained, on its own discretisation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector

#: Scenes are drawn and projected this much finer than the detector.
OVERSAMPLING = 2
#: The detector turned against the beam, radians: where fluorescence leaves the sample to be counted.
DETECTOR_RAD = jnp.pi / 2


def project_finely(geometry: ParallelGeometry, image: Float[Array, "fy fx"], factor: int = OVERSAMPLING):
    """Line integrals of an image drawn ``factor`` times finer than the detector, (views, columns).

    Rays are ``factor`` times finer too and averaged over each bin: strip integrals. Lengths in detector bins.
    """
    center = factor * geometry.center + (factor - 1) / 2
    fine = ParallelGeometry(geometry.theta_rad, center, factor * geometry.shifts, factor * geometry.columns)
    rays = Projector(fine, image.shape)(image) / factor
    return rays.reshape(geometry.views, geometry.columns, factor).mean(axis=2)


def project_absorbed(
    geometry: ParallelGeometry, image: Float[Array, "fy fx"], strength, factor: int = OVERSAMPLING
):
    """:func:`project_finely` of fluorescence that the sample itself absorbs on its way to the detector.

    A point's signal is weakened by ``exp(-strength (1 + d)/2)``, ``d`` in [-1, 1] its distance behind the
    sample's middle as the detector sees it, which stands at 90 degrees to the beam, in units of the field's
    radius: a slab of even absorption. It depends on the view, so that views no longer agree on one image.
    """
    n = image.shape[0]
    x, y = (jnp.arange(n) - (n - 1) / 2)[None, :], ((n - 1) / 2 - jnp.arange(n))[:, None]

    def view(theta, shift):
        # The ray of view theta runs along (-sin, cos), and the detector's axis along (cos, sin).
        direction = theta + DETECTOR_RAD
        depth = -(x * jnp.cos(direction) + y * jnp.sin(direction)) / (n / 2)
        weight = jnp.exp(-strength * (1 + jnp.clip(depth, -1, 1)) / 2)
        one = ParallelGeometry(theta[None], geometry.center, shift[None], geometry.columns)
        return project_finely(one, image * weight, factor)[0]

    return jax.lax.map(lambda args: view(*args), (geometry.theta_rad, geometry.shifts))


def bin_down(image: Float[Array, "fy fx"], factor: int = OVERSAMPLING) -> Float[Array, "ny nx"]:
    """Mean over blocks of ``factor x factor`` pixels."""
    ny, nx = (size // factor for size in image.shape)
    return image.reshape(ny, factor, nx, factor).mean(axis=(1, 3))
