"""Devices and processes: slices are independent, so each has a share of those that are solved."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_AXIS = "slices"
#: What every device has whole, and of what it has a part of the first axis.
ALL, PART = PartitionSpec(), PartitionSpec(_AXIS)
#: Environment variables of ``srun`` and ``mpirun``: number of processes, and which this one is.
_LAUNCHERS = (
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
)


def local_mesh() -> Mesh | None:
    """All devices of this process in a row; ``None`` where there is one."""
    devices = jax.local_devices()
    return Mesh(devices, (_AXIS,)) if len(devices) > 1 else None


def size(mesh: Mesh | None) -> int:
    """Number of devices."""
    return 1 if mesh is None else mesh.size


@functools.lru_cache(maxsize=64)
def over_slices(function: Callable, mesh: Mesh | None, shared: int, arrays: int, static: tuple = ()):
    """``function`` jitted, of which each device of ``mesh`` computes its share of the slices.

    The first ``shared`` arguments go to every device as they are, of the ``arrays`` after them each device
    has a part of the first axis; so it is with all that is returned. No device waits for another.

    static: keyword arguments, as pairs
    """
    function = functools.partial(function, **dict(static))
    if mesh is None:
        return jax.jit(function)
    specs = (ALL,) * shared + (PART,) * arrays
    shardings = tuple(NamedSharding(mesh, spec) for spec in specs)
    mapped = share(function, mesh, specs, PART)
    return jax.jit(mapped, in_shardings=shardings, out_shardings=NamedSharding(mesh, PART))


def everywhere(tree, mesh: Mesh | None):
    """``tree`` on every device of ``mesh``."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, ALL))


def share(function: Callable, mesh: Mesh | None, given, returned) -> Callable:
    """``function`` of which each device of ``mesh`` computes a share.

    given, returned: for each argument and result, or parts of them, :data:`ALL` for what every device has
        whole and :data:`PART` for arrays of which it has a part of the first axis
    """
    if mesh is None:
        return function
    return jax.shard_map(function, mesh=mesh, in_specs=given, out_specs=returned, check_vma=False)


def mean(tree, mesh: Mesh | None):
    """The mean over the devices, inside of :func:`share`."""
    return tree if mesh is None else jax.lax.pmean(tree, _AXIS)


@dataclasses.dataclass(frozen=True)
class Team:
    """Processes that share one piece of work, each on the devices of its own.

    index: of this process, from 0; count: of all
    """

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process plans, and puts together."""
        return self.index == 0

    def share(self, pieces: list) -> list:
        """Those of this process: neighbours, about as many as the others have."""
        return pieces[self.index * len(pieces) // self.count : (self.index + 1) * len(pieces) // self.count]

    @contextlib.contextmanager
    def step(self):
        """What all processes do before any goes on; ``ChildProcessError`` where another one failed in it."""
        try:
            yield
        except Exception:
            self._all_well(False)
            raise
        if not self._all_well(True):
            raise ChildProcessError("another of the processes failed; see what it says")

    def _all_well(self, here: bool) -> bool:
        return here if self.count == 1 else bool(multihost_utils.process_allgather(np.array(here)).all())


#: A process without others.
ALONE = Team()


def join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> Team:
    """Makes this process a member of a team that shares the rows.

    Args:
        coordinator: "HOST:PORT" of process 0, the same for all processes.
        num_processes: Number of processes.
        process_id: Index of this process, from 0.

    Without arguments, the environment of ``srun`` (SLURM) or ``mpirun`` (Open MPI) is used; without these the
    process is alone.

    Raises:
        ValueError: If only some of the arguments are set, or they do not fit together.
    """
    if coordinator is None and num_processes is None and process_id is None:
        coordinator, num_processes, process_id = _launched()
    elif (
        coordinator is None
        or num_processes is None
        or process_id is None
        or not 0 <= process_id < num_processes
        or ":" not in coordinator
    ):
        raise ValueError(
            f"coordinator={coordinator}, num_processes={num_processes}, process_id={process_id}; expected "
            "all three: HOST:PORT of process 0, the number of processes, and the index of this one, from 0"
        )
    if num_processes is None or process_id is None or num_processes == 1:
        return ALONE
    jax.distributed.initialize(coordinator, num_processes, process_id)
    return Team(process_id, num_processes)


def _launched() -> tuple[str | None, int | None, int | None]:
    """What a launcher of several processes says; JAX finds the coordinator from it."""
    for size, rank in _LAUNCHERS:
        if size in os.environ and rank in os.environ:
            return None, int(os.environ[size]), int(os.environ[rank])
    return None, None, None
