"""Straight isolated wires in the image of a chip."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import map_coordinates

#: Pixels with more than this share of the brightest level are metal.
METAL = 0.6
#: Largest level beside a wire, as a share of its own.
BACKGROUND = 0.5
#: Step of the search for the direction of a wire, degrees.
STEP_DEG = 2.0


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame along a wire; lengths in fine pixels.

    Attributes:
        row: Row of the origin, which is the middle of the wire.
        column: Column of the origin.
        angle_deg: Direction of the wire, counter-clockwise from the axis of the columns.
    """

    row: float
    column: float
    angle_deg: float

    def coordinates(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """``along`` and ``across`` of each pixel, (ny, nx) each; ``y`` points up, against the rows."""
        i, j = np.indices(shape)
        x, y = j - self.column, self.row - i
        c, s = np.cos(np.deg2rad(self.angle_deg)), np.sin(np.deg2rad(self.angle_deg))
        return x * c + y * s, y * c - x * s

    def sample(
        self, image: Float[np.ndarray, "ny nx"], along: np.ndarray, across: np.ndarray, order: int = 1
    ) -> np.ndarray:
        """Values of an image at points of the frame; 0 outside of it."""
        c, s = np.cos(np.deg2rad(self.angle_deg)), np.sin(np.deg2rad(self.angle_deg))
        x, y = along * c - across * s, along * s + across * c
        return map_coordinates(image, [self.row - y, self.column + x], order=order, mode="constant")

    def moved(self, across: float) -> Frame:
        """The frame with its origin displaced across the wire."""
        angle = np.deg2rad(self.angle_deg)
        return dataclasses.replace(
            self, row=self.row - across * np.cos(angle), column=self.column - across * np.sin(angle)
        )

    def turned(self, angle_deg: float) -> Frame:
        """The frame turned counter-clockwise about its origin."""
        return dataclasses.replace(self, angle_deg=(self.angle_deg + angle_deg) % 360)


@dataclasses.dataclass(frozen=True)
class Wire:
    """A wire at one of its points; lengths in fine pixels.

    Attributes:
        frame: Its frame.
        width: Its width.
        before: Length to its end against the direction of the frame, or to the end of the search.
        after: Length to its end along the direction of the frame.
        level: Its level.
        background: Level beside it.
    """

    frame: Frame
    width: float
    before: float
    after: float
    level: float
    background: float


def find_wire(
    image: Float[np.ndarray, "ny nx"], metal: Bool[np.ndarray, "ny nx"], row: int, column: int, reach: int
) -> Wire | None:
    """The straight wire through a pixel; None where there is no such wire, or its background is bright.

    Its direction is that of the longest line through the pixel in the metal.

    Args:
        image: (ny, nx), the chip.
        metal: (ny, nx), whether a pixel is metal.
        row: Row of a pixel of metal.
        column: Column of the pixel.
        reach: Length of the search in either direction, fine pixels.
    """
    angles = np.arange(0.0, 180.0, STEP_DEG)
    runs = [sum(_runs(metal, Frame(row, column, angle), reach)) for angle in angles]
    # The middle of the directions with the longest line, on the circle of directions.
    best = np.exp(2j * np.deg2rad(angles[np.array(runs) >= max(runs) - 1])).sum()
    angle = float(np.rad2deg(np.angle(best)) / 2 % 180)
    frame = Frame(float(row), float(column), angle)
    for _ in range(2):
        left, right = _runs(metal, frame.turned(90), reach)
        frame = frame.moved((right - left) / 2)
        frame = frame.turned(_tilt(metal, frame, left + right, reach))
    left, right = _runs(metal, frame.turned(90), reach)
    frame, width = frame.moved((right - left) / 2), left + right
    before, after = _runs(metal, frame, reach)
    if width >= reach or before + after < 1.5 * width:
        return None
    sides = frame.sample(image, np.zeros(2), np.array([-1, 1]) * (width / 2 + 2))
    level = float(frame.sample(image, np.zeros(1), np.zeros(1))[0])
    background = float(sides.min())
    if level <= 0 or background > BACKGROUND * level:
        return None
    return Wire(frame, width, before, after, level, background)


def _tilt(metal: np.ndarray, frame: Frame, width: float, reach: int) -> float:
    """Angle between a frame and the wire, degrees, from the middle of the wire at two distances.

    It is 0 where the wire has another width there, as at a corner.
    """
    distance, middles = 0.5 * min(_runs(metal, frame, reach)), []
    for t in (-distance, distance):
        c, s = np.cos(np.deg2rad(frame.angle_deg)), np.sin(np.deg2rad(frame.angle_deg))
        place = dataclasses.replace(frame, row=frame.row - t * s, column=frame.column + t * c)
        left, right = _runs(metal, place.turned(90), reach)
        if abs(left + right - width) > 2:
            return 0.0
        middles.append((right - left) / 2)
    return float(np.rad2deg(np.arctan2(middles[1] - middles[0], 2 * distance))) if distance > 0 else 0.0


def _runs(metal: np.ndarray, frame: Frame, reach: int) -> tuple[float, float]:
    """Lengths of the metal before and after the origin, along the frame, in half pixels."""
    t = np.arange(0.0, reach + 0.5, 0.5)
    lengths = []
    for sign in (-1, 1):
        free = frame.sample(metal.astype(np.float32), sign * t, np.zeros_like(t)) < 0.5
        lengths.append(float(t[np.argmax(free)]) if free.any() else float(reach))
    return lengths[0], lengths[1]
