"""Training checkpoints (orbax)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp


class Checkpoints:
    """The last checkpoints of a training run, in one folder; a context manager.

    A state is any pytree of arrays.

    Args:
        folder: The folder.
        keep: Number of checkpoints to keep.
    """

    def __init__(self, folder: Path, keep: int = 2):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._folder = Path(folder).resolve()
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.wait_until_finished()
        self._manager.close()

    def latest(self) -> int | None:
        """Returns the step of the last complete checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any) -> None:
        """Writes a state in the background; the checkpoint is complete or absent."""
        self._manager.save(step, args=ocp.args.StandardSave(state))

    def restore(self, like: Any) -> Any:
        """Returns the last state as NumPy arrays.

        Arrays of orbax are bound to a device, and the training step would be compiled again for them.

        Args:
            like: A state with the structure of the checkpoint.

        Raises:
            ValueError: If the checkpoint has another structure, because the configuration has changed.
        """
        step, abstract = self.latest(), jax.eval_shape(lambda: like)
        # Compare before anything is read: a failed restore leaves unfinished reads behind.
        with ocp.StandardCheckpointer() as reader:
            stored = reader.metadata(self._folder / str(step) / "default").item_metadata.tree
        if _shapes(stored) != _shapes(abstract):
            raise ValueError(
                "the checkpoint does not fit this configuration (has the network changed?); expected the "
                "configuration it was written with: train into another folder, or remove the checkpoints"
            )
        state = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        return jax.tree.map(np.asarray, state)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the arrays in a tree by their path, whatever the types of its containers."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")  # noqa: E731
    return {name(path): tuple(leaf.shape) for path, leaf in leaves}
