"""A function of one image, applied to many images: in small groups on a CPU, all at once elsewhere.

The intermediate results of a few images fit into the caches of a CPU. All images at once take a quarter
longer and seven times the memory (``python -m benchmarks.network``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

#: Number of images that a CPU processes together.
GROUP = 4


def map_images(
    function: Callable,
    config: Any,
    params: dict,
    images: Float[Array, "n ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "n ny nx"]:
    """Returns ``function(config, params, image, condition)`` of each image.

    However it is vmapped over images, a CPU processes :data:`GROUP` of them together. Its derivative is that
    of a plain ``vmap``.

    Args:
        function: Function of one image; hashable, defined at the top level of a module.
        config: Static and hashable.
        params: Nested dict of arrays, the same for all images.
        images: (n, ny, nx, channels).
        condition: (k,), the same for all images.
    """
    return _grouped(function, config)(params, images, condition)


@functools.lru_cache
def _grouped(function: Callable, config: Any) -> Callable:
    def one(params, image, condition):
        return function(config, params, image, condition)

    at_once = jax.vmap(one, (None, 0, None))

    @custom_vmap
    def in_groups(params, images, condition):
        if jax.default_backend() != "cpu" or len(images) <= GROUP:
            return at_once(params, images, condition)
        return jax.lax.map(lambda image: one(params, image, condition), images, batch_size=GROUP)

    @in_groups.def_vmap
    def _(axis_size, in_batched, params, images, condition):
        shared, images_batched = jax.tree.leaves((in_batched[0], in_batched[2])), in_batched[1]
        if any(shared) or not images_batched:
            axes = jax.tree.map(lambda is_batched: 0 if is_batched else None, tuple(in_batched))
            return jax.vmap(at_once, axes)(params, images, condition), True
        merged = images.reshape(axis_size * images.shape[1], *images.shape[2:])
        out = in_groups(params, merged, condition)
        return jnp.reshape(out, (axis_size, images.shape[1], *out.shape[1:])), True

    @jax.custom_vjp
    def differentiable(params, images, condition):
        return in_groups(params, images, condition)

    differentiable.defvjp(
        lambda *args: jax.vjp(at_once, *args),
        lambda pull_back, cotangent: pull_back(cotangent),
    )
    return differentiable
