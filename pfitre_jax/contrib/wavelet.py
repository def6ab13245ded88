"""Wavelet sparsity prior."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Prox

_ROOT3 = math.sqrt(3)
#: Scaling filters ``h`` of orthonormal wavelets; "db2" has four taps and two vanishing moments.
FILTERS = {
    "haar": (1 / math.sqrt(2), 1 / math.sqrt(2)),
    "db2": tuple(c / (4 * math.sqrt(2)) for c in (1 + _ROOT3, 3 + _ROOT3, 3 - _ROOT3, 1 - _ROOT3)),
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Wavelet(Prox):
    """``weight * sum |d|`` over the detail coefficients ``d`` of an orthonormal separable wavelet transform.

    The prox is exact: transform, soft threshold, inverse transform. The grid of the transform is visible in
    the image. Averaging over shifts of the image (cycle spinning) removes it, but :meth:`denoise` is then no
    longer the prox of :meth:`value`. ``x >= 0`` is imposed by the data step of the splitting methods, not by
    this prior.

    It suits textures and smooth gradients, in which total variation creates steps (staircasing).

    Attributes:
        weight: (), weight of the prior, relative to ``||A||^2 = 1``. Only :meth:`denoise` and :meth:`value`
            use it.
        levels: Number of levels of the transform; static.
        family: Key of :data:`FILTERS`; static.
        shifts: Number of shifts along each axis over which :meth:`denoise` averages; static. 1 for the prox;
            more than ``2**levels`` add nothing.

    References:
        Daubechies, Orthonormal bases of compactly supported wavelets, Comm. Pure Appl. Math. 41, 1988.
        Donoho & Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 81, 1994.
        Coifman & Donoho, Translation-invariant de-noising, 1995.
    """

    weight: Any
    levels: int = dataclasses.field(default=3, metadata={"static": True})
    family: str = dataclasses.field(default="db2", metadata={"static": True})
    shifts: int = dataclasses.field(default=1, metadata={"static": True})

    def __post_init__(self):
        if self.family not in FILTERS:
            raise ValueError(f"family is {self.family!r}; expected one of {', '.join(FILTERS)}")
        for name in ("levels", "shifts"):
            number = getattr(self, name)
            if not isinstance(number, int) or number < 1:
                raise ValueError(f"{name} is {number!r}; expected a whole number of at least 1")

    def prox(self, v: Float[Array, "ny nx"], strength: Array | float) -> Float[Array, "ny nx"]:
        """``argmin_x 1/2 ||x - v||^2 + strength sum |d(x)|``.

        Args:
            v: (ny, nx).
            strength: ().
        """
        strength = jnp.asarray(strength, v.dtype)
        approximation, details = analyse(v, self.levels, self.family)
        shrunk = jax.tree.map(lambda d: d - jnp.clip(d, -strength, strength), details)
        return synthesise(approximation, shrunk, self.family)

    def denoise(
        self, v: Float[Array, "ny nx"], *, correction: Array, wedge: Wedge, rho: Array | float
    ) -> Float[Array, "ny nx"]:
        """:meth:`prox` with strength ``weight / rho``, or its mean over shifts of the image."""
        strength = jnp.asarray(self.weight, v.dtype) / rho
        if self.shifts == 1:
            return self.prox(v, strength)

        def shifted(by):
            return jnp.roll(self.prox(jnp.roll(v, by, (0, 1)), strength), -by, (0, 1))

        all_shifts = jnp.indices((self.shifts, self.shifts)).reshape(2, -1).T
        return jnp.mean(jax.vmap(shifted)(all_shifts), axis=0)

    def value(self, x: Float[Array, "ny nx"]) -> Float[Array, ""]:
        """``weight * sum |d(x)|``."""
        _, details = analyse(x, self.levels, self.family)
        return self.weight * sum(jnp.sum(jnp.abs(d)) for d in jax.tree.leaves(details))


def analyse(
    x: Float[Array, "ny nx"], levels: int, family: str
) -> tuple[Array, list[tuple[Array, Array, Array]]]:
    """Wavelet transform.

    The transform is periodic and orthonormal for any size: at an odd size the last line is appended to
    the approximation.

    Returns:
        The approximation, and for each level from fine to coarse the details (low-high, high-low, high-high),
        low-pass and high-pass along y and x.
    """
    details = []
    for _ in range(levels):
        low, high = (_split(part, 1, family) for part in _split(x, 0, family))
        x = low[0]
        details.append((low[1], high[0], high[1]))
    return x, details


def synthesise(
    approximation: Array, details: list[tuple[Array, Array, Array]], family: str
) -> Float[Array, "ny nx"]:
    """Inverse of :func:`analyse`, which is also its transpose."""
    x = approximation
    for low_high, high_low, high_high in reversed(details):
        low, high = _join(x, low_high, 1, family), _join(high_low, high_high, 1, family)
        x = _join(low, high, 0, family)
    return x


def _taps(family: str) -> list[tuple[int, float, float]]:
    # Offset of each tap, and its coefficients in the low-pass and the high-pass filter.
    h = FILTERS[family]
    first = 1 - len(h) // 2
    return [(j + first, c, (-1) ** j * h[-1 - j]) for j, c in enumerate(h)]


def _split(x: Array, axis: int, family: str) -> tuple[Array, Array]:
    """Low and high band along an axis, ``low[k] = sum_j h[j] x[2k + j]``, centred on ``x[2k]``."""
    x = jnp.moveaxis(x, axis, 0)
    even, last = jnp.split(x, [x.shape[0] // 2 * 2])
    low: Any = 0
    high: Any = 0
    for offset, to_low, to_high in _taps(family):
        values = jnp.roll(even, -offset, 0)[::2]
        low, high = low + to_low * values, high + to_high * values
    low = jnp.concatenate([low, last])
    return jnp.moveaxis(low, 0, axis), jnp.moveaxis(high, 0, axis)


def _join(low: Array, high: Array, axis: int, family: str) -> Array:
    """The transpose of :func:`_split`."""
    low, high = (jnp.moveaxis(band, axis, 0) for band in (low, high))
    low, last = jnp.split(low, [high.shape[0]])
    x: Any = 0
    for offset, from_low, from_high in _taps(family):
        values = from_low * low + from_high * high
        spread = jnp.stack([values, jnp.zeros_like(values)], 1).reshape(2 * len(values), *values.shape[1:])
        x = x + jnp.roll(spread, offset, 0)
    return jnp.moveaxis(jnp.concatenate([x, last]), 0, axis)
