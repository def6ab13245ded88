"""Local devices: slices are independent, so that each device computes a share of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")

_AXIS = "slices"
#: Sharding of an array that every device has completely, and of one whose first axis is distributed.
REPLICATED, SHARDED = PartitionSpec(), PartitionSpec(_AXIS)


def local_mesh() -> Mesh | None:
    """Mesh of all devices of this process; None for one device."""
    devices = jax.local_devices()
    return Mesh(devices, (_AXIS,)) if len(devices) > 1 else None


def device_count(mesh: Mesh | None) -> int:
    """Number of devices of a mesh."""
    return 1 if mesh is None else mesh.size


@functools.lru_cache(maxsize=64)
def jit_over_slices(
    function: Callable, mesh: Mesh | None, shared: int, arrays: int, static: tuple = ()
) -> Callable:
    """Jits a function whose slices are distributed over the devices; no device waits for another.

    Args:
        function: Function of ``shared`` pytrees and of ``arrays`` arrays with a leading axis of slices,
            which returns arrays with this axis.
        mesh: The devices, None for one.
        shared: Number of arguments that are replicated on every device.
        arrays: Number of arguments whose first axis is distributed.
        static: Keyword arguments, as pairs.
    """
    function = functools.partial(function, **dict(static))
    if mesh is None:
        return jax.jit(function)
    specs = (REPLICATED,) * shared + (SHARDED,) * arrays
    shardings = tuple(NamedSharding(mesh, spec) for spec in specs)
    mapped = shard(function, mesh, specs, SHARDED)
    return jax.jit(mapped, in_shardings=shardings, out_shardings=NamedSharding(mesh, SHARDED))


def replicate(tree: Tree, mesh: Mesh | None) -> Tree:
    """``tree`` on every device of ``mesh``."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, REPLICATED))


def shard(function: Callable, mesh: Mesh | None, inputs: Any, outputs: Any) -> Callable:
    """``function`` computed on all devices, each for its part of the distributed axes.

    Args:
        function: The function.
        mesh: The devices, None for one.
        inputs: For each argument, or pytree of it, :data:`REPLICATED` or :data:`SHARDED`.
        outputs: The same for the results.
    """
    if mesh is None:
        return function
    return jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False)


def mean_over_devices(tree: Tree, mesh: Mesh | None) -> Tree:
    """Mean over the devices, inside of a function of :func:`shard`."""
    return tree if mesh is None else jax.lax.pmean(tree, _AXIS)
