"""What every procedural scene is drawn with: the field's coordinates, antialiased edges, random numbers.

Lengths are fractions of the field: a field of ``n`` pixels has side 1, its pixel ``(i, j)`` sits at
``x = (j-(n-1)/2)/n``, ``y = ((n-1)/2-i)/n``, so that a key gives the same picture at every ``n``. The support
is the disc of radius :data:`SUPPORT`.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

#: Radius of the disc outside which every scene is 0, as a fraction of the field.
SUPPORT = 0.48


def coordinates(n: int) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """``x, y (n, n)`` of the pixels' centres, ``y`` up."""
    t = (jnp.arange(n, dtype=jnp.float32) - (n - 1) / 2) / n
    return jnp.meshgrid(t, -t)


def inside(distance, width):
    """Coverage in [0, 1] at a signed ``distance`` (positive inside) of an edge that is ``width`` wide."""
    return jnp.clip(distance / width + 0.5, 0.0, 1.0)


def stripe(distance, half, width):
    """Coverage of a stripe of half width ``half`` at ``abs(distance)`` from its middle line.

    A ramp of ``width`` at both edges; a stripe thinner than that has the peak ``2 half / width``, so that its
    integral is right and ``half = 0`` is none.
    """
    return jnp.clip((half - distance) / width + 0.5, 0.0, jnp.clip(2 * half / width, 0.0, 1.0))


def box(u, v, half_u, half_v, width):
    """Coverage of a rectangle of the given half sides around the origin of ``(u, v)``."""
    return stripe(jnp.abs(u), half_u, width) * stripe(jnp.abs(v), half_v, width)


def support(x, y, width):
    """Coverage of the disc of radius :data:`SUPPORT`; exactly 0 outside it."""
    return jnp.clip((SUPPORT - jnp.sqrt(x * x + y * y)) / width, 0.0, 1.0)


class Draw:
    """Random numbers handed out, in the order of the calls, from one flat array of uniform ones.

    One call of the generator for a whole scene compiles in a tenth of the time that one per number takes.
    """

    def __init__(self, values):
        """values: (count,), uniform in [0, 1): ``jax.random.uniform(key, (count,))``."""
        self._values = values
        self._next = 0

    def array(self, *shape: int):
        """The next numbers, uniform in [0, 1), in this shape."""
        begin, self._next = self._next, self._next + math.prod(shape)
        if self._next > self._values.shape[0]:
            raise ValueError(
                f"{self._values.shape[0]} random numbers are not enough; expected {self._next} or more"
            )
        return self._values[begin : self._next].reshape(shape)

    def normal(self, *shape: int):
        """Standard normal, cut at 3.3 sigma."""
        return jnp.sqrt(2.0) * jax.lax.erf_inv(0.999 * (2 * self.array(*shape) - 1))

    def uniform(self, low=0.0, high=1.0):
        return low + (high - low) * self.array()

    def log(self, low, high):
        """Log-uniform."""
        return jnp.exp(self.uniform(jnp.log(low), jnp.log(high)))

    def chance(self, probability):
        return self.array() < probability

    def choice(self, weights):
        """Index drawn with the given relative weights."""
        edges = np.cumsum(np.asarray(weights, np.float32))
        return jnp.sum(self.array() * edges[-1] >= edges[:-1])
