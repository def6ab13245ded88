"""Any prior as an explicit gradient step, so that there is a function which it lowers."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Prior, PriorInfo


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GradientStep(Prior):
    """``D(v) = v - grad g(v)``, ``g(v) = 1/2 |v - N(v)|^2``, ``N`` the wrapped prior's :meth:`denoise`.

    ``D(v) = N(v) + J^T (v - N(v))``, ``J`` the Jacobian of ``N`` at ``v``, by reverse mode: about three times
    the cost of ``N``. What ``N`` is told (data correction, wedge, rho) is held: ``g`` is a function of the
    image alone. The fixed points of ``N`` are among those of ``D``. Hurault, Leclaire & Papadakis (ICLR 2022)
    train ``N`` so that ``D`` denoises; the ``D`` of an ``N`` trained by itself need not.

    prior: ``N``, differentiable
    """

    prior: Any

    @property
    def info(self) -> PriorInfo:
        """That of the wrapped prior; ``g`` is the same at every iteration, so that nothing alternates."""
        return dataclasses.replace(self.prior.info, alternates=False, rho=None, iterations=None)

    @property
    def first_iterations(self) -> int:
        return self.info.initial_iterations

    def value(
        self, v: Float[Array, "ny nx"], *, correction: Float[Array, "ny nx"], wedge: Wedge, rho
    ) -> Float[Array, ""]:
        """``g(v) = 1/2 |v - N(v)|^2``."""
        return jnp.sum((v - self.prior.denoise(v, correction=correction, wedge=wedge, rho=rho)) ** 2) / 2

    def value_and_slope(
        self, v: Float[Array, "ny nx"], *, correction: Float[Array, "ny nx"], wedge: Wedge, rho
    ) -> tuple[Float[Array, ""], Float[Array, "ny nx"]]:
        """``g(v)`` and ``grad g(v) = (1 - J)^T (v - N(v))``."""
        return jax.value_and_grad(lambda u: self.value(u, correction=correction, wedge=wedge, rho=rho))(v)

    def denoise(self, v, *, correction, wedge, rho):
        """``v - grad g(v)``: (ny, nx) -> (ny, nx)."""
        return v - self.value_and_slope(v, correction=correction, wedge=wedge, rho=rho)[1]
