"""The gradient of an image or a volume by forward differences, and its exact adjoint."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def gradient(image: Float[Array, "*shape"]) -> Float[Array, " axes *shape"]:
    """``(D x)[a] = x[.. i_a + 1 ..] - x[.. i_a ..]``, the difference along axis ``a``, 0 on its last line.

    Args:
        image: (ny, nx), or a volume (rows, ny, nx).

    Returns:
        (2, ny, nx), or (3, rows, ny, nx).
    """
    return jnp.stack([_padded(_difference(image, axis), axis, (0, 1)) for axis in range(image.ndim)])


def gradient_adjoint(field: Float[Array, " axes *shape"]) -> Float[Array, "*shape"]:
    """``D^T p``, the negative divergence.

    Args:
        field: (2, ny, nx), or (3, rows, ny, nx) of a volume.

    Returns:
        (ny, nx), or (rows, ny, nx).
    """

    def along(part, axis):
        inner = jax.lax.slice_in_dim(part, 0, part.shape[axis] - 1, axis=axis)
        return _padded(inner, axis, (1, 0)) - _padded(inner, axis, (0, 1))

    return sum(along(part, axis) for axis, part in enumerate(field))


def total_variation(image: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Isotropic ``TV(x) = sum_p ||(D x)_p||``: image (ny, nx) or volume (rows, ny, nx) -> ()."""
    return jnp.sum(jnp.sqrt(jnp.sum(gradient(image) ** 2, axis=0)))


def _difference(image, axis: int):
    size = image.shape[axis]
    cut = jax.lax.slice_in_dim
    return cut(image, 1, size, axis=axis) - cut(image, 0, size - 1, axis=axis)


def _padded(image, axis: int, by: tuple[int, int]):
    return jnp.pad(image, [by if a == axis else (0, 0) for a in range(image.ndim)])
