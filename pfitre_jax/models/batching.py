"""The network on many images: a few at a time on a CPU, whose caches hold no more.

All at once take a CPU a quarter longer and seven times the memory (``python -m benchmarks.network``).
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

from pfitre_jax.models.unet import UNetConfig, correct

#: Images that a CPU takes at a time.
GROUP = 4


def correct_many(
    config: UNetConfig,
    params: dict,
    images: Float[Array, "n ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "n ny nx"]:
    """:func:`pfitre_jax.models.unet.correct` of each image; however it is vmapped over images, on a CPU
    :data:`GROUP` of them at a time. Differentiated, it is a plain ``vmap``."""
    return _many(config)(params, images, condition)


@functools.lru_cache
def _many(config: UNetConfig):
    def one(params, image, condition):
        return correct(config, params, image, condition)

    at_once = jax.vmap(one, (None, 0, None))

    @custom_vmap
    def grouped(params, images, condition):
        if jax.default_backend() != "cpu" or len(images) <= GROUP:
            return at_once(params, images, condition)
        return jax.lax.map(lambda image: one(params, image, condition), images, batch_size=GROUP)

    @grouped.def_vmap
    def _(axis_size, in_batched, params, images, condition):
        other, batched = jax.tree.leaves((in_batched[0], in_batched[2])), in_batched[1]
        if any(other) or not batched:
            axes = jax.tree.map(lambda is_batched: 0 if is_batched else None, tuple(in_batched))
            return jax.vmap(at_once, axes)(params, images, condition), True
        merged = images.reshape(axis_size * images.shape[1], *images.shape[2:])
        out = grouped(params, merged, condition)
        return jnp.reshape(out, (axis_size, images.shape[1], *out.shape[1:])), True

    @jax.custom_vjp
    def many(params, images, condition):
        return grouped(params, images, condition)

    many.defvjp(
        lambda *args: jax.vjp(at_once, *args),
        lambda pull, cotangent: pull(cotangent),
    )
    return many
