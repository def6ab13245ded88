"""Runs the network and its gradient on NumPy arrays, in one thread that keeps weights and graphs.

PyTorch works in a single thread of this process, whichever thread of XLA calls, so that there is one team of
OpenMP threads, as many as the processors that the process may use. XLA's own threads wait meanwhile.

Nothing here depends on the identity of an array, only on its content: XLA may reuse a buffer, call twice, or
never ask for the gradient.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from pfitre_jax.models.onednn.network import Architecture, Weights, as_parameter, graph_bytes, predict, torch

#: Bytes of a channel of the images that are processed together without a gradient: their features stay in the
#: caches.
CHUNK_BYTES = 160_000
#: Networks whose converted weights are kept.
KEPT_WEIGHTS = 8
#: Bytes of forward passes that are kept for their gradients. A pass beyond them is repeated for its gradient.
KEPT_BYTES = 1 << 30


@dataclasses.dataclass(frozen=True)
class Call:
    """What a call of XLA computes.

    Attributes:
        architecture: Architecture of the network.
        dtype: Type that the convolutions compute in: float32 or bfloat16.
        output: ``"update"``, or ``"log_error"`` for the logarithm of the expected error.
        keep: Whether a forward pass is kept, because a gradient may follow.
        gradients: Whether the gradient to the images, to the conditions, to the parameters is computed.
    """

    architecture: Architecture
    dtype: str
    output: str = "update"
    keep: bool = False
    gradients: tuple[bool, bool, bool] = (False, False, False)

    def to_json(self) -> str:
        """The call as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    @functools.lru_cache
    def from_json(cls, text: str) -> Call:
        """Reads the text of :meth:`to_json`."""
        fields = _hashable(json.loads(text))
        return cls(Architecture(**fields.pop("architecture")), **fields)


def _hashable(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _hashable(child) for name, child in node.items()}
    return tuple(map(_hashable, node)) if isinstance(node, list) else node


@dataclasses.dataclass(frozen=True)
class _Pass:
    """A forward pass whose gradient has not been asked for yet."""

    call: Call
    weights: Weights
    images: Any
    conditions: Any
    result: Any
    bytes: int

    def equals(self, call: Call, weights: Weights, images: np.ndarray, conditions: np.ndarray) -> bool:
        return (
            (self.call.architecture, self.call.dtype, self.call.output)
            == (call.architecture, call.dtype, call.output)
            and self.weights is weights
            and np.array_equal(self.conditions.detach().numpy(), conditions)
            and np.array_equal(self.images.detach().numpy(), images)
        )


_weights: list[tuple[Architecture, str, list[np.ndarray], Weights]] = []
_passes: list[_Pass] = []


@functools.lru_cache
def _thread() -> ThreadPoolExecutor:
    def start():
        torch().set_num_threads(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        )

    return ThreadPoolExecutor(1, "pfitre_network", start)


def in_thread(function: Callable) -> Callable:
    """Returns a function that runs in the thread of PyTorch and that is not left before it has ended."""

    @functools.wraps(function)
    def run(text: str, arguments: list[np.ndarray], results: list[np.ndarray]) -> None:
        future: Future = _thread().submit(function, text, arguments, results)
        try:
            future.result()
        except BaseException:
            # After Ctrl-C the function still writes to arrays that the caller is about to free.
            while not future.done():
                try:
                    future.exception()
                except BaseException:
                    continue
            raise

    return run


@in_thread
def forward(text: str, arguments: list[np.ndarray], results: list[np.ndarray]) -> None:
    """``output = network(images, conditions, *parameters)``; ``text`` is that of a :class:`Call`."""
    call = Call.from_json(text)
    images, conditions, *parameters = arguments
    weights = _convert(call, parameters)
    number, ny, nx = images.shape[:3]
    size = graph_bytes(call.architecture, number, ny, nx, call.dtype)
    if call.keep and size <= KEPT_BYTES:
        # `jax.checkpoint` asks twice.
        kept = _take(call, weights, images, conditions) or _differentiable(
            call, weights, images, conditions, size
        )
        while _passes and sum(p.bytes for p in _passes) + size > KEPT_BYTES:
            _passes.pop(0)
        _passes.append(kept)
        results[0][...] = kept.result.detach().numpy()
        return
    at_once = max(1, CHUNK_BYTES // (images[0, ..., 0].size * (2 if call.dtype == "bfloat16" else 4)))
    with torch().no_grad():
        for part in np.array_split(np.arange(len(images)), math.ceil(len(images) / at_once)):
            some = conditions if len(conditions) == 1 else conditions[part]
            image, condition = torch().from_numpy(images[part]), torch().from_numpy(np.array(some))
            result = predict(call.architecture, weights.tree, image, condition, call.dtype, call.output)
            results[0][part] = result.numpy()


@in_thread
def backward(text: str, arguments: list[np.ndarray], results: list[np.ndarray]) -> None:
    """Gradients ``(cotangent, images, conditions, *parameters) -> those of the call``."""
    call = Call.from_json(text)
    cotangent, images, conditions, *parameters = arguments
    weights = _convert(call, parameters)
    kept = _take(call, weights, images, conditions) or _differentiable(call, weights, images, conditions, 0)
    groups = ([kept.images], [kept.conditions], weights.leaves)
    leaves = [leaf for group, needed in zip(groups, call.gradients, strict=True) if needed for leaf in group]
    cotangent = torch().from_numpy(np.array(cotangent))
    gradients = torch().autograd.grad(kept.result, leaves, cotangent, materialize_grads=True)
    for k, (gradient, result) in enumerate(zip(gradients, results, strict=True)):
        # Images and conditions, which come first, have the layout of JAX.
        gradient = gradient if k < sum(call.gradients[:2]) else as_parameter(gradient)
        torch().from_numpy(result).copy_(gradient)


def _take(call: Call, weights: Weights, images: np.ndarray, conditions: np.ndarray) -> _Pass | None:
    """Removes the last kept pass with these inputs, and returns it."""
    for k in reversed(range(len(_passes))):
        if _passes[k].equals(call, weights, images, conditions):
            return _passes.pop(k)
    return None


def _differentiable(
    call: Call, weights: Weights, images: np.ndarray, conditions: np.ndarray, size: int
) -> _Pass:
    # Copies, because the arrays are views of buffers that XLA will use again.
    image, condition = (torch().from_numpy(np.array(a)).requires_grad_() for a in (images, conditions))
    with torch().enable_grad():
        result = predict(call.architecture, weights.tree, image, condition, call.dtype, call.output)
    return _Pass(call, weights, image, condition, result, size)


def _convert(call: Call, parameters: list[np.ndarray]) -> Weights:
    """The weights of these parameters: those of an earlier call if the values are the same."""
    for k, (architecture, dtype, values, weights) in enumerate(_weights):
        if (architecture, dtype) == (call.architecture, call.dtype) and all(
            map(_identical, values, parameters)
        ):
            _weights.append(_weights.pop(k))
            return weights
    values = [np.array(a) for a in parameters]
    weights = Weights(call.architecture, values, call.dtype)
    _weights.append((call.architecture, call.dtype, values, weights))
    del _weights[:-KEPT_WEIGHTS]
    return weights


def _identical(a: np.ndarray, b: np.ndarray) -> bool:
    # Bit by bit, so that an array with NaN equals itself.
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))
