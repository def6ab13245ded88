"""Disk space that a run needs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pfitre_jax.data.writers.registry import find_writers
from pfitre_jax.reconstruction.file_names import FORMATS
from pfitre_jax.reconstruction.plan import Plan
from pfitre_jax.runtime.memory import DoesNotFit

#: Free space that is left beside the results.
SPARE_BYTES = 64 * 2**20


def check_disk(
    folder: Path, plan: Plan, rows: slice, formats: Sequence[str] = FORMATS, elements: int = 1
) -> tuple[int, int]:
    """Returns the bytes that a run writes and the bytes that are free.

    At the end of a run, slices, measured component and limits of the intervals are on disk as checkpoints and
    in ``recon.h5``, and the slices in each further format.

    Args:
        folder: Output folder.
        plan: The plan of the run.
        rows: Rows of the scan.
        formats: Formats that the result will be saved in.
        elements: Number of runs of this kind, one after the other, whose results are kept.

    Raises:
        DoesNotFit: There is too little free space.
    """
    volumes = 2 if plan.intervals is None else 4
    copies = volumes + elements * (volumes + sum(writer.relative_size for writer in find_writers(formats)))
    needed = int(copies * (rows.stop - rows.start) * 4 * int(np.prod(plan.image_shape)))
    existing = Path(folder)
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if needed + SPARE_BYTES > free:
        raise DoesNotFit(
            f"the run needs {needed / 2**30:.2f} GiB on disk, and {free / 2**30:.2f} GiB are free in "
            f"{existing}: free some space, or use another output folder"
        )
    return needed, free
