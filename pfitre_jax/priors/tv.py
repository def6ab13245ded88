"""Total variation."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Prox
from pfitre_jax.operators.finite_differences import gradient as image_gradient
from pfitre_jax.operators.finite_differences import gradient_adjoint


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TV(Prox):
    """Isotropic total variation ``weight * TV(x)`` of an image or a volume, over ``x >= 0`` if asked.

    ``TV(x) = sum_p |(D x)_p|`` with forward differences along all axes. The prox is solved on the dual by
    the fast gradient projection of Beck & Teboulle (IEEE TIP 18, 2009), a fixed number of iterations,
    differentiable by unrolling.

    weight: (), relative to ``norm(A)^2 = 1``; :meth:`denoise` uses it, :meth:`prox` is given a strength
    nonnegative: restrict to ``x >= 0``
    iterations: of the dual method in each prox
    """

    weight: Any
    nonnegative: bool = dataclasses.field(default=True, metadata={"static": True})
    iterations: int = dataclasses.field(default=50, metadata={"static": True})

    def prox(self, v: Float[Array, "*shape"], strength, support=None) -> Float[Array, "*shape"]:
        """``argmin_x 1/2 |x - v|^2 + strength TV(x)``, over ``x >= 0`` if asked, 0 outside the support.

        v: (ny, nx) or (rows, ny, nx); strength: (); support: (ny, nx), 1 inside and 0 outside, default
            everywhere
        """
        return self.prox_dual(v, strength, jnp.zeros((v.ndim, *v.shape), v.dtype), support)[0]

    def prox_dual(self, v, strength, dual, support=None):
        """:meth:`prox` started from a dual variable: ``(x, dual)``, shaped as ``v`` and its gradient.

        The dual is that of an earlier call with a similar ``v``, which saves iterations, or zeros. It has the
        unit of ``strength`` (``x = P(v - D^T dual)``, ``|dual_p| <= strength``), so that 0 is allowed.
        """
        strength = jnp.asarray(strength, v.dtype)
        bound = jnp.asarray(self._norm_squared(v.ndim), v.dtype)
        primal = lambda dual: self._project(v - self._adjoint(dual), support)  # noqa: E731

        def iterate(carry, _):
            dual, ahead, t = carry
            new = _shrink_to(ahead + self._gradient(primal(ahead)) / bound, strength)
            t_new = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
            return (new, new + (t - 1) / t_new * (new - dual), t_new), None

        start = _shrink_to(dual, strength)
        (dual, *_), _ = jax.lax.scan(iterate, (start, start, jnp.ones((), v.dtype)), length=self.iterations)
        return primal(dual), dual

    def denoise(self, v, *, correction, wedge, rho):
        """:meth:`prox` with strength ``weight / rho``: what the splitting methods call."""
        return self.prox(v, jnp.asarray(self.weight, v.dtype) / rho)

    def value(self, x: Float[Array, "*shape"]) -> Float[Array, ""]:
        """``weight * TV(x)``."""
        return self.weight * jnp.sum(jnp.linalg.norm(self._gradient(x), axis=0))

    # What a variation of its own kind replaces: a bound of norm(D)^2, D and D^T.
    def _norm_squared(self, axes: int):
        return 4 * axes

    def _gradient(self, x):
        return image_gradient(x)

    def _adjoint(self, field):
        return gradient_adjoint(field)

    def _project(self, x, support):
        x = jnp.maximum(x, 0) if self.nonnegative else x
        return x if support is None else support * x


def _shrink_to(field, radius):
    """The nearest field (axes, ...) with no vector longer than ``radius``; its gradient is finite at 0."""
    squared = jnp.sum(field**2, axis=0, keepdims=True)
    outside = squared > radius**2
    return field * jnp.where(outside, radius * jax.lax.rsqrt(jnp.where(outside, squared, 1)), 1)
