"""The network in PyTorch as primitives of JAX: one custom call forward, one for the gradient.

In contrast to ``jax.custom_vjp``, primitives know under ``grad(vmap(...))`` that the parameters are the same
for all images, so that their gradient is computed once for the batch and not for each image.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from pfitre_jax.models.onednn import custom_call, executor
from pfitre_jax.models.onednn.executor import Call
from pfitre_jax.models.onednn.network import Architecture

#: Targets of the custom calls; the compilation cache of JAX stores them by name.
FORWARD, BACKWARD = "pfitre_network_1", "pfitre_network_gradient_1"
REFUSED = (
    "the oneDNN engine of the network has first derivatives in reverse mode only (jax.grad, jax.vjp); set "
    "the environment variable PFITRE_NETWORK=xla for second derivatives; no engine has forward mode"
)


def predict(
    architecture: Architecture,
    dtype: str,
    output: str,
    params: dict,
    images: Float[Array, "n ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "n ny nx"]:
    """Returns an output of the network for each image.

    Args:
        architecture: Architecture of the network.
        dtype: Type that the convolutions compute in: float32 or bfloat16.
        output: ``"update"``, or ``"log_error"`` for the logarithm of the expected error.
        params: Parameters; computed with in float32 apart from the convolutions.
        images: (n, ny, nx, in_channels).
        condition: (k,).
    """
    custom_call.register(FORWARD, executor.forward)
    custom_call.register(BACKWARD, executor.backward)
    operands = (images, condition[None], *jax.tree.leaves(params))
    call = Call(architecture, dtype, output)
    return _forward.bind(*(a.astype(jnp.float32) for a in operands), call=call).astype(images.dtype)


_forward = Primitive("pfitre_network")
_tangent = Primitive("pfitre_network_tangent")
_backward = Primitive("pfitre_network_gradient")
_backward.multiple_results = True


def _refuse(*_: Any, **__: Any) -> Any:
    raise NotImplementedError(REFUSED)


@functools.lru_cache
def _eager(primitive: Any, call: Call) -> Callable:
    return jax.jit(functools.partial(primitive.bind, call=call))


for _primitive in (_forward, _backward):
    _primitive.def_impl(lambda *operands, call, p=_primitive: _eager(p, call)(*operands))


# Forward: (images, conditions, *params) -> updates.


@_forward.def_abstract_eval
def _(images, conditions, *params, call):
    return jax.core.ShapedArray(images.shape[:3], images.dtype)


def _lower_forward(*operands, call):
    shape = jax.ShapeDtypeStruct(operands[0].shape[:3], jnp.float32)
    return [jax.ffi.ffi_call(FORWARD, shape)(*operands, settings=call.to_json())]


mlir.register_lowering(_forward, mlir.lower_fun(_lower_forward, multiple_results=True), platform="cpu")


def _differentiate(primals, tangents, *, call):
    updates = _forward.bind(*primals, call=dataclasses.replace(call, keep=True))
    images, conditions, *params = (not isinstance(t, ad.Zero) for t in tangents)
    gradients = (images, conditions, any(params))
    groups = [*gradients[:2], *[gradients[2]] * len(params)]
    used = [ad.instantiate_zeros(t) for t, needed in zip(tangents, groups, strict=True) if needed]
    return updates, _tangent.bind(*primals, *used, call=dataclasses.replace(call, gradients=gradients))


ad.primitive_jvps[_forward] = _differentiate


# Tangent: (*primals, *tangents) -> tangent of the updates. Only its transpose is ever computed.


@_tangent.def_abstract_eval
def _(images, conditions, *others, call):
    return jax.core.ShapedArray(images.shape[:3], images.dtype)


def _count(operands: Any, call: Call) -> int:
    """Number of primal operands among those of a tangent."""
    images, conditions, params = call.gradients
    rest = len(operands) - 2 - images - conditions
    return 2 + (rest // 2 if params else rest)


def _transpose(cotangent, *operands, call):
    number = _count(operands, call)
    if isinstance(cotangent, ad.Zero):
        return [None] * len(operands)
    return [None] * number + _backward.bind(cotangent, *operands[:number], call=call)


_tangent.def_impl(_refuse)
mlir.register_lowering(_tangent, _refuse)
ad.primitive_jvps[_tangent] = _refuse
ad.primitive_transposes[_tangent] = _transpose
batching.primitive_batchers[_tangent] = _refuse


# Gradient: (cotangent, *primals) -> the gradients of the call.


def _gradient_shapes(primals, call: Call) -> list:
    images, conditions, *params = primals
    groups = ([images], [conditions], params)
    return [leaf for group, needed in zip(groups, call.gradients, strict=True) if needed for leaf in group]


@_backward.def_abstract_eval
def _(cotangent, *primals, call):
    return [jax.core.ShapedArray(a.shape, a.dtype) for a in _gradient_shapes(primals, call)]


def _lower_backward(*operands, call):
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in _gradient_shapes(operands[1:], call)]
    return jax.ffi.ffi_call(BACKWARD, shapes)(*operands, settings=call.to_json())


mlir.register_lowering(_backward, mlir.lower_fun(_lower_backward, multiple_results=True), platform="cpu")
ad.primitive_jvps[_backward] = _refuse


# Batching: one call for all images where the parameters are the same, else one after the other.


def _batch_forward(operands, axes, *, call):
    size = _axis_size(operands, axes)
    if any(axis is not None for axis in axes[2:]):
        return _one_by_one(lambda *a: _forward.bind(*a, call=call), operands, axes), 0
    images, conditions = _merge(size, operands[:2], axes[:2])
    updates = _forward.bind(images, conditions, *operands[2:], call=call)
    return updates.reshape(size, -1, *updates.shape[1:]), 0


def _batch_backward(operands, axes, *, call):
    size = _axis_size(operands, axes)
    # A gradient to the parameters is computed for each element of the batch.
    if call.gradients[2] or any(axis is not None for axis in axes[3:]):
        results = _one_by_one(lambda *a: _backward.bind(*a, call=call), operands, axes)
        return results, [0] * len(results)
    cotangent, images, conditions = (
        _batch_axis_first(size, a, axis) for a, axis in zip(operands[:3], axes[:3], strict=True)
    )
    number = images.shape[1]
    # Each image has its own condition here, so that each has its own gradient to it.
    repeated = jnp.broadcast_to(conditions, (size, number, conditions.shape[2]))
    flat = [a.reshape(size * number, *a.shape[2:]) for a in (cotangent, images, repeated)]
    results = [a.reshape(size, number, *a.shape[1:]) for a in _backward.bind(*flat, *operands[3:], call=call)]
    if call.gradients[1] and conditions.shape[1] == 1:
        results[-1] = jnp.sum(results[-1], axis=1, keepdims=True)
    return results, [0] * len(results)


batching.primitive_batchers[_forward] = _batch_forward
batching.primitive_batchers[_backward] = _batch_backward


def _axis_size(operands, axes) -> int:
    return next(a.shape[axis] for a, axis in zip(operands, axes, strict=True) if axis is not None)


def _batch_axis_first(size: int, operand, axis):
    """The operand with the mapped axis in front, repeated if it has none."""
    if axis is None:
        return jnp.broadcast_to(operand[None], (size, *operand.shape))
    return jnp.moveaxis(operand, axis, 0)


def _merge(size: int, operands, axes):
    """Images (n, ...) and conditions (1 or n, k) of a mapped axis as those of one batch."""
    images = _batch_axis_first(size, operands[0], axes[0])
    number = images.shape[1]
    conditions = operands[1]
    if axes[1] is not None or len(conditions) > 1:
        conditions = jnp.broadcast_to(
            _batch_axis_first(size, conditions, axes[1]), (size, number, conditions.shape[-1])
        )
        conditions = conditions.reshape(size * number, -1)
    return images.reshape(size * number, *images.shape[2:]), conditions


def _one_by_one(function: Callable, operands, axes):
    mapped = [axis is not None for axis in axes]
    batched = [jnp.moveaxis(a, axis, 0) for a, axis, m in zip(operands, axes, mapped, strict=True) if m]

    def one(some):
        some = iter(some)
        return function(*(next(some) if m else a for a, m in zip(operands, mapped, strict=True)))

    return jax.lax.map(one, batched)
