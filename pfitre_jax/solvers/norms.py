"""Relative norms whose gradient is finite at 0."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def relative_change(new: Float[Array, "*shape"], old: Float[Array, "*shape"]) -> Float[Array, ""]:
    """``||new - old|| / ||new||``; 0 for two zero images."""
    return relative_norm(new - old, new)


def relative_norm(part: Float[Array, ...], whole: Float[Array, ...]) -> Float[Array, ""]:
    """``||part|| / ||whole||``, or ``||part||`` where ``whole`` is 0."""
    norm = _norm(whole)
    return _norm(part) / jnp.where(norm > 0, norm, 1)


def _norm(array):
    # The gradient of a plain norm is NaN at 0; with it a loop at rest could not be differentiated.
    squared = jnp.sum(array**2)
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)
