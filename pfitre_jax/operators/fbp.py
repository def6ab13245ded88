"""Filtered backprojection."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.fft import next_fast_len

from pfitre_jax.geometry import ParallelGeometry, covers_full_turn, view_spacing
from pfitre_jax.operators.projector import Projector

#: Views closer together than this share of the spacing are exposures at one angle.
SAME_ANGLE = 0.1
#: The axis is off centre if the detector reaches so many bins farther on one side.
OFF_CENTER = 1.0
#: Width of the smooth step of the half-scan weights, share of the columns, at most the overlap of the sides.
STEP_SHARE = 0.25
#: Windows on the ramp filter, as functions of the frequency over the Nyquist frequency, 0 to 1.
FILTERS = {
    "ramp": lambda f: np.ones_like(f),
    "shepp-logan": lambda f: np.sinc(f / 2),
    "cosine": lambda f: np.cos(np.pi * f / 2),
    "hamming": lambda f: 0.54 + 0.46 * np.cos(np.pi * f),
    "hann": lambda f: 0.5 + 0.5 * np.cos(np.pi * f),
}


def fbp(A: Projector, sinogram: Float[Array, "views columns"], filter: str = "ramp") -> Float[Array, "ny nx"]:
    """Filtered backprojection ``x = sum_v dtheta_v A_v^T (h * y_v)``.

    ``h`` is the band-limited ramp sampled in space, which preserves the mean, times a window. A view is
    weighted by the angle between it and its neighbours, see :func:`angular_weights`.

    Where the views cover a whole turn and the axis is off centre (half acquisition), opposite views complete
    each other: bins are weighted by :func:`half_scan_weights` before the filter, and backprojected from a
    wider detector, onto which the filter extends them.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals.
        filter: Name of a window of :data:`FILTERS`.

    Returns:
        (ny, nx), values per pixel.

    Raises:
        ValueError: For an unknown filter.

    References:
        Kak & Slaney, Principles of Computerized Tomographic Imaging, 1988, eq. 61; Wang, Med. Phys. 29, 2002
        (offset detector).
    """
    if filter not in FILTERS:
        raise ValueError(f"unknown filter {filter!r}; expected one of {', '.join(FILTERS)}")
    geometry, dtype = A.geometry, sinogram.dtype

    def complete(y: Array) -> Array:
        weights = angular_weights(geometry.theta_rad).astype(dtype)
        return A.T((_filtered(y, filter) * weights[:, None]).astype(dtype))

    def half_scan(y: Array) -> Array:
        columns = geometry.columns
        wide = dataclasses.replace(geometry, columns=3 * columns, center=geometry.center + columns)
        weighted = jnp.pad(half_scan_weights(geometry).astype(dtype) * y, ((0, 0), (columns, columns)))
        # Each ray is seen from both sides of a turn.
        weights = angular_weights(geometry.theta_rad, 2 * np.pi).astype(dtype) / 2
        B = dataclasses.replace(A, geometry=wide)
        return B.T((_filtered(weighted, filter) * weights[:, None]).astype(dtype))

    is_half = covers_full_turn(geometry.theta_rad) & (geometry.reach - geometry.disc_radius > OFF_CENTER)
    if isinstance(is_half, jax.core.Tracer):
        return jax.lax.cond(is_half, half_scan, complete, sinogram)
    return half_scan(sinogram) if is_half else complete(sinogram)


def half_scan_weights(geometry: ParallelGeometry) -> Float[Array, "views columns"]:
    """Weights of the bins of views over a whole turn whose axis is off centre: (views, columns), 0 to 2.

    The ray of the bin at ``t`` is that of the bin at ``-t`` half a turn later. Their weights add up to 2:
    both are 1 about the axis, and farther out that of the nearer side falls smoothly from 1 to 0 at its edge.
    """
    near = jnp.maximum(geometry.disc_radius, 0.5)
    step = jnp.minimum(near, STEP_SHARE * geometry.columns)
    t = jnp.arange(geometry.columns)[None, :] - geometry.center - geometry.shifts[:, None]
    side = jnp.sign(geometry.columns - 1 - 2 * geometry.center)
    part = jnp.clip((jnp.abs(t) - (near - step)) / step, 0, 1)
    return 1 + side * jnp.sign(t) * jnp.sin(np.pi / 2 * part) ** 2


def _filtered(sinogram: Float[Array, "views columns"], filter: str) -> Float[Array, "views columns"]:
    """Each view convolved with the ramp filter times a window of :data:`FILTERS`."""
    columns = sinogram.shape[1]
    size = next_fast_len(2 * columns, real=True)
    n = np.fft.fftfreq(size, 1 / size)
    ramp = np.where(n == 0, 0.25, np.where(n % 2 == 1, -1 / (np.pi**2 * np.maximum(n**2, 1)), 0.0))
    response = np.fft.rfft(ramp).real * FILTERS[filter](np.fft.rfftfreq(size) * 2)
    spectrum = jnp.fft.rfft(sinogram, size, axis=1) * jnp.asarray(response, sinogram.dtype)[None, :]
    return jnp.fft.irfft(spectrum, size, axis=1)[:, :columns]


def angular_weights(theta_rad: Float[Array, " views"], period: float = np.pi) -> Float[Array, " views"]:
    """Angle that each view represents, half the gap to each neighbour modulo the period: (views,), rad.

    Views that are closer together than :data:`SAME_ANGLE` spacings, such as several exposures at one angle,
    share the angle of one view, so that they count as their mean. The angles of a full scan add up to the
    period. A gap of more than three spacings is a missing wedge and counts as one spacing, see
    :func:`pfitre_jax.geometry.view_spacing`.
    """
    views = theta_rad.shape[0]
    folded = jnp.mod(theta_rad, period)
    order = jnp.argsort(folded)
    gaps = jnp.diff(folded[order], append=folded[order][:1] + period)
    # The first view follows the largest gap, so that no group of views is split between both ends.
    first = jnp.argmax(gaps) + 1
    order, gaps = jnp.roll(order, -first), jnp.roll(gaps, -first)
    spacing = view_spacing(gaps)
    limited = jnp.where(gaps > 3 * spacing, spacing, gaps) if views > 1 else gaps
    separate = gaps[:-1] >= SAME_ANGLE * spacing
    group = jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(separate)])
    weights = (limited + jnp.roll(limited, 1)) / 2
    total = jnp.zeros_like(weights).at[group].add(weights)
    count = jnp.zeros_like(weights).at[group].add(1)
    return jnp.zeros_like(theta_rad).at[order].set((total / jnp.maximum(count, 1))[group])
