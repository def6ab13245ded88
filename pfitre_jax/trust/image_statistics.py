"""Four statistics of an image, and their distance to those of the images that a prior was evaluated on.

The distance detects samples that a prior was not trained for. Features and residuals of the network do not
detect them: both have their usual values for photographs, too (docs/measurements/log.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.signal import convolve2d
from jaxtyping import Array, Float

#: Names of the statistics in the order of :func:`statistics`.
STATISTICS = ("sharpness", "order", "level", "spread")
#: Share of the reference images with a distance below the limit.
QUANTILE = 0.95
#: Number of nearest reference images over which the distance is averaged.
NEIGHBOURS = 3

# Scharr's derivative: its direction is accurate to 0.2 degrees, that of Sobel's to 2.
_SCHARR = np.outer([3, 10, 3], [1, 0, -1]) / 32
_TINY = 1e-12


def statistics(x: Float[Array, "ny nx"]) -> Float[Array, " 4"]:
    """Statistics of an image ``x`` and its gradient ``g = |g| exp(i phi)``; surrounding air has no effect.

    - sharpness: ``log(sum |g|^2 / sum x^2)``, amount and steepness of the edges.
    - order: ``|sum |g|^2 exp(4 i phi)| / sum |g|^2``, 1 where all edges are parallel or at right angles, as
      in circuits, and 0 where they run in all directions.
    - level: ``log(sum x^2 / sum x)``, brightness of the material.
    - spread: ``log((sum |g|)^2 / sum |g|^2) - log((sum x)^2 / sum x^2)``, area of the edges over that of the
      material, small where a few strong edges bound large uniform regions.

    Args:
        x: (ny, nx), values of about [0, 1]. The statistics of a blank image are finite.
    """
    across, down = (convolve2d(x, jnp.asarray(k, x.dtype), mode="same") for k in (_SCHARR, _SCHARR.T))
    squared = across**2 + down**2
    edge_energy, energy = jnp.sum(squared) + _TINY, jnp.sum(x**2) + _TINY
    # |g|^2 exp(4 i phi) = (across + i down)^4 / |g|^2
    real = (across**2 - down**2) ** 2 - (2 * across * down) ** 2
    imaginary = 4 * across * down * (across**2 - down**2)
    denominator = jnp.maximum(squared, _TINY)
    order = jnp.hypot(jnp.sum(real / denominator), jnp.sum(imaginary / denominator)) / edge_energy
    mass = jnp.maximum(jnp.sum(x), _TINY)
    # The square root is not differentiable at 0; these statistics are never differentiated.
    edge_area = (jnp.sum(jnp.sqrt(squared)) + _TINY) ** 2 / edge_energy
    return jnp.stack(
        [
            jnp.log(edge_energy / energy),
            order,
            jnp.log(energy / mass),
            jnp.log(edge_area) - jnp.log(mass**2 / energy),
        ]
    )


def reference_statistics(image_statistics: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Returns the entry of a model card that :func:`domain_scores` compares with.

    Args:
        image_statistics: (images, 4), :func:`statistics` of the images that the prior was evaluated on.

    Returns:
        A JSON-able dict: ``statistics``, their names; ``images``, their values; ``deviation``, the standard
        deviation of each; ``limit``, the quantile :data:`QUANTILE` of the distances of each image to
        the others.

    Raises:
        ValueError: For another shape, or :data:`NEIGHBOURS` images or fewer.
    """
    values = np.asarray(image_statistics, float)
    if values.ndim != 2 or len(values) <= NEIGHBOURS or values.shape[1] != len(STATISTICS):
        raise ValueError(
            f"statistics of shape {values.shape}; expected (images, {len(STATISTICS)}), more than "
            f"{NEIGHBOURS} images"
        )
    deviation = np.maximum(values.std(axis=0, ddof=1), 1e-6)
    others = [np.delete(values, k, axis=0) for k in range(len(values))]
    distances = [_distances(v[None], rest, deviation)[0] for v, rest in zip(values, others, strict=True)]
    return {
        "statistics": list(STATISTICS),
        "images": np.round(values, 4).tolist(),
        "deviation": deviation.tolist(),
        "limit": max(float(np.quantile(distances, QUANTILE)), 1e-6),
    }


def domain_scores(reference: dict[str, Any], image_statistics: Sequence[Sequence[float]]) -> np.ndarray:
    """Returns the out-of-distribution score of each image, above 1 for 5% of images like the reference.

    It is the mean distance to the :data:`NEIGHBOURS` nearest reference images over the limit of the
    reference, with each statistic in units of its standard deviation. Nearest images are used because the
    kinds of images in a reference need not have a common mean.

    Args:
        reference: Entry of a card, see :func:`reference_statistics`.
        image_statistics: (images, 4), :func:`statistics` of each image.

    Returns:
        (images,), the scores.
    """
    values, deviation = (np.asarray(reference[k], float) for k in ("images", "deviation"))
    return _distances(np.asarray(image_statistics, float), values, deviation) / reference["limit"]


def _distances(values: np.ndarray, reference: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm((values[:, None] - reference[None]) / deviation, axis=-1)
    return np.sort(distances, axis=1)[:, :NEIGHBOURS].mean(axis=1)
