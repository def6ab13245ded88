"""Filtered backprojection."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.fft import next_fast_len

from pfitre_jax.operators.projector import Projector

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

    The angles of a full scan add up to pi. A gap of more than three median spacings is a missing wedge and
    counts as one spacing.
    """
    folded = jnp.mod(theta_rad, jnp.pi)
    order = jnp.argsort(folded)
    ordered = folded[order]
    gaps = jnp.diff(ordered, append=ordered[:1] + jnp.pi)
    spacing = jnp.median(gaps)
    gaps = jnp.where(gaps > 3 * spacing, spacing, gaps) if theta_rad.size > 1 else gaps
    weights = (gaps + jnp.roll(gaps, 1)) / 2
    return jnp.zeros_like(theta_rad).at[order].set(weights)
