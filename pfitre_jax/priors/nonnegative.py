"""Non-negativity alone."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Prox


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Nonnegative(Prox):
    """The indicator of ``x >= 0``; its prox is the projection ``max(v, 0)`` for every strength."""

    def prox(self, v: Float[Array, "ny nx"], strength=1.0) -> Float[Array, "ny nx"]:
        """``argmin_{x >= 0} 1/2 |x - v|^2``."""
        return jnp.maximum(v, 0)

    def denoise(self, v, *, correction, wedge, rho):
        return self.prox(v)

    def value(self, x: Float[Array, "ny nx"]) -> Float[Array, ""]:
        """0 where allowed, else infinity."""
        return jnp.where(jnp.all(x >= 0), 0.0, jnp.inf).astype(x.dtype)
