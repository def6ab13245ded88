"""The image gradient by forward differences, and its exact adjoint."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def gradient(image: Float[Array, "ny nx"]) -> Float[Array, "2 ny nx"]:
    """``(D x)[0] = x[i+1, j] - x[i, j]``, ``(D x)[1] = x[i, j+1] - x[i, j]``, 0 on the last line."""
    down = jnp.pad(image[1:] - image[:-1], ((0, 1), (0, 0)))
    right = jnp.pad(image[:, 1:] - image[:, :-1], ((0, 0), (0, 1)))
    return jnp.stack([down, right])


def gradient_adjoint(field: Float[Array, "2 ny nx"]) -> Float[Array, "ny nx"]:
    """``D^T p``, the negative divergence: field (2, ny, nx) -> image (ny, nx)."""
    down, right = field[0, :-1], field[1, :, :-1]
    return (
        jnp.pad(down, ((1, 0), (0, 0)))
        - jnp.pad(down, ((0, 1), (0, 0)))
        + jnp.pad(right, ((0, 0), (1, 0)))
        - jnp.pad(right, ((0, 0), (0, 1)))
    )


def total_variation(image: Float[Array, "ny nx"]) -> Float[Array, ""]:
    """Isotropic ``TV(x) = sum_p sqrt((D x)_0^2 + (D x)_1^2)``."""
    return jnp.sum(jnp.sqrt(jnp.sum(gradient(image) ** 2, axis=0)))
