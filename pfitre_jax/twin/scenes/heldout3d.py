"""Held-out chips in three dimensions, for validation only: layers of :mod:`heldout` wiring above each other.

No prior may be trained or tuned on these. Rows lie in the plane of the wafer, tilted against it by 1 to 2
degrees, so that a layer enters and leaves over several rows, from one side to the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pfitre_jax.twin.scenes.heldout import KINDS, Frame, wiring

#: Kinds of a layer. A vertical cut is no layer.
LAYERS = tuple(kind for kind in KINDS if kind != "stack")
#: Ranges of the thickness of a layer, fractions of the field, and of the gap above it, in thicknesses.
THICKNESS, GAP = (0.03, 0.08), (0.3, 1.0)
#: Range of the angle between the wafer and the rows, degrees.
TILT_DEG = (1.0, 2.0)
#: Side of the cells, fractions of the field. Some cells have a via where wires of two layers cross.
VIA = 1 / 48


class HeldOut3D(NamedTuple):
    """A held-out volume.

    Attributes:
        image: (rows, n, n), values in [0, 1].
        kind: One of :data:`LAYERS`: that of the layer with the largest share of the volume's height.
    """

    image: Float[np.ndarray, "rows n n"]
    kind: str


def heldout3d(seed: int, rows: int, n: int, spacing: float | None = None) -> HeldOut3D:
    """Draws a volume: (rows, n, n), float32 in [0, 1], 0 outside the cylinder of radius ``0.48 n``.

    A row is the mean over its height. With the same ``rows`` and ``spacing`` a seed gives the same picture at
    every ``n``.

    Args:
        seed: Seed of the volume.
        rows: Number of rows.
        n: Width, pixels.
        spacing: Height of a row, fraction of the field; by default ``1/n``, which makes the voxels cubic.

    Raises:
        ValueError: For a negative seed, no rows, or ``n`` below 8.

    >>> heldout3d(1, 4, 32).image.shape
    (4, 32, 32)
    """
    if seed < 0 or rows < 1 or n < 8:
        raise ValueError(
            f"seed is {seed}, rows is {rows}, n is {n}; expected a seed of at least 0, a row and n of at "
            "least 8"
        )
    spacing = 1 / n if spacing is None else spacing
    rng = np.random.default_rng([20262, seed])
    angle, direction = rng.uniform(0, 2 * np.pi, 2)
    slope = np.tan(np.deg2rad(rng.uniform(*TILT_DEG)))
    frame = Frame.at_angle(angle, n)
    outline = frame.outline(rng)
    matrix = rng.uniform(0.0, 0.2) * (rng.random() < 0.6)
    bright = rng.uniform(0.75, 1.0) * outline

    # The tilted rows lie between -extent and extent; the lowest layer starts below.
    extent = rows * spacing / 2 + slope / 2
    height = -extent - rng.uniform(0, THICKNESS[0])
    layers: list[tuple[np.ndarray, float, float, np.ndarray]] = []
    kinds: list[str] = []
    while height < extent:
        kind = LAYERS[(seed + len(layers) * (1 + seed // len(LAYERS))) % len(LAYERS)]
        canvas = wiring(kind, rng)
        thickness = np.exp(rng.uniform(*np.log(THICKNESS)))
        cells = rng.random((int(1 / VIA), int(1 / VIA))) < rng.uniform(0.1, 0.5)
        layers.append((frame.sample(np.rot90(canvas, len(layers) % 2)), height, height + thickness, cells))
        kinds.append(kind)
        height += thickness * (1 + rng.uniform(*GAP))

    tilted = slope * (frame.x * np.cos(direction) + frame.y * np.sin(direction))
    images = []
    for z in spacing * (np.arange(rows) - (rows - 1) / 2):
        low, high = z + tilted - spacing / 2, z + tilted + spacing / 2
        metal = np.zeros(frame.u.shape)
        for number, (wires, bottom, top, cells) in enumerate(layers):
            metal += _overlap(low, high, bottom, top) / spacing * wires
            if number + 1 < len(layers):
                upper_wires, upper_bottom = layers[number + 1][:2]
                gap = _overlap(low, high, top, upper_bottom) / spacing
                if gap.any():
                    metal += gap * np.minimum(wires, upper_wires) * _has_via(cells, frame)
        images.append(frame.average_pixels((matrix + (1 - matrix) * metal) * bright))
    half = rows * spacing / 2
    thickest = int(np.argmax([_overlap(-half, half, bottom, top) for _, bottom, top, _ in layers]))
    return HeldOut3D(np.clip(np.stack(images), 0, 1), kinds[thickest])


def _overlap(low, high, bottom, top):
    """Returns the length of the intersection of two intervals."""
    return np.clip(np.minimum(high, top) - np.maximum(low, bottom), 0, None)


def _has_via(cells, frame: Frame):
    """Returns whether each point lies in a cell with a via, (samples, samples)."""
    index = lambda w: np.clip(((w + 0.5) * len(cells)).astype(int), 0, len(cells) - 1)  # noqa: E731
    return cells[index(frame.v), index(frame.u)]
