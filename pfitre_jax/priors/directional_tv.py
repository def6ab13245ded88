"""Directional total variation, adapted to the edges that the missing wedge hides."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.operators.finite_differences import gradient as image_gradient
from pfitre_jax.operators.finite_differences import gradient_adjoint
from pfitre_jax.priors.tv import TV

#: Default ratio. Streaks run along measured rays, so that their gradients are those of visible edges. These
#: tolerate a larger weight, because the data support them; along the wedge the data do not resist, and a
#: large weight flattens the remaining structure.
RATIO = 1.5


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DirectionalTV(TV):
    """``weight * sum_p ||S R (D x)_p||`` with ``S = diag(1, ratio)``.

    ``R`` rotates the gradient into its component along the centre of the missing wedge, which no view
    measures, and its component across it, which is measured and penalised ``ratio`` times as much. The
    component along the rows of a volume has weight 1. With ratio 1 it is :class:`TV`. The dual method is that
    of :class:`TV`, with ``||S R D||^2 < ||D||^2 max(1, ratio)^2``.

    Attributes:
        direction_rad: (), view angle of the wedge's centre, rad. :meth:`denoise` uses that of the problem.
        ratio: (), more than 0.

    References:
        Bayram & Kamasak, A directional total variation, IEEE Signal Process. Lett. 19, 2012.
        Chen et al., A limited-angle CT reconstruction method based on anisotropic TV minimization,
        Phys. Med. Biol. 58, 2013.
    """

    direction_rad: Any = 0.0
    ratio: Any = RATIO

    def denoise(
        self, v: Float[Array, "*shape"], *, correction: Array, wedge: Wedge, rho: Array | float
    ) -> Float[Array, "*shape"]:
        """:meth:`prox` with strength ``weight / rho`` in the direction of the wedge."""
        along = dataclasses.replace(self, direction_rad=wedge.center_rad)
        return along.prox(v, jnp.asarray(self.weight, v.dtype) / rho)

    def _norm_squared(self, axes: int) -> Any:
        return 4 * axes * jnp.maximum(1, self.ratio) ** 2

    def _gradient(self, x: Array) -> Array:
        # y points up, rows of pixels go down.
        *rows, down, right = image_gradient(x)
        cos, sin, ratio = self._direction(x.dtype)
        return jnp.stack([*rows, cos * right - sin * down, -ratio * (sin * right + cos * down)])

    def _adjoint(self, field: Array) -> Array:
        *rows, along, across = field
        cos, sin, ratio = self._direction(field.dtype)
        across = ratio * across
        down, right = -sin * along - cos * across, cos * along - sin * across
        return gradient_adjoint(jnp.stack([*rows, down, right]))

    def _direction(self, dtype) -> tuple[Array, Array, Array]:
        direction = jnp.asarray(self.direction_rad, dtype)
        return jnp.cos(direction), jnp.sin(direction), jnp.asarray(self.ratio, dtype)
