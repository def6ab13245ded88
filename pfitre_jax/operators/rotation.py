"""Rotation of an image by any angle without interpolation loss: three shears by Fourier shifts."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float
from scipy.fft import next_fast_len

#: Side of the padded image over that of the image: a shear moves the inscribed disc this far.
_ROOM = 1.12


def rotate(image: Float[Array, "n n"], angle: float | Float[Array, ""]) -> Float[Array, "n n"]:
    """Rotates a square image counterclockwise about its middle, ``y`` up.

    ``R(a) = X(-tan a/2) Y(sin a) X(-tan a/2)``, ``X`` and ``Y`` shears along one axis, each a shift of every
    row or column by Fourier phases. Inside the inscribed disc nothing is blurred: the energy is preserved,
    and ``rotate(., -a)`` is the inverse and, up to the finest frequency, the adjoint. The corners are lost or
    reappear at another edge. A view angle ``theta`` of the image becomes ``theta + angle``.

    Args:
        image: (n, n).
        angle: (), radians in [-pi/4, pi/4]; combine with ``jnp.rot90`` for larger ones.

    References:
        Unser, Thevenaz & Yaroslavsky, IEEE TIP 4, 1995.
    """
    n = image.shape[0]
    side = _padded_side(n)
    before = (side - n) // 2
    padded = jnp.pad(image, before)
    along = jnp.arange(side, dtype=image.dtype) - (before + (n - 1) / 2)
    shear, tilt = -jnp.tan(angle / 2), jnp.sin(angle)
    # x points along the columns, y against the rows.
    padded = _shift_rows(padded, shear * -along)
    padded = _shift_rows(padded.T, tilt * -along).T
    padded = _shift_rows(padded, shear * -along)
    return padded[before : before + n, before : before + n]


def _padded_side(n: int) -> int:
    """A fast FFT length with room for the shears, equal on both sides so that mirror images agree."""
    side = next_fast_len(int(_ROOM * n) + 1, real=True)
    while (side - n) % 2:
        side = next_fast_len(side + 1, real=True)
    return side


def _shift_rows(image, distance):
    """Shifts row ``i`` by ``distance[i]`` pixels towards higher indices, periodically."""
    side = image.shape[1]
    phase = -2 * jnp.pi * distance[:, None] * jnp.fft.rfftfreq(side)[None, :].astype(image.dtype)
    return jnp.fft.irfft(jnp.fft.rfft(image) * jnp.exp(1j * phase), n=side)
