"""Several processes that share one reconstruction, on one machine or many."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

Piece = TypeVar("Piece")

#: Environment variables of ``srun`` and ``mpirun``: number of processes, and index of this one.
_LAUNCHERS = (
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
)


@dataclasses.dataclass(frozen=True)
class Team:
    """Processes that share one piece of work, each on its own devices.

    Attributes:
        index: Index of this process, from 0.
        count: Number of processes.
    """

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process makes the plan and assembles the result."""
        return self.index == 0

    def share(self, pieces: list[Piece]) -> list[Piece]:
        """The share of this process: consecutive pieces, about as many as the others have."""
        return pieces[self.index * len(pieces) // self.count : (self.index + 1) * len(pieces) // self.count]

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """A step that all processes complete before any of them continues.

        Raises:
            ChildProcessError: Another process failed in it.
        """
        try:
            yield
        except Exception:
            self._all_succeeded(False)
            raise
        if not self._all_succeeded(True):
            raise ChildProcessError("another process failed; see its messages")

    def _all_succeeded(self, this_process: bool) -> bool:
        if self.count == 1:
            return this_process
        return bool(multihost_utils.process_allgather(np.array(this_process)).all())


#: A single process.
ALONE = Team()


def join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> Team:
    """Makes this process a member of a team that shares the rows.

    Without arguments, ``srun`` (SLURM) or ``mpirun`` (Open MPI) define the processes by environment
    variables; without these there is a single process.

    Args:
        coordinator: "HOST:PORT" of process 0, the same for all processes.
        num_processes: Number of processes.
        process_id: Index of this process, from 0.

    Raises:
        ValueError: Only some of the arguments are set, or they are invalid.
    """
    if coordinator is None and num_processes is None and process_id is None:
        num_processes, process_id = _launched()
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
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except (KeyError, ValueError) as error:
        # JAX reads further variables of the launcher.
        raise ValueError(
            f"process {process_id} of {num_processes} does not find the others ({error!r}): the environment "
            "lacks variables of srun or mpirun; set --coordinator, --num-processes and --process-id"
        ) from error
    return Team(process_id, num_processes)


def _launched() -> tuple[int | None, int | None]:
    """Number of processes and index of this one, as a launcher sets them; JAX finds the coordinator.

    Raises:
        ValueError: The variables of a launcher contradict each other, or are not numbers.
    """
    for names in _LAUNCHERS:
        texts = [os.environ.get(name, "").strip() for name in names]
        # Batch scripts of SLURM set the index 0 alone; a single process needs no index.
        if not any(texts) or texts in (["", "0"], ["1", ""]):
            continue
        count, index = (int(text) if text.isdecimal() else None for text in texts)
        if count is None or index is None or not index < count:
            stated = ", ".join(f"{name}={text!r}" for name, text in zip(names, texts, strict=True))
            raise ValueError(
                f"the environment has {stated}; expected the number of processes and the index of this one, "
                "from 0: start with srun or mpirun, set --coordinator, --num-processes and --process-id, or "
                f"unset {' and '.join(names)} for a single process"
            )
        return count, index
    return None, None
