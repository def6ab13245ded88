"""Tools of procedural scenes: coordinates of the field, antialiased shapes, random numbers.

Lengths are fractions of the field. A field of ``n`` pixels has side 1, and its pixel ``(i, j)`` lies at
``x = (j - (n-1)/2) / n``, ``y = ((n-1)/2 - i) / n``, so that a key gives the same picture at every ``n``. The
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
    """Coordinates ``x, y`` of the pixel centres, each (n, n), fractions of the field; ``y`` points up."""
    t = (jnp.arange(n, dtype=jnp.float32) - (n - 1) / 2) / n
    x, y = jnp.meshgrid(t, -t)
    return x, y


def inside(distance: Array, width: Array | float) -> Array:
    """Coverage in [0, 1] at a signed ``distance`` (positive inside) from an edge that is ``width`` wide."""
    return jnp.clip(distance / width + 0.5, 0.0, 1.0)


def stripe(distance: Array, half: Array | float, width: Array | float) -> Array:
    """Coverage of a stripe of half width ``half`` at a ``distance`` of at least 0 from its middle line.

    Both edges are ramps of ``width``. A stripe thinner than ``width`` has the peak ``2 half / width``, which
    keeps its integral, and a stripe with ``half = 0`` is empty.
    """
    return jnp.clip((half - distance) / width + 0.5, 0.0, jnp.clip(2 * half / width, 0.0, 1.0))


def box(u: Array, v: Array, half_u: Array | float, half_v: Array | float, width: Array | float) -> Array:
    """Coverage of a rectangle with half sides ``half_u`` and ``half_v`` around the origin of ``(u, v)``."""
    return stripe(jnp.abs(u), half_u, width) * stripe(jnp.abs(v), half_v, width)


def support(x: Array, y: Array, width: Array | float) -> Array:
    """Coverage of the disc of radius :data:`SUPPORT`; exactly 0 outside it."""
    return jnp.clip((SUPPORT - jnp.sqrt(x * x + y * y)) / width, 0.0, 1.0)


class Draw:
    """A stream of random numbers from one flat array of uniform numbers.

    One call of the generator for a whole scene compiles in a tenth of the time of one call for each number.
    """

    def __init__(self, values: Array):
        """Starts a stream.

        Args:
            values: (count,), uniform in [0, 1): ``jax.random.uniform(key, (count,))``.
        """
        self._values = values
        self._next = 0

    def array(self, *shape: int) -> Array:
        """Returns the next numbers, uniform in [0, 1), in a shape."""
        begin, self._next = self._next, self._next + math.prod(shape)
        if self._next > self._values.shape[0]:
            raise ValueError(
                f"{self._values.shape[0]} random numbers are not enough; expected {self._next} or more"
            )
        return self._values[begin : self._next].reshape(shape)

    def normal(self, *shape: int) -> Array:
        """Returns standard normal numbers, truncated at 3.3 sigma."""
        return jnp.sqrt(2.0) * jax.lax.erf_inv(0.999 * (2 * self.array(*shape) - 1))

    def uniform(self, low: Array | float = 0.0, high: Array | float = 1.0) -> Array:
        """Returns a uniform number."""
        return low + (high - low) * self.array()

    def log(self, low: Array | float, high: Array | float) -> Array:
        """Returns a log-uniform number."""
        return jnp.exp(self.uniform(jnp.log(low), jnp.log(high)))

    def chance(self, probability: Array | float) -> Array:
        """Returns True with a probability."""
        return self.array() < probability

    def choice(self, weights: Sequence[float]) -> Array:
        """Returns an index that is drawn with relative weights."""
        edges = np.cumsum(np.asarray(weights, np.float32))
        return jnp.sum(self.array() * edges[-1] >= edges[:-1])
