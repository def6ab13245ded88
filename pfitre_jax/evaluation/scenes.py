"""Held-out scenes of an evaluation: circuits drawn by other rules than in training, and held-out files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import jax
import numpy as np

from pfitre_jax.twin.scenes import circuits, heldout_files
from pfitre_jax.twin.scenes.circuits3d import circuits3d
from pfitre_jax.twin.scenes.heldout import KINDS, heldout
from pfitre_jax.twin.scenes.heldout3d import heldout3d

#: Held-out files, see :mod:`pfitre_jax.twin.scenes.heldout_files`.
FILES = tuple(heldout_files.SOURCES)
#: Family of training scenes that each held-out file resembles.
FAMILIES = {"ihp": "layouts", "tile": "layouts", "images": "images", "battery": "images", "rock": "volumes"}
#: Sources of scenes. "heldout": circuits drawn by rules that the training does not use; "circuits": new
#: circuits of the training's own generator.
SOURCES = ("heldout", "circuits", *FILES)
#: Sources of volumes.
VOLUMES = ("heldout", "circuits")


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """A scene.

    Attributes:
        image: (n, n), or (rows, n, n) of a volume, values in [0, 1].
        kind: Kind of scene.
        wires_deg: Direction of the long wires, as a view angle, or None.
    """

    image: np.ndarray
    kind: str
    wires_deg: float | None


def draw_scene(source: str, seed: int, n: int) -> Scene:
    """Draws the scene of a seed.

    Args:
        source: One of :data:`SOURCES`.
        seed: Seed of the scene.
        n: Width, pixels.

    Raises:
        FileNotFoundError: If the files of the source do not exist.
    """
    if source == "heldout":
        drawn = heldout(seed, n)
        return Scene(drawn.image, drawn.kind, float(np.rad2deg(drawn.wires_rad)))
    if source == "circuits":
        # Training derives its keys from its own seed and step; this is another stream.
        key = jax.random.fold_in(jax.random.key(20261), seed)
        kind = list(circuits.KINDS)[int(circuits.kind_of(key))]
        return Scene(np.asarray(circuits.circuits(key, n)), kind, None)
    return Scene(heldout_files.scene(source, seed, n), source, None)


def draw_volume(source: str, seed: int, rows: int, n: int, spacing: float) -> Scene:
    """Draws the volume of a seed, (rows, n, n).

    Args:
        source: One of :data:`VOLUMES`.
        seed: Seed of the volume.
        rows: Number of rows.
        n: Width, pixels.
        spacing: Height of a row, share of the field.
    """
    if source == "heldout":
        drawn = heldout3d(seed, rows, n, spacing)
        # The wires of every other layer are perpendicular.
        return Scene(drawn.image, drawn.kind, None)
    key = jax.random.fold_in(jax.random.key(20261), seed)
    return Scene(np.asarray(circuits3d(key, rows, n, spacing)), "circuits", None)


def check_source(source: str) -> None:
    """Checks that a source can be drawn.

    Raises:
        FileNotFoundError: If its files, or the library that reads them, are missing.
    """
    if source in FILES and not heldout_files.available(source):
        raise FileNotFoundError(
            f"the held-out files of {source!r} do not exist, or gdstk, which reads layouts, is not "
            "installed; set PFITRE_DATA to the folder of the data, or choose other scenes"
        )


def missing_sources(sources: Iterable[str]) -> list[str]:
    """Returns the sources whose files do not exist."""
    return [source for source in sources if source in FILES and not heldout_files.available(source)]


def kinds(records: list[dict]) -> list[str]:
    """Returns the kinds of scenes in ``records``, in the order of their generators."""
    present = {r["kind"] for r in records}
    known = dict.fromkeys([*KINDS, *circuits.KINDS, *SOURCES])
    return [kind for kind in known if kind in present]


def angle_to_wedge(wires_deg: float, wedge_center_deg: float) -> float:
    """Returns the angle between the wires and the middle of the wedge, degrees in [0, 90].

    At 90 the normals of the long edges point to the middle of the wedge, and no view resolves these edges.
    """
    return abs((wires_deg - wedge_center_deg + 90) % 180 - 90)
