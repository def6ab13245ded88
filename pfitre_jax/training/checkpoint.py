"""Training checkpoints (orbax)."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp


class Checkpoints:
    """The last checkpoints of one training run, in one folder; a context manager.

    state: any pytree of arrays; it is restored into the structure of an abstract one.
    """

    def __init__(self, folder: Path, keep: int = 2):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._folder = Path(folder).resolve()
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_) -> None:
        self._manager.wait_until_finished()
        self._manager.close()

    def latest(self) -> int | None:
        """The step of the last complete checkpoint, or ``None``."""
        return self._manager.latest_step()

    def save(self, step: int, state) -> None:
        """Write ``state`` in the background; complete or absent, never half."""
        self._manager.save(step, args=ocp.args.StandardSave(state))

    def restore(self, like):
        """The last state, in the structure of ``like``, as numpy arrays: orbax's are bound to a device, for
        which the training step would be compiled once more.

        Raises ``ValueError`` when the checkpoint has another structure (a changed configuration).
        """
        step, abstract = self.latest(), jax.eval_shape(lambda: like)
        # Compared before anything is read: a restore that fails leaves half-done reads behind.
        with ocp.StandardCheckpointer() as reader:
            stored = reader.metadata(self._folder / str(step) / "default").item_metadata.tree
        if _shapes(stored) != _shapes(abstract):
            raise ValueError(
                "the checkpoint does not fit this configuration (was the network changed?); expected the one "
                "it was written with: train into another folder, or remove the checkpoints"
            )
        state = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        return jax.tree.map(np.asarray, state)


def _shapes(tree) -> dict[str, tuple[int, ...]]:
    """Of the arrays in a tree, by their path, whatever kind of container each step of it is."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")  # noqa: E731
    return {name(path): tuple(leaf.shape) for path, leaf in leaves}
