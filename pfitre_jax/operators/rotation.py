"""Rotation of an image by any angle, exact for what the grid can carry: three shears by Fourier shifts."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float
from scipy.fft import next_fast_len

#: Side of the padded image over that of the image: a shear carries the disc of the image's width this far.
_ROOM = 1.12


def rotate(image: Float[Array, "n n"], angle) -> Float[Array, "n n"]:
    """The content of a square image turned counterclockwise about its middle, ``y`` up.

    ``R(a) = X(-tan a/2) Y(sin a) X(-tan a/2)``, ``X`` and ``Y`` shears along one axis, each a shift of every
    row or column by Fourier phases (Unser, Thevenaz & Yaroslavsky, IEEE TIP 4, 1995). Of what lies inside the
    disc of the image's width nothing is blurred: the energy stays, and ``rotate(., -a)`` is the inverse and,
    up to the finest frequency, the adjoint. What lies in the corners is lost, or comes back at another edge.

    angle: (), radians in [-pi/4, pi/4]; quarter turns are for ``jnp.rot90``. A view angle ``theta`` of the
        image becomes ``theta + angle``
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
    """A good length for the FFT with room for the shears, as much on both sides: mirror images agree."""
    side = next_fast_len(int(_ROOM * n) + 1, real=True)
    while (side - n) % 2:
        side = next_fast_len(side + 1, real=True)
    return side


def _shift_rows(image, distance):
    """Row ``i`` moved by ``distance[i]`` pixels towards higher indices, around the end."""
    side = image.shape[1]
    phase = -2 * jnp.pi * distance[:, None] * jnp.fft.rfftfreq(side)[None, :].astype(image.dtype)
    return jnp.fft.irfft(jnp.fft.rfft(image) * jnp.exp(1j * phase), n=side)
