"""Total variation prior."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Prox
from pfitre_jax.operators.finite_differences import gradient as image_gradient
from pfitre_jax.operators.finite_differences import gradient_adjoint


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TV(Prox):
    """Isotropic total variation ``weight * TV(x)`` of an image or a volume.

    ``TV(x) = sum_p ||(D x)_p||``, with forward differences ``D`` along all axes. The prox is computed on the
    dual by a fixed number of fast gradient projections, and is differentiated by unrolling them.

    Attributes:
        weight: (), TV weight, relative to ``||A||^2 = 1``. Only :meth:`denoise` and :meth:`value` use it.
        nonnegative: Whether ``x >= 0`` is imposed; static.
        iterations: Iterations of the dual method in each prox; static.

    References:
        Beck & Teboulle, Fast gradient-based algorithms for constrained total variation image denoising and
        deblurring problems, IEEE Trans. Image Process. 18, 2009.
    """

    weight: Any
    nonnegative: bool = dataclasses.field(default=True, metadata={"static": True})
    iterations: int = dataclasses.field(default=50, metadata={"static": True})

    def prox(
        self, v: Float[Array, "*shape"], strength: Array | float, support: Array | None = None
    ) -> Float[Array, "*shape"]:
        """``argmin_x 1/2 ||x - v||^2 + strength TV(x)``, over ``x >= 0`` if ``nonnegative``.

        Args:
            v: (ny, nx) or (rows, ny, nx).
            strength: ().
            support: (ny, nx), 1 where ``x`` may differ from 0, else 0; everywhere if ``None``.
        """
        return self.prox_dual(v, strength, jnp.zeros((v.ndim, *v.shape), v.dtype), support)[0]

    def prox_dual(
        self, v: Array, strength: Array | float, dual: Array, support: Array | None = None
    ) -> tuple[Array, Array]:
        """:meth:`prox` started from a dual variable.

        ``x = P(v - D^T dual)`` with ``||dual_p|| <= strength``, ``P`` the projection onto the constraints.

        Args:
            v: (ny, nx) or (rows, ny, nx).
            strength: (); 0 is allowed.
            dual: (axes, *v.shape), 0 or the dual of an earlier call with a similar ``v``, which saves
                iterations.
            support: (ny, nx), 1 where ``x`` may differ from 0, else 0; everywhere if ``None``.

        Returns:
            ``(x, dual)``.
        """
        strength = jnp.asarray(strength, v.dtype)
        bound = jnp.asarray(self._norm_squared(v.ndim), v.dtype)
        primal = lambda dual: self._project(v - self._adjoint(dual), support)  # noqa: E731

        def iterate(carry, _):
            dual, extrapolated, t = carry
            new = _project_to_ball(extrapolated + self._gradient(primal(extrapolated)) / bound, strength)
            t_new = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
            return (new, new + (t - 1) / t_new * (new - dual), t_new), None

        start = _project_to_ball(dual, strength)
        last, _ = jax.lax.scan(iterate, (start, start, jnp.ones((), v.dtype)), length=self.iterations)
        dual = last[0]
        return primal(dual), dual

    def denoise(
        self, v: Float[Array, "*shape"], *, correction: Array, wedge: Wedge, rho: Array | float
    ) -> Float[Array, "*shape"]:
        """:meth:`prox` with strength ``weight / rho``; correction and wedge are not used."""
        return self.prox(v, jnp.asarray(self.weight, v.dtype) / rho)

    def value(self, x: Float[Array, "*shape"]) -> Float[Array, ""]:
        """``weight * TV(x)``."""
        return self.weight * jnp.sum(jnp.linalg.norm(self._gradient(x), axis=0))

    # Subclasses override the next three: an upper bound of ||D||^2, D and D^T.
    def _norm_squared(self, axes: int) -> Any:
        return 4 * axes

    def _gradient(self, x: Array) -> Array:
        return image_gradient(x)

    def _adjoint(self, field: Array) -> Array:
        return gradient_adjoint(field)

    def _project(self, x: Array, support: Array | None) -> Array:
        x = jnp.maximum(x, 0) if self.nonnegative else x
        return x if support is None else support * x


def _project_to_ball(field: Array, radius: Array) -> Array:
    """The nearest field (axes, ...) whose vectors have at most the length ``radius``; differentiable at 0."""
    squared = jnp.sum(field**2, axis=0, keepdims=True)
    outside = squared > radius**2
    return field * jnp.where(outside, radius * jax.lax.rsqrt(jnp.where(outside, squared, 1)), 1)
