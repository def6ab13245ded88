"""Checks that any linear operator must pass."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def dot_test(forward, adjoint, x_shape, y_shape, key=None, dtype=jnp.float32) -> float:
    """``|<A x, y> - <x, A^T y>| / (|A x| |y|)`` for random ``x`` and ``y``; 0 for an exact adjoint."""
    key_x, key_y = jax.random.split(jax.random.key(0) if key is None else key)
    x = jax.random.normal(key_x, x_shape, dtype)
    y = jax.random.normal(key_y, y_shape, dtype)
    projected = forward(x)
    gap = jnp.vdot(projected, y) - jnp.vdot(x, adjoint(y))
    return float(jnp.abs(gap) / (jnp.linalg.norm(projected) * jnp.linalg.norm(y)))
