"""Chips with and without one defect.

The defect is drawn into the image of a chip, on the fine grid on which the twin measures it. Sizes are in
pixels of the reconstruction:

- "broken wire": a gap in a wire; size: length of the gap; normal of its edges: along the wire.
- "short": a bridge between two parallel wires; size: width of the bridge; normal: along the wires.
- "void": a round hole in a wire; size: its diameter; edges of all directions.
- "missing via": the middle one of 3 x 3 square vias, which replace a part of the chip in both images; size:
  side of a via; edges of all directions.
- "displaced wire": a segment of a wire moves sideways; size: the displacement; normal: across the wire.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from experiments.defects.wires import METAL, Frame, Wire, find_wire
from pfitre_jax.twin import OVERSAMPLING

#: Width of wires with a defect, pixels.
WIDTHS = (2.5, 16.0)
#: Wire that remains around a void, and that continues beyond any defect, pixels.
WALL, REST = 1.0, 2.0
#: Largest distance of two wires with a short, pixels.
LARGEST_GAP = 10.0
#: Pixels of a chip that are tried.
TRIALS = 60


@dataclasses.dataclass(frozen=True, eq=False)
class Chip:
    """A chip with and without one defect, on the fine grid.

    Attributes:
        healthy: (fy, fx), without it.
        defective: (fy, fx), with it.
        row: Row of its middle, fine pixels.
        column: Column of its middle.
        normal_deg: Normal of its edges as a view angle, degrees modulo 180; None for edges of all directions.
    """

    healthy: Float[np.ndarray, "fy fx"]
    defective: Float[np.ndarray, "fy fx"]
    row: float
    column: float
    normal_deg: float | None


def angle_to_wedge(normal_deg: float, center_deg: float) -> float:
    """Angle between a normal and the middle of the missing wedge, 0 to 90 degrees."""
    return abs((normal_deg - center_deg + 90) % 180 - 90)


def draw_defect(
    image: Float[np.ndarray, "fy fx"],
    kind: str,
    size: float,
    rng: np.random.Generator,
    accept: Callable[[float], bool] = lambda normal_deg: True,
) -> Chip | None:
    """Draws a defect at a random place of a chip where it fits; None if none of the places suits.

    Args:
        image: (fy, fx), the chip, :data:`pfitre_jax.twin.OVERSAMPLING` times finer than it is reconstructed.
        kind: A name in :data:`KINDS`.
        size: Size of the defect, pixels of the reconstruction.
        rng: Generator of the place.
        accept: Whether edges with this normal, degrees, are wanted.

    Raises:
        ValueError: For an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of defect {kind!r}; expected one of {', '.join(map(repr, KINDS))}")
    draw, f = KINDS[kind], OVERSAMPLING
    metal = image > METAL * np.quantile(image, 0.995)
    # Defects next to the edge of the field would reach beyond it.
    i, j = np.indices(image.shape) - (len(image) - 1) / 2
    places = np.argwhere(metal & (np.hypot(i, j) < 0.42 * len(image)))
    widths = (WIDTHS[0], len(image) / f / 3) if kind == "void" else WIDTHS
    for row, column in places[rng.permutation(len(places))[:TRIALS]]:
        wire = find_wire(image, metal, int(row), int(column), reach=len(image) // 3)
        if wire is None or not widths[0] * f <= wire.width <= widths[1] * f:
            continue
        chip = draw(image, metal, wire, size * f)
        if chip is not None and (chip.normal_deg is None or accept(chip.normal_deg)):
            return chip
    return None


def _box(along: np.ndarray, across: np.ndarray, length: float, width: float) -> np.ndarray:
    """Share of each fine pixel in a box about the origin of a frame, 0 to 1."""
    return np.clip((length + 1) / 2 - np.abs(along), 0, 1) * np.clip((width + 1) / 2 - np.abs(across), 0, 1)


def _lower(image: np.ndarray, share: np.ndarray, level: float) -> np.ndarray:
    """The image with at most this level in a region."""
    return (image - share * np.maximum(image - level, 0)).astype(np.float32)


def _raise(image: np.ndarray, share: np.ndarray, level: float) -> np.ndarray:
    """The image with at least this level in a region."""
    return (image + share * np.maximum(level - image, 0)).astype(np.float32)


def _values(mask: np.ndarray, frame: Frame, length: float, across: float) -> np.ndarray:
    """Values of a mask along a line parallel to a wire, of a length about the origin."""
    along = np.arange(-length / 2, length / 2 + 0.5, 0.5)
    return frame.sample(mask.astype(np.float32), along, np.full_like(along, across))


def _is_free(metal: np.ndarray, wire: Wire, length: float, distances: np.ndarray) -> bool:
    """Whether there is no metal beside a wire at any of the distances from its middle, over a length."""
    return all(_values(metal, wire.frame, length, float(d)).max() < 0.5 for d in distances)


def _goes_on(wire: Wire, length: float) -> bool:
    """Whether the wire continues beyond a length about the origin."""
    return min(wire.before, wire.after) >= length / 2 + REST * OVERSAMPLING


def _broken_wire(image: np.ndarray, metal: np.ndarray, wire: Wire, size: float) -> Chip | None:
    beside = wire.width / 2 + 2
    if not _goes_on(wire, size) or not _is_free(metal, wire, size + 2, np.array([-beside, beside])):
        return None
    along, across = wire.frame.coordinates(image.shape)
    defective = _lower(image, _box(along, across, size, wire.width + 2), wire.background)
    return _chip(image, defective, wire.frame, wire.frame.angle_deg % 180)


def _short(image: np.ndarray, metal: np.ndarray, wire: Wire, size: float) -> Chip | None:
    f = OVERSAMPLING
    for side in (-1, 1):
        edge = wire.width / 2
        profile_at = side * np.arange(edge + 1, edge + LARGEST_GAP * f, 0.5)
        profile = wire.frame.sample(metal.astype(np.float32), np.zeros_like(profile_at), profile_at) > 0.5
        gap = abs(profile_at[np.argmax(profile)]) - edge if profile.any() else 0.0
        if gap < 1.5 * f or not _goes_on(wire, size):
            continue
        length = size + 2 * REST * f
        free = _is_free(metal, wire, length, side * np.arange(edge + 1, edge + gap - 0.5, 0.5))
        other = _values(metal, wire.frame, length, side * (edge + gap + 1.5))
        own = _values(metal, wire.frame, length, side * (edge - 1.5))
        if not free or min(other.min(), own.min()) < 0.5:
            continue
        middle = wire.frame.moved(side * (edge + gap / 2))
        along, across = middle.coordinates(image.shape)
        defective = _raise(image, _box(along, across, size, gap + 1), wire.level)
        return _chip(image, defective, middle, wire.frame.angle_deg % 180)
    return None


def _void(image: np.ndarray, metal: np.ndarray, wire: Wire, size: float) -> Chip | None:
    if wire.width < size + 2 * WALL * OVERSAMPLING or not _goes_on(wire, size):
        return None
    along, across = wire.frame.coordinates(image.shape)
    share = np.clip((size + 1) / 2 - np.hypot(along, across), 0, 1)
    return _chip(image, _lower(image, share, wire.background), wire.frame, None)


def _missing_via(image: np.ndarray, metal: np.ndarray, wire: Wire, size: float) -> Chip | None:
    n = len(image)
    # The array must lie in the field. It is placed about its middle if it does not fit at the wire.
    farthest, place = 0.45 * n - 3 * size * np.sqrt(2), wire.frame
    dy, dx = place.row - (n - 1) / 2, place.column - (n - 1) / 2
    factor = min(1.0, farthest / max(np.hypot(dy, dx), 1e-9))
    if factor < 0:
        return None
    place = Frame((n - 1) / 2 + factor * dy, (n - 1) / 2 + factor * dx, wire.frame.angle_deg)
    along, across = place.coordinates(image.shape)
    area = _box(along, across, 6 * size, 6 * size)
    defective = image + area * (wire.background - image)
    for a in (-2 * size, 0.0, 2 * size):
        for b in (-2 * size, 0.0, 2 * size):
            if a or b:
                defective = _raise(defective, _box(along - a, across - b, size, size), wire.level)
    healthy = _raise(defective, _box(along, across, size, size), wire.level)
    return _chip(healthy, defective, place, None)


def _displaced_wire(image: np.ndarray, metal: np.ndarray, wire: Wire, size: float) -> Chip | None:
    f = OVERSAMPLING
    length = max(6.0 * f, 2 * size)
    edge = wire.width / 2
    if not _goes_on(wire, length):
        return None
    for side in (-1, 1):
        distances = side * np.arange(edge + 2, edge + size + f, 0.5)
        if not _is_free(metal, wire, length + 2, np.append(distances, -side * (edge + 2))):
            continue
        along, across = wire.frame.coordinates(image.shape)
        without = _lower(image, _box(along, across, length, wire.width + 2), wire.background)
        moved = _box(along, across - side * size, length, wire.width)
        return _chip(image, _raise(without, moved, wire.level), wire.frame, (wire.frame.angle_deg + 90) % 180)
    return None


def _chip(healthy: np.ndarray, defective: np.ndarray, frame: Frame, normal_deg: float | None) -> Chip:
    return Chip(healthy.astype(np.float32), defective.astype(np.float32), frame.row, frame.column, normal_deg)


#: Functions ``(image, metal, wire, size) -> Chip | None`` by kind; sizes in fine pixels.
KINDS: dict[str, Callable[[np.ndarray, np.ndarray, Wire, float], Chip | None]] = {
    "broken wire": _broken_wire,
    "short": _short,
    "void": _void,
    "missing via": _missing_via,
    "displaced wire": _displaced_wire,
}
