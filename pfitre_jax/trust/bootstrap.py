"""Equivariant bootstrap: errors of a method on rotated copies of its own result.

A sample has no preferred orientation against the missing wedge. The result is therefore rotated, measured
again with the angles, the mask and the noise of the scan, and reconstructed by the same method. The
difference to the rotated result, which is known here, is rotated back. Rotating moves the wedge across the
object, so that the draws also contain errors in directions that the scan did not measure.

References:
    Tachella & Pereyra, Equivariant bootstrapping for uncertainty quantification in imaging inverse problems,
    AISTATS 2024.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.operators.rotation import rotate

#: Seed of the angles and of the noise; a run that is resumed has the same draws.
SEED = 20264


def bootstrap_angles(draws: int) -> Float[np.ndarray, " draws"]:
    """Angles of the draws, radians in [0, pi): one in each of as many equal intervals (stratified).

    A half turn more is the same missing wedge.
    """
    offsets = np.random.default_rng(SEED).random(draws)
    return np.pi * (np.arange(draws) + offsets) / max(draws, 1)


def rotate_any(image: Float[Array, "n n"], angle: Float[Array, ""]) -> Float[Array, "n n"]:
    """:func:`pfitre_jax.operators.rotation.rotate` by any angle, quarter turns without interpolation.

    Args:
        image: (n, n).
        angle: (), radians.
    """
    quarters = jnp.round(angle / (jnp.pi / 2))
    turns = [lambda a, k=k: jnp.rot90(a, k) for k in range(4)]
    turned = jax.lax.switch(jnp.mod(quarters, 4).astype(int), turns, image)
    return rotate(turned, angle - quarters * (jnp.pi / 2))


def bootstrap_error(
    angles: Iterable[float],
    rotated: Callable[[int, float], Float[Array, "*rows n n"]],
    reconstructed: Callable[[int, float, Array], Float[Array, "*rows n n"]],
) -> Float[Array, "*rows n n"]:
    """Mean absolute error of the draws in each pixel, (rows, n, n), rotated back.

    Args:
        angles: Angle of each draw, radians, see :func:`bootstrap_angles`.
        rotated: Function from number and angle of a draw to the rotated result, the truth of the draw.
        reconstructed: Function from number, angle and truth of a draw to its reconstruction from new data.

    Raises:
        ValueError: There is no draw.
    """
    total, count = None, 0
    for number, angle in enumerate(angles):
        truth = rotated(number, angle)
        error = error_rotated_back(reconstructed(number, angle, truth), truth, np.float32(angle))
        total, count = error if total is None else total + error, count + 1
    if total is None:
        raise ValueError("the bootstrap has no draw; expected at least one")
    return total / count


@jax.jit
def error_rotated_back(
    images: Float[Array, "*rows n n"], truth: Float[Array, "*rows n n"], angle: Float[Array, ""]
) -> Float[Array, "*rows n n"]:
    """``|images - truth|`` rotated by ``-angle``: (rows, n, n)."""
    error = jnp.abs(images - truth)
    # Interpolation of the edges of an error overshoots slightly.
    back = jax.vmap(lambda image: rotate_any(image, -angle))(error.reshape(-1, *error.shape[-2:]))
    return jnp.maximum(back, 0).reshape(error.shape)
