"""Coordinates, antialiased shapes and random numbers of procedural scenes.

Lengths are fractions of the field. A field of ``n`` pixels has side 1, and the centre of its pixel ``(i, j)``
is at ``x = (j - (n-1)/2)/n``, ``y = ((n-1)/2 - i)/n``, so that a key gives the same scene at every ``n``. The
support is the disc of radius :data:`SUPPORT`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

#: Radius of the disc outside which every scene is 0, as a fraction of the field.
SUPPORT = 0.48


def coordinates(n: int) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """Returns ``x`` and ``y`` of the pixels' centres, each (n, n); ``y`` points up."""
    t = (jnp.arange(n, dtype=jnp.float32) - (n - 1) / 2) / n
    x, y = jnp.meshgrid(t, -t)
    return x, y


def inside(distance: Array, width: Array | float) -> Array:
    """Returns the coverage, 0 to 1, by a shape with soft edges.

    Args:
        distance: Any shape, signed distance to the edge, positive inside the shape.
        width: Width of the edge.
    """
    return jnp.clip(distance / width + 0.5, 0.0, 1.0)


def stripe(distance: Array, half: Array | float, width: Array | float) -> Array:
    """Returns the coverage, 0 to 1, by a stripe with soft edges.

    A stripe thinner than its edges has the peak ``2 half / width``, which preserves its integral; one with
    ``half = 0`` covers nothing.

    Args:
        distance: Any shape, unsigned distance to the middle line.
        half: Half the width of the stripe.
        width: Width of both edges.
    """
    return jnp.clip((half - distance) / width + 0.5, 0.0, jnp.clip(2 * half / width, 0.0, 1.0))


def box(u: Array, v: Array, half_u: Array | float, half_v: Array | float, width: Array | float) -> Array:
    """Returns the coverage, 0 to 1, by a rectangle around the origin.

    Args:
        u: Any shape, coordinate along the first side.
        v: As ``u``, coordinate along the second side.
        half_u: Half the first side.
        half_v: Half the second side.
        width: Width of the edges.
    """
    return stripe(jnp.abs(u), half_u, width) * stripe(jnp.abs(v), half_v, width)


def support(x: Array, y: Array, width: Array | float) -> Array:
    """Returns the coverage, 0 to 1, by the disc of radius :data:`SUPPORT`; exactly 0 outside it."""
    return jnp.clip((SUPPORT - jnp.sqrt(x * x + y * y)) / width, 0.0, 1.0)


class Draw:
    """Random numbers taken, in the order of the calls, from one array of uniform numbers.

    One call of the generator for a whole scene compiles in a tenth of the time of one call for each number.

    Args:
        values: (count,), uniform in [0, 1): ``jax.random.uniform(key, (count,))``.
    """

    def __init__(self, values: Float[Array, " count"]):
        self._values = values
        self._next = 0

    def array(self, *shape: int) -> Array:
        """Returns an array of numbers, uniform in [0, 1).

        Raises:
            ValueError: If fewer numbers are left.
        """
        begin, self._next = self._next, self._next + math.prod(shape)
        if self._next > self._values.shape[0]:
            raise ValueError(
                f"the scene draws {self._next} random numbers and has {self._values.shape[0]}; expected at "
                "least as many as it draws"
            )
        return self._values[begin : self._next].reshape(shape)

    def normal(self, *shape: int) -> Array:
        """Returns an array of standard normal numbers, truncated at 3.3 standard deviations."""
        return jnp.sqrt(2.0) * jax.lax.erf_inv(0.999 * (2 * self.array(*shape) - 1))

    def uniform(self, low: Array | float = 0.0, high: Array | float = 1.0) -> Array:
        """Returns a number that is uniform in [low, high)."""
        return low + (high - low) * self.array()

    def log(self, low: Array | float, high: Array | float) -> Array:
        """Returns a number that is log-uniform in [low, high)."""
        return jnp.exp(self.uniform(jnp.log(low), jnp.log(high)))

    def chance(self, probability: Array | float) -> Array:
        """Returns True with a probability."""
        return self.array() < probability

    def choice(self, weights: Sequence[float]) -> Array:
        """Returns an index, drawn with relative weights."""
        edges = np.cumsum(np.asarray(weights, np.float32))
        return jnp.sum(self.array() * edges[-1] >= edges[:-1])
