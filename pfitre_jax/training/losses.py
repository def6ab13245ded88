"""Training losses, means over pixels: none depends on the batch size or the number of slices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.operators.gradient import gradient


def l1(image: Float[Array, "slices ny nx"], truth: Float[Array, "slices ny nx"]):
    """``mean |image - truth|``."""
    return jnp.mean(jnp.abs(image - truth))


def gradient_l1(image: Float[Array, "slices ny nx"], truth: Float[Array, "slices ny nx"]):
    """``mean |D image - D truth|`` with forward differences ``D``."""
    return jnp.mean(jnp.abs(jax.vmap(gradient)(image - truth)))
