"""Scenes to judge by: circuits by other rules than the training's, and files that no prior has seen."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from pfitre_jax.twin.scenes import circuits, heldout_files
from pfitre_jax.twin.scenes.circuits3d import circuits3d
from pfitre_jax.twin.scenes.heldout import KINDS, heldout
from pfitre_jax.twin.scenes.heldout3d import heldout3d

#: Held-out files, see :mod:`pfitre_jax.twin.scenes.heldout_files`.
FILES = tuple(heldout_files.SOURCES)
#: Of training scenes, that each of them is like.
FAMILIES = {"ihp": "layouts", "tile": "layouts", "images": "images", "battery": "images", "rock": "volumes"}
#: "heldout": circuits drawn by rules that no prior is trained on; "circuits": unseen ones of the generator
#: that priors are trained on.
SOURCES = ("heldout", "circuits", *FILES)
#: Those that volumes are drawn from.
VOLUMES = ("heldout", "circuits")


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """image: (n, n), or (rows, n, n) of a volume; kind: of scene; wires_deg: direction of the long wires, a
    view angle, or None."""

    image: np.ndarray
    kind: str
    wires_deg: float | None


def draw_scene(source: str, seed: int, n: int) -> Scene:
    """The scene of a seed, ``n`` pixels wide; errors are those of the source."""
    if source == "heldout":
        drawn = heldout(seed, n)
        return Scene(drawn.image, drawn.kind, float(np.rad2deg(drawn.wires_rad)))
    if source == "circuits":
        # Training draws its keys from its own seed and step; these are of another stream.
        key = jax.random.fold_in(jax.random.key(20261), seed)
        kind = list(circuits.KINDS)[int(circuits.kind_of(key))]
        return Scene(np.asarray(circuits.circuits(key, n)), kind, None)
    return Scene(heldout_files.scene(source, seed, n), source, None)


def draw_volume(source: str, seed: int, rows: int, n: int, spacing: float) -> Scene:
    """The volume of a seed, (rows, n, n), its rows as high as ``spacing`` of the field; of a source of
    :data:`VOLUMES`."""
    if source == "heldout":
        drawn = heldout3d(seed, rows, n, spacing)
        # Every other layer runs across.
        return Scene(drawn.image, drawn.kind, None)
    key = jax.random.fold_in(jax.random.key(20261), seed)
    return Scene(np.asarray(circuits3d(key, rows, n, spacing)), "circuits", None)


def check_source(source: str) -> None:
    """``FileNotFoundError`` where a source's files, or what reads them, are missing."""
    if source in FILES and not heldout_files.available(source):
        raise FileNotFoundError(
            f"the held-out files of {source!r} are not there, or gdstk, which reads layouts, is not "
            "installed; set PFITRE_DATA to the folder of the data, or choose other scenes"
        )


def absent(sources) -> list[str]:
    """Those of ``sources`` whose files are not there."""
    return [source for source in sources if source in FILES and not heldout_files.available(source)]


def kinds(records: list[dict]) -> list[str]:
    """Kinds of scenes in ``records``, in the order of their generators."""
    present = {r["kind"] for r in records}
    known = dict.fromkeys([*KINDS, *circuits.KINDS, *SOURCES])
    return [kind for kind in known if kind in present]


def angle_to_wedge(wires_deg: float, wedge_center_deg: float) -> float:
    """Angle between the wires' direction and the middle of the wedge, degrees in [0, 90].

    At 90 the normals of the wires' long edges point to the middle of the wedge: no view sees these edges.
    """
    return abs((wires_deg - wedge_center_deg + 90) % 180 - 90)
