"""Checks that any linear operator must pass."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array


def dot_test(
    forward: Callable[[Array], Array],
    adjoint: Callable[[Array], Array],
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    key: Array | None = None,
    dtype: DTypeLike = jnp.float32,
) -> float:
    """``|<A x, y> - <x, A^T y>| / (|A x| |y|)`` for random ``x`` and ``y``; 0 for an exact adjoint."""
    key_x, key_y = jax.random.split(jax.random.key(0) if key is None else key)
    x = jax.random.normal(key_x, x_shape, dtype)
    y = jax.random.normal(key_y, y_shape, dtype)
    projected = forward(x)
    gap = jnp.vdot(projected, y) - jnp.vdot(x, adjoint(y))
    return float(jnp.abs(gap) / (jnp.linalg.norm(projected) * jnp.linalg.norm(y)))
