"""Does a result look like the images that a prior was judged on? Four statistics of it, and a distance.

The network's own features and its misfit do not tell: they are as usual on photographs, which it restores
smoothly, as on circuits (docs/measurements/log.md). What the image looks like does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.signal import convolve2d
from jaxtyping import Array, Float

#: What :func:`statistics` returns, in its order.
STATISTICS = ("sharpness", "order", "level", "spread")
#: Share of the reference images whose distance stays below the limit.
QUANTILE = 0.95
#: Images of the reference that an image is compared with.
NEIGHBOURS = 3

# Scharr's derivative: its direction is right to 0.2 degrees, Sobel's to 2.
_SCHARR = np.outer([3, 10, 3], [1, 0, -1]) / 32
_TINY = 1e-12


def statistics(x: Float[Array, "ny nx"]) -> Float[Array, " 4"]:
    """What an image looks like, from its gradient ``g = |g| exp(i phi)``; air around it does not count.

    sharpness: ``log(sum |g|^2 / sum x^2)``, how much edge there is, and how steep
    order: ``|sum |g|^2 exp(4 i phi)| / sum |g|^2``, 1 where all edges are parallel or at right angles, as in
        circuits, 0 where they run in all directions
    level: ``log(sum x^2 / sum x)``, the brightness of what is bright
    spread: ``log((sum |g|)^2 / sum |g|^2) - log((sum x)^2 / sum x^2)``, the area of the edges over that of
        the material: small where few strong edges bound large even parts

    x: (ny, nx), values of about [0, 1]; of a blank one all are finite
    """
    across, down = (convolve2d(x, jnp.asarray(k, x.dtype), mode="same") for k in (_SCHARR, _SCHARR.T))
    squared = across**2 + down**2
    total, size = jnp.sum(squared) + _TINY, jnp.sum(x**2) + _TINY
    # |g|^2 exp(4 i phi) = (across + i down)^4 / |g|^2
    real = (across**2 - down**2) ** 2 - (2 * across * down) ** 2
    imaginary = 4 * across * down * (across**2 - down**2)
    per = jnp.maximum(squared, _TINY)
    order = jnp.hypot(jnp.sum(real / per), jnp.sum(imaginary / per)) / total
    mass = jnp.maximum(jnp.sum(x), _TINY)
    # The root has no gradient at 0, and none is taken.
    edges = (jnp.sum(jnp.sqrt(squared)) + _TINY) ** 2 / total
    return jnp.stack(
        [jnp.log(total / size), order, jnp.log(size / mass), jnp.log(edges) - jnp.log(mass**2 / size)]
    )


def reference(of_images: Sequence[Sequence[float]]) -> dict[str, Any]:
    """What a card says of the images that a prior was judged on, from the :func:`statistics` of each.

    images: the statistics; deviation: of each over the images; limit: distance (:func:`unlikeness`) to the
    others that ``QUANTILE`` of the images stay below. ``ValueError`` for no more than ``NEIGHBOURS``.
    """
    values = np.asarray(of_images, float)
    if values.ndim != 2 or len(values) <= NEIGHBOURS or values.shape[1] != len(STATISTICS):
        raise ValueError(
            f"statistics of shape {values.shape}; expected (images, {len(STATISTICS)}), more than "
            f"{NEIGHBOURS} images"
        )
    deviation = np.maximum(values.std(axis=0, ddof=1), 1e-6)
    others = [np.delete(values, k, axis=0) for k in range(len(values))]
    found = [_distance(v[None], rest, deviation)[0] for v, rest in zip(values, others, strict=True)]
    return {
        "statistics": list(STATISTICS),
        "images": np.round(values, 4).tolist(),
        "deviation": deviation.tolist(),
        "limit": max(float(np.quantile(found, QUANTILE)), 1e-6),
    }


def unlikeness(reference: dict[str, Any], of_images: Sequence[Sequence[float]]) -> np.ndarray:
    """Distance of images to a :func:`reference`, over its limit: above 1 for 5% of images like those of it.

    The distance is the mean of those to the ``NEIGHBOURS`` nearest images of the reference, statistics in
    units of their deviation: kinds of images that lie apart need no common mean.
    """
    known, deviation = (np.asarray(reference[k], float) for k in ("images", "deviation"))
    return _distance(np.asarray(of_images, float), known, deviation) / reference["limit"]


def _distance(values, known, deviation):
    to_each = np.linalg.norm((values[:, None] - known[None]) / deviation, axis=-1)
    return np.sort(to_each, axis=1)[:, :NEIGHBOURS].mean(axis=1)
