"""Frame of the missing wedge: images rotated so that the centre of the wedge is at 0.

In this frame the frequencies along x are missing.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.operators.rotation import rotate


def rotation_to_wedge(wedge: Wedge) -> tuple[Array, Array]:
    """The rotation of the frame, split into an exact quarter turn and a small angle.

    Returns:
        ``(quarters, angle)`` with the wedge's centre at ``quarters * pi/2 + angle``, modulo pi.
        quarters: (), 0 or 1.
        angle: (), rad, in [-pi/4, pi/4]. Both may be traced.
    """
    center = jnp.mod(jnp.asarray(wedge.center_rad, jnp.result_type(float)), jnp.pi)
    quarters = jnp.round(center / (jnp.pi / 2))
    return jnp.mod(quarters, 2).astype(int), center - quarters * (jnp.pi / 2)


def rotate_into(rotation: tuple, images: Float[Array, "rows ny nx"]) -> Float[Array, "rows n n"]:
    """Images in the frame of :func:`rotation_to_wedge`, centred in a square and surrounded by air."""
    quarters, angle = rotation
    one = lambda image: rotate(jnp.where(quarters > 0, jnp.rot90(image, -1), image), -angle)  # noqa: E731
    return jax.vmap(one)(_pad_to_square(images))


def rotate_back(
    rotation: tuple, images: Float[Array, "rows n n"], shape: tuple[int, ...]
) -> Float[Array, "rows ny nx"]:
    """Images, or updates of images, of the frame rotated back and cropped to ``shape (ny, nx)``."""
    quarters, angle = rotation
    images = jax.vmap(lambda image: rotate(image, angle))(images)
    images = jnp.where(quarters > 0, jnp.rot90(images, axes=(1, 2)), images)
    top, left = _margins(*shape)
    return images[:, top : top + shape[0], left : left + shape[1]]


def _margins(ny: int, nx: int) -> tuple[int, int]:
    # Rows above and columns to the left that centre the image in the square.
    n = max(ny, nx)
    return (n - ny) // 2, (n - nx) // 2


def _pad_to_square(images: Float[Array, "rows ny nx"]) -> Float[Array, "rows n n"]:
    ny, nx = images.shape[1:]
    n = max(ny, nx)
    top, left = _margins(ny, nx)
    return jnp.pad(images, ((0, 0), (top, n - ny - top), (left, n - nx - left)))
