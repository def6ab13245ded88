"""The frame of the wedge: images turned so that its centre is at 0, the frequencies it lacks along x."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.operators.rotation import rotate


def turn_to_wedge(wedge: Wedge) -> tuple[Array, Array]:
    """``(turns, angle)``: the centre of the wedge is at ``turns * pi/2 + angle``, modulo pi.

    turns: (), 0 or 1; angle: (), radians in [-pi/4, pi/4]. Works on traced values.
    """
    center = jnp.mod(jnp.asarray(wedge.center_rad, jnp.result_type(float)), jnp.pi)
    quarters = jnp.round(center / (jnp.pi / 2))
    return jnp.mod(quarters, 2).astype(int), center - quarters * (jnp.pi / 2)


def into(turn, images: Float[Array, "rows ny nx"]) -> Float[Array, "rows n n"]:
    """Images in the frame that :func:`turn_to_wedge` tells, in the middle of a square, air around them."""
    turns, angle = turn
    one = lambda image: rotate(jnp.where(turns > 0, jnp.rot90(image, -1), image), -angle)  # noqa: E731
    return jax.vmap(one)(_square(images))


def back(turn, images: Float[Array, "rows n n"], shape: tuple[int, int]) -> Float[Array, "rows ny nx"]:
    """Images of :func:`into`, or what is to be added to them, turned back to ``shape``, (ny, nx)."""
    turns, angle = turn
    images = jax.vmap(lambda image: rotate(image, angle))(images)
    images = jnp.where(turns > 0, jnp.rot90(images, axes=(1, 2)), images)
    top, left = _margins(*shape)
    return images[:, top : top + shape[0], left : left + shape[1]]


def _margins(ny: int, nx: int) -> tuple[int, int]:
    # Rows above and columns to the left that centre the image in the square.
    n = max(ny, nx)
    return (n - ny) // 2, (n - nx) // 2


def _square(images: Float[Array, "rows ny nx"]) -> Float[Array, "rows n n"]:
    ny, nx = images.shape[1:]
    n = max(ny, nx)
    top, left = _margins(ny, nx)
    return jnp.pad(images, ((0, 0), (top, n - ny - top), (left, n - nx - left)))
