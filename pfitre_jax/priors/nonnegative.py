"""Non-negativity constraint."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Prox


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Nonnegative(Prox):
    """Indicator function of ``x >= 0``; its prox is the projection ``max(v, 0)`` for every strength."""

    def prox(self, v: Float[Array, "*shape"], strength: Array | float = 1.0) -> Float[Array, "*shape"]:
        """``argmin_{x >= 0} 1/2 ||x - v||^2``."""
        return jnp.maximum(v, 0)

    def denoise(
        self, v: Float[Array, "*shape"], *, correction: Array, wedge: Wedge, rho: Array | float
    ) -> Float[Array, "*shape"]:
        """:meth:`prox`; correction, wedge and strength are not used."""
        return self.prox(v)

    def value(self, x: Float[Array, "*shape"]) -> Float[Array, ""]:
        """0 where ``x >= 0``, else infinity."""
        return jnp.where(jnp.all(x >= 0), 0.0, jnp.inf).astype(x.dtype)
