"""The virtual instrument: how a scan is taken and what goes wrong with it. Jitted, seeded by keys.

Each imperfection is a function of its own with one strength; :class:`Instrument` holds the ranges they are
drawn from.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.operators.projector import Projector


@dataclasses.dataclass(frozen=True)
class Instrument:
    """Ranges that scans are drawn from; an imperfection with range (0, 0) is off.

    missing_deg: width of the missing wedge, uniform
    core_deg, core_share: a sub-range of ``missing_deg`` and the share of scans drawn from it
    noise: sigma of the Gaussian noise over the sinogram's maximum, log-uniform: (0, 0) or both positive
    gain: rms of the per-view gain error, uniform
    shift: rms of the per-view shift along the columns, bins, uniform
    center: largest distance of the (known) rotation centre from the detector's middle, share of the columns
    probability: that gain, and that shift, occur in a scan
    """

    missing_deg: tuple[float, float] = (30.0, 120.0)
    core_deg: tuple[float, float] = (80.0, 110.0)
    core_share: float = 0.5
    noise: tuple[float, float] = (0.003, 0.05)
    gain: tuple[float, float] = (0.0, 0.05)
    shift: tuple[float, float] = (0.0, 0.6)
    center: float = 0.02
    probability: float = 0.5

    def __post_init__(self):
        for name in ("missing_deg", "core_deg", "noise", "gain", "shift"):
            low, high = getattr(self, name)
            if not 0 <= low <= high < float("inf"):
                raise ValueError(f"{name} is ({low:g}, {high:g}); expected 0 <= low <= high")
        if self.noise[0] == 0 < self.noise[1]:
            raise ValueError(
                f"noise is (0, {self.noise[1]:g}), drawn log-uniform; expected a positive lower end, or "
                "(0, 0) for none"
            )
        if self.missing_deg[1] >= 180:
            raise ValueError(f"missing_deg goes up to {self.missing_deg[1]:g}; expected less than 180")
        for name in ("core_share", "probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; expected 0 to 1")


def draw_geometry(
    key, instrument: Instrument, views: int, columns: int, folded: bool = False
) -> tuple[ParallelGeometry, Wedge]:
    """Evenly spaced views around a missing wedge of random width and orientation.

    folded: orientations in [0, 45] degrees only, the range that the learned prior sees (the others are its
    mirror images)
    """
    k_width, k_core, k_which, k_orientation, k_center = jax.random.split(key, 5)
    wide = jax.random.uniform(k_width, minval=instrument.missing_deg[0], maxval=instrument.missing_deg[1])
    core = jax.random.uniform(k_core, minval=instrument.core_deg[0], maxval=instrument.core_deg[1])
    missing = jnp.where(jax.random.uniform(k_which) < instrument.core_share, core, wide)
    orientation = jax.random.uniform(k_orientation, maxval=jnp.pi / 4 if folded else jnp.pi)
    offset = jax.random.uniform(k_center, minval=-1, maxval=1) * instrument.center * columns
    return limited_angle_geometry(jnp.deg2rad(missing), orientation, views, columns, offset)


def limited_angle_geometry(
    missing_rad, orientation_rad, views: int, columns: int, center_offset=0.0
) -> tuple[ParallelGeometry, Wedge]:
    """``views`` angles, evenly spaced over what a wedge of ``missing_rad`` about ``orientation_rad`` leaves.

    Angles are the middles of equal intervals, so that the gap less one spacing is the missing width.
    """
    measured = jnp.pi - missing_rad
    theta = orientation_rad + missing_rad / 2 + (jnp.arange(views) + 0.5) * measured / views
    center = (columns - 1) / 2 + jnp.asarray(center_offset, theta.dtype)
    geometry = ParallelGeometry(theta, center, jnp.zeros_like(theta), columns)
    return geometry, Wedge(jnp.asarray(orientation_rad, theta.dtype), jnp.asarray(missing_rad, theta.dtype))


def project_finely(geometry: ParallelGeometry, image: Float[Array, "fy fx"], factor: int = 2):
    """Line integrals of an image drawn ``factor`` times finer than the detector, (views, columns).

    Rays are ``factor`` times finer too and averaged over each bin: strip integrals, so that no
    reconstruction is judged on its own discretisation. Lengths in detector bins.
    """
    center = factor * geometry.center + (factor - 1) / 2
    fine = ParallelGeometry(geometry.theta_rad, center, factor * geometry.shifts, factor * geometry.columns)
    rays = Projector(fine, image.shape)(image) / factor
    return rays.reshape(geometry.views, geometry.columns, factor).mean(axis=2)


def bin_down(image: Float[Array, "fy fx"], factor: int = 2) -> Float[Array, "ny nx"]:
    """Mean over blocks of ``factor x factor`` pixels."""
    ny, nx = (size // factor for size in image.shape)
    return image.reshape(ny, factor, nx, factor).mean(axis=(1, 3))


def add_noise(key, sinogram, level):
    """Gaussian noise of sigma ``level * max(sinogram)`` in every bin."""
    return sinogram + level * jnp.max(sinogram) * jax.random.normal(key, sinogram.shape, sinogram.dtype)


def apply_gain(key, sinogram, rms):
    """Each view times ``1 + rms * normal``."""
    gain = 1 + rms * jax.random.normal(key, (sinogram.shape[0], 1), sinogram.dtype)
    return sinogram * gain


def draw_shifts(key, views: int, rms):
    """Per-view shifts along the columns, bins, (views,): independent jitter of standard deviation ``rms``.

    A combination of 1, cos and sin of the view angle is a change of centre and of the object's place, not an
    error; jitter contains little of it and it is left in.
    """
    return rms * jax.random.normal(key, (views,))


def measure(
    key, instrument: Instrument, geometry: ParallelGeometry, images: Float[Array, "slices fy fx"]
) -> tuple[Float[Array, "slices views columns"], Float[Array, ""]]:
    """One scan of several slices: noise, gain and shifts drawn once per scan. Returns sinograms, noise level.

    The true shifts are not in ``geometry``: they are errors that the reconstruction does not know.
    """
    k_level, k_noise, k_gain, k_gain_on, k_views, k_shift, k_shift_on, k_draw = jax.random.split(key, 8)
    low, high = instrument.noise
    level = low * (high / low) ** jax.random.uniform(k_level) if low else jnp.zeros(())
    gain = _switched(k_gain, k_gain_on, instrument.gain, instrument.probability)
    shift = _switched(k_shift, k_shift_on, instrument.shift, instrument.probability)
    shifts = draw_shifts(k_draw, geometry.views, shift)
    moved = dataclasses.replace(geometry, shifts=geometry.shifts + shifts)
    sinograms = jax.vmap(lambda image: project_finely(moved, image))(images)
    sinograms = jax.vmap(lambda y: apply_gain(k_views, y, gain))(sinograms)
    keys = jax.random.split(k_noise, images.shape[0])
    return jax.vmap(add_noise, in_axes=(0, 0, None))(keys, sinograms, level), level


def _switched(key, key_on, bounds, probability):
    value = jax.random.uniform(key, minval=bounds[0], maxval=bounds[1])
    return jnp.where(jax.random.uniform(key_on) < probability, value, 0.0)
