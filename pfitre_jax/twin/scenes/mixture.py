"""The mixture of scenes that a prior is trained on: one config, one key, a batch of ground truth."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes import materials, patterns
from pfitre_jax.twin.scenes.bank import Bank, bank_scene
from pfitre_jax.twin.scenes.circuits import circuits
from pfitre_jax.twin.scenes.circuits3d import circuits3d
from pfitre_jax.twin.scenes.stack import stack

#: Every scene that is drawn by rules, by its name.
SCENES = {
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
}
#: Families of scenes; those of a family are equally likely.
FAMILIES = {
    "circuits": ("circuits",),
    "patterns": ("ellipses", "bars", "siemens_star", "line_pairs", "voronoi"),
    "blobs": ("random_field", "particles"),
    "materials": ("packing", "foam", "fibres"),
}
#: Families whose scenes come from files, each through a :class:`Bank`.
BANKED = ("layouts", "images", "volumes")


@dataclasses.dataclass(frozen=True)
class SceneMixture:
    """How often each family of :data:`FAMILIES` and :data:`BANKED` is drawn (relative weights); static and
    hashable.

    Raises ``ValueError`` for a negative weight or if all are 0.
    """

    circuits: float = 0.6
    patterns: float = 0.2
    blobs: float = 0.2
    materials: float = 0.0
    layouts: float = 0.0
    images: float = 0.0
    volumes: float = 0.0

    def __post_init__(self):
        weights = dataclasses.astuple(self)
        if not all(np.isfinite(w) and w >= 0 for w in weights) or sum(weights) == 0:
            raise ValueError(
                f"the mixture's weights are {dataclasses.asdict(self)}; expected finite ones of at least 0, "
                "one of them positive"
            )

    @property
    def banked(self) -> tuple[str, ...]:
        """The families drawn that need a bank."""
        return tuple(name for name in BANKED if getattr(self, name) > 0)


def sample(
    mixture: SceneMixture, key, n: int, banks: Mapping[str, Bank] | None = None
) -> Float[Array, "n n"]:
    """One scene ``(n, n)`` float32 in [0, 1] for ``key``. For many use :func:`batch`: under ``vmap`` this
    would draw every scene of every family and keep one.

    banks: by their family; an argument of the jitted program, so that the pictures are no part of it

    Raises ``ValueError`` where a family that is drawn lacks its bank.
    """
    banks = {} if banks is None else banks
    lacking = [name for name in mixture.banked if name not in banks]
    if lacking:
        raise ValueError(
            f"the mixture draws {', '.join(lacking)}, without banks; expected one for each, made from files"
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


def volume(
    mixture: SceneMixture,
    key,
    rows: int,
    n: int,
    spacing: float,
    banks: Mapping[str, Bank] | None = None,
) -> Float[Array, "rows n n"]:
    """One volume: of circuits drawn in three dimensions, or, as likely, a stack of the mixture's scenes."""
    k_which, k_scene = jax.random.split(key)
    return jax.lax.cond(
        jax.random.uniform(k_which) < 0.5,
        lambda k: circuits3d(k, rows, n, spacing),
        lambda k: stack(lambda each: sample(mixture, each, n, banks), k, rows, n, spacing),
        k_scene,
    )


def stacked(key, rows: int, n: int, spacing: float) -> Float[Array, "rows n n"]:
    """A stack of scenes of the mixture as it comes."""
    return stack(lambda each: sample(SceneMixture(), each, n), key, rows, n, spacing)


#: Scenes whose slices are the rows of one volume.
VOLUMES = {"circuits3d": circuits3d, "stacked": stacked}


def batch(
    mixture: SceneMixture, key, count: int, n: int, banks: Mapping[str, Bank] | None = None
) -> Float[Array, "count n n"]:
    """``count`` scenes ``(count, n, n)``, drawn one after the other: each costs what its own kind costs.

    >>> batch(SceneMixture(), jax.random.key(0), 2, 32).shape
    (2, 32, 32)
    """
    return each(mixture, jax.random.split(key, count), n, banks)


def each(
    mixture: SceneMixture, keys, n: int, banks: Mapping[str, Bank] | None = None
) -> Float[Array, "count n n"]:
    """The scene of each of the ``keys (count,)``."""
    return jax.lax.map(lambda k: sample(mixture, k, n, banks), keys)
