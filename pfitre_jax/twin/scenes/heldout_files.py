"""Held-out scenes from files that no prior is trained on, one for each seed.

Gray values stay as they are in the files, which belong to
:data:`pfitre_jax.twin.scenes.data_files.HELD_OUT`. Tiles are cut on the host.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes import images, layouts, volumes
from pfitre_jax.twin.scenes.bank import FIELD_SHARE, view
from pfitre_jax.twin.scenes.data_files import data_folder
from pfitre_jax.twin.scenes.layouts import has_gdstk
from pfitre_jax.twin.scenes.outlines import random_outline
from pfitre_jax.twin.scenes.shapes import Draw, coordinates, inside, support

#: Files of each source, under the data folder.
SOURCES = {
    "ihp": ("stdcell_gds/sg13g2_stdcell.gds.gz",),
    "tile": ("tinytapeout04_raster40nm/tt_um_urish_simon.npz",),
    "images": tuple(f"kodak24/{k}.png" for k in (21, 22, 23, 24)),
    "battery": ("battery_images/NMC_90wt_2000bar_115.png",),
    "rock": ("porous_rock/ketton_256.npz",),
}
_READERS: dict[str, tuple[Callable[..., Any], Callable[..., np.ndarray]]] = {
    "ihp": (layouts.read_layout, layouts.tile),
    "tile": (layouts.read_layout, layouts.tile),
    "images": (images.read_image, images.tile),
    "battery": (images.read_image, images.tile),
    "rock": (volumes.read_volume, volumes.tile),
}
# Smallest mean gray value of a scene, at the width in pixels at which it is measured, and number of trials.
_MIN_MEAN, _MEASURED_WIDTH, _TRIALS = 0.04, 64, 20


def available(source: str) -> bool:
    """Returns whether the files of a source exist and can be read.

    Raises:
        ValueError: For an unknown source.
    """
    readable = source != "ihp" or has_gdstk()
    return readable and all((data_folder() / name).is_file() for name in _files(source))


def scene(source: str, seed: int, n: int) -> Float[np.ndarray, "n n"]:
    """Draws a scene, (n, n), float32 in [0, 1], 0 outside the sample and the disc of radius ``0.48 n``.

    Args:
        source: "ihp", rows of cells of the IHP library; "tile", the Tiny Tapeout design urish_simon;
            "images", Kodak 21 to 24 in turn; "battery", an NMC cathode; "rock", Ketton limestone.
        seed: Seed of orientation, position and magnification; the same seed gives the same scene.
        n: Width, pixels.

    Raises:
        ValueError: For an unknown source, a negative seed or ``n`` below 8, or a file that cannot be read.
        FileNotFoundError: If a file of the source does not exist.

    >>> scene("images", 0, 64).shape  # doctest: +SKIP
    (64, 64)
    """
    if seed < 0 or n < 8:
        raise ValueError(f"seed is {seed}, n is {n}; expected a seed of at least 0 and n of at least 8")
    names = _files(source)
    path = data_folder() / names[seed % len(names)]
    if not path.is_file():
        raise FileNotFoundError(
            f"the held-out scenes {source!r} need {path}; set PFITRE_DATA to the folder of the data"
        )
    content, cut = _read(source, str(path)), _READERS[source][1]
    for trial in range(_TRIALS):
        square = cut(content, np.random.default_rng([20262, seed, trial]))
        tile = jnp.asarray(np.round(255 * square).astype(np.uint8))
        key = jax.random.fold_in(jax.random.key(seed), trial)
        # The mean is taken at one width, so that a seed gives the same picture at every n.
        if float(_scene_from_tile(tile, key, _MEASURED_WIDTH).mean()) > _MIN_MEAN:
            break
    return np.asarray(_scene_from_tile(tile, key, n))


def _files(source: str) -> tuple[str, ...]:
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r}; expected one of {', '.join(SOURCES)}")
    return SOURCES[source]


@functools.lru_cache(maxsize=8)
def _read(source: str, path: str):
    return _READERS[source][0](path)


@functools.partial(jax.jit, static_argnums=2)
def _scene_from_tile(tile: Array, key: Array, n: int) -> Float[Array, "n n"]:
    """Draws a scene from a tile: rotated, magnified, and mostly cut to the outline of a sample."""
    d = Draw(jax.random.uniform(key, (60,)))
    x, y = coordinates(n)
    angle, share = 2 * jnp.pi * d.uniform(), d.log(*FIELD_SHARE)
    picture = view(tile, n, angle, share, 2 * d.array(2) - 1, d.chance(0.5))
    outline = random_outline(d, angle, x, y)
    sample = jnp.where(d.chance(0.6), inside(outline.depth, 1.0 / n), 1.0)
    return jnp.clip(picture * sample * support(x, y, 1.0 / n), 0.0, 1.0)
