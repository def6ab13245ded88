"""Mixture of the scenes that a prior is trained on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes import materials, patterns
from pfitre_jax.twin.scenes.bank import Bank, bank_scene
from pfitre_jax.twin.scenes.bone import bone
from pfitre_jax.twin.scenes.circuits import circuits
from pfitre_jax.twin.scenes.circuits3d import circuits3d
from pfitre_jax.twin.scenes.closed_curves import closed_curves
from pfitre_jax.twin.scenes.contrasts import two_contrasts, weak_and_strong
from pfitre_jax.twin.scenes.drilled_disc import drilled_disc
from pfitre_jax.twin.scenes.heat_sink import heat_sink
from pfitre_jax.twin.scenes.membranes import membranes
from pfitre_jax.twin.scenes.stack import stack
from pfitre_jax.twin.scenes.wood import wood

#: Every scene that is drawn by rules, by its name: ``scene(key, n)`` returns (n, n).
SCENES: dict[str, Callable[..., Array]] = {
    "circuits": circuits,
    "ellipses": patterns.ellipses,
    "bars": patterns.bars,
    "siemens_star": patterns.siemens_star,
    "line_pairs": patterns.line_pairs,
    "voronoi": patterns.voronoi,
    "random_field": patterns.random_field,
    "particles": patterns.particles,
    "packing": materials.packing,
    "foam": materials.foam,
    "fibres": materials.fibres,
    "wood": wood,
    "bone": bone,
    "membranes": membranes,
    "electrode": materials.electrode,
    "drilled_disc": drilled_disc,
    "heat_sink": heat_sink,
    "closed_curves": closed_curves,
    "weak_and_strong": weak_and_strong,
    "two_contrasts": two_contrasts,
}
#: Names of the scenes of each family, which are equally likely. A new scene changes what a key draws from its
#: family; a new family at the end, with the weight 0 by default, changes no existing mixture.
FAMILIES = {
    "circuits": ("circuits",),
    "patterns": ("ellipses", "bars", "siemens_star", "line_pairs", "voronoi"),
    "blobs": ("random_field", "particles"),
    "materials": ("packing", "foam", "fibres"),
    "textures": ("wood", "bone", "membranes", "electrode"),
    "parts": ("drilled_disc", "heat_sink", "closed_curves"),
    "contrasts": ("weak_and_strong", "two_contrasts"),
    "discs": ("drilled_disc",),
}
#: Families whose scenes are cut from files, each through a :class:`Bank`.
BANKED = ("layouts", "images", "volumes")


@dataclasses.dataclass(frozen=True)
class SceneMixture:
    """Relative weights of the families of scenes; static and hashable.

    Attributes:
        circuits: Circuits: wires of several layers, pads, vias and defects.
        patterns: Ellipses, bars, Siemens stars, line pairs and Voronoi cells.
        blobs: Random fields and particles.
        materials: Packings with pores and cracks, foams and fibres.
        layouts: Chip layouts, from files.
        images: Pictures, from files.
        volumes: Slices of volumes, from files.
        textures: Wood, bone, membranes and electrodes.
        parts: Discs with holes, heat sinks and smooth closed curves: uniform, with sharp edges.
        contrasts: Large weak objects with small strong ones.
        discs: Discs with holes alone.

    Raises:
        ValueError: If a weight is negative or not finite, or if all are 0.
    """

    circuits: float = 0.6
    patterns: float = 0.2
    blobs: float = 0.2
    materials: float = 0.0
    layouts: float = 0.0
    images: float = 0.0
    volumes: float = 0.0
    textures: float = 0.0
    parts: float = 0.0
    contrasts: float = 0.0
    discs: float = 0.0

    def __post_init__(self):
        weights = dataclasses.astuple(self)
        if not all(np.isfinite(w) and w >= 0 for w in weights) or sum(weights) == 0:
            raise ValueError(
                f"the weights of the scenes are {dataclasses.asdict(self)}; expected finite weights "
                "of at least 0 with a positive sum"
            )

    @property
    def banked(self) -> tuple[str, ...]:
        """The families with a positive weight that need a bank."""
        return tuple(name for name in BANKED if getattr(self, name) > 0)


def sample_scene(
    mixture: SceneMixture, key: Array, n: int, banks: Mapping[str, Bank] | None = None
) -> Float[Array, "n n"]:
    """Draws one scene, (n, n), float32 in [0, 1].

    For many use :func:`sample_scenes`: under ``vmap`` this would draw every scene of every family.

    Args:
        mixture: The mixture.
        key: Random key.
        n: Width, pixels.
        banks: Bank of each family that is cut from files. They are arguments of the jitted program, so that
            the tiles are not compiled into it.

    Raises:
        ValueError: If a family with a positive weight has no bank.
    """
    banks = {} if banks is None else banks
    lacking = [name for name in mixture.banked if name not in banks]
    if lacking:
        raise ValueError(
            f"the mixture draws {', '.join(lacking)} without banks; expected a bank of files for each"
        )
    pairs = [
        (SCENES[scene], getattr(mixture, name) / len(scenes))
        for name, scenes in FAMILIES.items()
        for scene in scenes
        if getattr(mixture, name) > 0
    ]
    pairs += [(functools.partial(bank_scene, banks[name]), getattr(mixture, name)) for name in mixture.banked]
    edges = np.cumsum([weight for _, weight in pairs])
    key_kind, key_scene = jax.random.split(key)
    kind = jnp.sum(jax.random.uniform(key_kind) * edges[-1] >= edges[:-1])
    return jax.lax.switch(kind, [lambda k, scene=scene: scene(k, n) for scene, _ in pairs], key_scene)


def sample_volume(
    mixture: SceneMixture,
    key: Array,
    rows: int,
    n: int,
    spacing: float,
    banks: Mapping[str, Bank] | None = None,
) -> Float[Array, "rows n n"]:
    """Draws one volume: circuits in three dimensions or, equally likely, a stack of the mixture's scenes.

    Args:
        mixture: The mixture.
        key: Random key.
        rows: Number of rows.
        n: Width, pixels.
        spacing: Height of a row, share of the field.
        banks: Bank of each family that is cut from files.
    """
    k_which, k_scene = jax.random.split(key)
    return jax.lax.cond(
        jax.random.uniform(k_which) < 0.5,
        lambda k: circuits3d(k, rows, n, spacing),
        lambda k: stack(lambda each: sample_scene(mixture, each, n, banks), k, rows, n, spacing),
        k_scene,
    )


def stacked(key: Array, rows: int, n: int, spacing: float) -> Float[Array, "rows n n"]:
    """Draws a stack of scenes of the default mixture, (rows, n, n)."""
    return stack(lambda each: sample_scene(SceneMixture(), each, n), key, rows, n, spacing)


#: Every volume, by its name: ``scene(key, rows, n, spacing)`` returns (rows, n, n).
VOLUMES = {"circuits3d": circuits3d, "stacked": stacked}


def sample_scenes(
    mixture: SceneMixture, key: Array, count: int, n: int, banks: Mapping[str, Bank] | None = None
) -> Float[Array, "count n n"]:
    """Draws ``count`` scenes, (count, n, n), one after the other, so that only these scenes are computed.

    >>> sample_scenes(SceneMixture(), jax.random.key(0), 2, 32).shape
    (2, 32, 32)
    """
    return scenes_of_keys(mixture, jax.random.split(key, count), n, banks)


def scenes_of_keys(
    mixture: SceneMixture, keys: Array, n: int, banks: Mapping[str, Bank] | None = None
) -> Float[Array, "count n n"]:
    """Draws the scene of each of the ``keys: (count,)``."""
    return jax.lax.map(lambda k: sample_scene(mixture, k, n, banks), keys)
