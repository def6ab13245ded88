"""Options of the panel "Execution"."""

from __future__ import annotations

from typing import Annotated

from pfitre_jax.cli.options.declaration import flag, option
from pfitre_jax.cli.options.panels import EXECUTION

Memory = Annotated[
    float | None,
    option("--memory", "GIB", "Memory limit in GiB (CPU only).", EXECUTION, "free memory"),
]
MemoryCheck = Annotated[
    bool,
    flag(
        "--memory-check",
        "Print the required and the available memory and disk space, and exit without reconstructing.",
        EXECUTION,
    ),
]
Coordinator = Annotated[
    str | None,
    option(
        "--coordinator",
        "HOST:PORT",
        "Address of process 0 when several processes share the rows. Not needed under srun and mpirun.",
        EXECUTION,
        "single process",
    ),
]
NumProcesses = Annotated[
    int | None,
    option("--num-processes", "N", "Number of processes that share the rows.", EXECUTION, "1"),
]
ProcessId = Annotated[
    int | None,
    option("--process-id", "I", "Index of this process, counted from 0.", EXECUTION, "0"),
]
