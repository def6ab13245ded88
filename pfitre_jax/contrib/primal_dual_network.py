"""Networks of the learned primal-dual method: a small pair for each iteration.

:func:`init`, :func:`update_dual` and :func:`update_primal` are pure functions of a static
:class:`PrimalDualConfig`.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pfitre_jax.models.blocks import convolution, random_parameters, structure, with_arrays


@dataclasses.dataclass(frozen=True)
class PrimalDualConfig:
    """Configuration of the networks; static and hashable.

    The defaults are the published ones, with 25 198 parameters per iteration.

    Attributes:
        primal: Number of images in the primal variable, at least 2.
        dual: Number of sinograms in the dual variable.
        channels: Channels of the two hidden layers.
    """

    primal: int = 5
    dual: int = 5
    channels: int = 32

    def __post_init__(self):
        for name, least in (("primal", 2), ("dual", 1), ("channels", 1)):
            number = getattr(self, name)
            if not isinstance(number, int) or number < least:
                raise ValueError(f"{name} is {number!r}; expected a whole number of at least {least}")


class _PReLU(nnx.Module):
    # max(x, 0) + slope min(x, 0), with a learned slope that starts at 0.
    def __init__(self):
        self.slope = nnx.Param(jnp.zeros(()))

    def __call__(self, x):
        return jnp.where(x > 0, x, self.slope[...] * x)


class _Update(nnx.Module):
    # Three 3x3 convolutions from the inputs to the update of the variable.
    def __init__(self, inputs: int, channels: int, outputs: int, *, rngs: nnx.Rngs):
        self.enter = convolution(inputs, channels, rngs=rngs)
        self.first = _PReLU()
        self.middle = convolution(channels, channels, rngs=rngs)
        self.second = _PReLU()
        self.leave = convolution(channels, outputs, rngs=rngs)

    def __call__(self, x):
        return self.leave(self.second(self.middle(self.first(self.enter(x)))))


class _Pair(nnx.Module):
    def __init__(self, config: PrimalDualConfig, *, rngs: nnx.Rngs):
        self.dual = _Update(config.dual + 2, config.channels, config.dual, rngs=rngs)
        self.primal = _Update(config.primal + 1, config.channels, config.primal, rngs=rngs)


@functools.partial(jax.jit, static_argnums=(0, 2))
def init(config: PrimalDualConfig, key: Array, iterations: int) -> dict:
    """Returns random float32 parameters of all iterations, a nested dict of arrays (iterations, ...).

    The last layers are zero, so that the updates are zero before training.
    """
    abstract = structure(_Pair, config)[1]
    params = jax.vmap(lambda k: random_parameters(abstract, k))(jax.random.split(key, iterations))
    return {
        part: layers | {"leave": jax.tree.map(jnp.zeros_like, layers["leave"])}
        for part, layers in params.items()
    }


def update_dual(
    config: PrimalDualConfig,
    params: dict,
    dual: Float[Array, "views columns dual"],
    projected: Float[Array, "views columns"],
    data: Float[Array, "views columns"],
) -> Float[Array, "views columns dual"]:
    """Returns ``h + network(h, A f, y)``, in the type of ``h``.

    Args:
        config: Configuration; static.
        params: Parameters of one iteration.
        dual: (views, columns, dual), ``h``.
        projected: (views, columns), ``A f``.
        data: (views, columns), ``y``.
    """
    inputs = jnp.concatenate([dual, projected[..., None], data[..., None]], axis=-1)
    return dual + with_arrays(_Pair, config, params, dual.dtype).dual(inputs)


def update_primal(
    config: PrimalDualConfig,
    params: dict,
    primal: Float[Array, "ny nx primal"],
    back: Float[Array, "ny nx"],
) -> Float[Array, "ny nx primal"]:
    """Returns ``f + network(f, A^T h)``, in the type of ``f``.

    Args:
        config: Configuration; static.
        params: Parameters of one iteration.
        primal: (ny, nx, primal), ``f``.
        back: (ny, nx), ``A^T h``.
    """
    inputs = jnp.concatenate([primal, back[..., None]], axis=-1)
    return primal + with_arrays(_Pair, config, params, primal.dtype).primal(inputs)
