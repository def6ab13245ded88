"""Checkpoints of a run: one file in ``partial/`` for each chunk of rows that is done.

Each file carries the digest of its plan, so that rows of two runs are never mixed.
"""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.reconstruction.plan import Plan
from pfitre_jax.reconstruction.row_block import LazyVolume, RowBlock

#: Entry of a checkpoint with the digest of the plan that it belongs to.
_PLAN_DIGEST = "plan"
_IMAGES, _LIMITS = ("volume", "measured"), ("lower", "upper")


def checkpoint_path(partial: Path, rows: slice) -> Path:
    """Path of the checkpoint of a chunk of rows."""
    return partial / f"rows-{rows.start:06d}-{rows.stop:06d}.npz"


def write_block(partial: Path, block: RowBlock, plan_digest: str, seconds: float) -> None:
    """Writes the checkpoint of a block.

    Args:
        partial: Folder of the checkpoints.
        block: The solved rows.
        plan_digest: Digest of the plan that the block belongs to.
        seconds: Wall time to solve it.
    """
    arrays: dict[str, Any] = {"seconds": seconds, _PLAN_DIGEST: plan_digest, **block.arrays()}

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **arrays)

    write_files(partial, {checkpoint_path(partial, block.rows).name: write})


def read_block(partial: Path, rows: slice, plan: Plan, plan_digest: str) -> tuple[RowBlock, float] | None:
    """A block whose images stay on disk, and its wall time.

    Args:
        partial: Folder of the checkpoints.
        rows: Rows of the block.
        plan: The plan of the run.
        plan_digest: Its digest.

    Returns:
        None if the file is missing or damaged, or is of another plan.
    """
    path, shape = checkpoint_path(partial, rows), (rows.stop - rows.start, *plan.image_shape)
    try:
        # Opened here, so that a damaged file is closed too.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
            lazy = _IMAGES if plan.intervals is None else _IMAGES + _LIMITS
            complete = all(arrays.pop(name).shape == shape for name in lazy)
            seconds = float(arrays.pop("seconds"))
            complete &= str(arrays.pop(_PLAN_DIGEST)) == plan_digest
        images: dict[str, Any] = {
            name: LazyVolume(shape, [(slice(0, shape[0]), _Reader(path, name, plan_digest))]) for name in lazy
        }
        block = RowBlock(rows, **images, **arrays)
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error):
        return None
    return (block, seconds) if complete and len(block.status) == len(block) else None


@dataclasses.dataclass(frozen=True)
class _Reader:
    path: Path
    name: str
    plan_digest: str

    def __call__(self) -> np.ndarray:
        with np.load(self.path, allow_pickle=False) as content:
            if str(content[_PLAN_DIGEST]) != self.plan_digest:
                raise OSError(f"{self.path} was replaced by another run; expected the rows of this one")
            return content[self.name]
