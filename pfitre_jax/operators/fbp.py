"""Filtered backprojection."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.fft import next_fast_len

from pfitre_jax.geometry import view_spacing
from pfitre_jax.operators.projector import Projector

#: Views closer together than this share of the spacing are exposures at one angle.
SAME_ANGLE = 0.1
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

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals.
        filter: Name of a window of :data:`FILTERS`.

    Returns:
        (ny, nx), values per pixel.

    Raises:
        ValueError: For an unknown filter.

    References:
        Kak & Slaney, Principles of Computerized Tomographic Imaging, 1988, eq. 61.
    """
    if filter not in FILTERS:
        raise ValueError(f"unknown filter {filter!r}; expected one of {', '.join(FILTERS)}")
    columns = A.geometry.columns
    size = next_fast_len(2 * columns, real=True)
    n = np.fft.fftfreq(size, 1 / size)
    ramp = np.where(n == 0, 0.25, np.where(n % 2 == 1, -1 / (np.pi**2 * np.maximum(n**2, 1)), 0.0))
    response = np.fft.rfft(ramp).real * FILTERS[filter](np.fft.rfftfreq(size) * 2)
    spectrum = jnp.fft.rfft(sinogram, size, axis=1) * jnp.asarray(response, sinogram.dtype)[None, :]
    filtered = jnp.fft.irfft(spectrum, size, axis=1)[:, :columns]
    weights = angular_weights(A.geometry.theta_rad).astype(sinogram.dtype)
    return A.T((filtered * weights[:, None]).astype(sinogram.dtype))


def angular_weights(theta_rad: Float[Array, " views"]) -> Float[Array, " views"]:
    """Angle that each view represents, half the gap to each neighbour modulo pi: (views,), rad.

    Views that are closer together than :data:`SAME_ANGLE` spacings, such as several exposures at one angle,
    share the angle of one view, so that they count as their mean. The angles of a full scan add up to pi. A
    gap of more than three spacings is a missing wedge and counts as one spacing, see
    :func:`pfitre_jax.geometry.view_spacing`.
    """
    views = theta_rad.shape[0]
    folded = jnp.mod(theta_rad, jnp.pi)
    order = jnp.argsort(folded)
    gaps = jnp.diff(folded[order], append=folded[order][:1] + jnp.pi)
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
