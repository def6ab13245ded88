"""Held-out circuits, for validation only: drawn by other rules than :mod:`pfitre_jax.twin.scenes.circuits`.

Nets are routed, test structures constructed and cells repeated, as rectangles on a fine canvas in the frame
of the layout. The canvas is then rotated and averaged over pixels. The scenes share no code with the training
scenes, and no prior may be trained or tuned on them. They are drawn by NumPy, in about 0.1 s each.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

#: Side of the canvas, which covers the field once.
CANVAS = 1024
#: Samples of the canvas along a side of a pixel.
SAMPLES = 4


class _Canvas:
    """An image of rectangles; positions in fractions of the field from its middle."""

    def __init__(self):
        self.image = np.zeros((CANVAS, CANVAS), np.float32)

    def rectangle(self, x0, y0, x1, y1, level=1.0):
        """Draws a rectangle between two corners."""
        (x0, x1), (y0, y1) = sorted((x0, x1)), sorted((y0, y1))
        i0, i1, j0, j1 = (round((float(t) + 0.5) * CANVAS) for t in (y0, y1, x0, x1))
        self.image[max(i0, 0) : max(i1, 0), max(j0, 0) : max(j1, 0)] = level

    def wire(self, points, width, level=1.0):
        """Draws a rectilinear wire through ``points [(x, y), ...]`` with square ends."""
        h = width / 2
        for (x0, y0), (x1, y1) in pairwise(points):
            self.rectangle(min(x0, x1) - h, min(y0, y1) - h, max(x0, x1) + h, max(y0, y1) + h, level)

    def slanted(self, start, end, width, level=1.0):
        """Draws a straight wire at any angle."""
        t = (np.arange(CANVAS) + 0.5) / CANVAS - 0.5
        x, y = t[None, :] - start[0], t[:, None] - start[1]
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = np.hypot(dx, dy) + 1e-9
        along, across = (x * dx + y * dy) / length, (x * dy - y * dx) / length
        self.image[(np.abs(across) < width / 2) & (along > -width / 2) & (along < length + width / 2)] = level


def _log(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _routed(rng, canvas):
    """Lee routing: each net takes a shortest free path through a grid."""
    pitch = _log(rng, 0.028, 0.1)
    width = pitch * rng.uniform(0.35, 0.7)
    m = int(0.96 / pitch)
    free = rng.random((m, m)) > rng.uniform(0.0, 0.1)
    position = lambda c: ((c[1] - (m - 1) / 2) * pitch, (c[0] - (m - 1) / 2) * pitch)  # noqa: E731
    for _ in range(int(rng.uniform(0.2, 1.0) * m) + 4):
        cells = np.argwhere(free)
        if len(cells) < 2:
            break
        start, end = (tuple(int(i) for i in cells[k]) for k in rng.integers(len(cells), size=2))
        path = _shortest_path(free, start, end, rng)
        for c in path:
            free[c] = False
        if len(path) > 1:
            canvas.wire([position(c) for c in path], width)
            side = width * rng.uniform(1.0, 1.5) / 2
            for x, y in (position(path[0]), position(path[-1])):
                canvas.rectangle(x - side, y - side, x + side, y + side)


def _shortest_path(free, start, end, rng):
    """Returns the cells of a shortest path of free cells; an empty list if there is none."""
    steps = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])[rng.permutation(4)].tolist()
    previous = {start: None}
    queue = deque([start])
    while queue:
        cell = queue.popleft()
        if cell == end:
            path = []
            while cell is not None:
                path.append(cell)
                cell = previous[cell]
            return path
        for di, dj in steps:
            neighbour = (cell[0] + di, cell[1] + dj)
            inside = 0 <= neighbour[0] < free.shape[0] and 0 <= neighbour[1] < free.shape[1]
            if inside and free[neighbour] and neighbour not in previous:
                previous[neighbour] = cell
                queue.append(neighbour)
    return []


def _channel(rng, canvas):
    """Left-edge channel routing: pins on two sides, and the trunk of each net on the first free track."""
    pitch = _log(rng, 0.03, 0.09)
    width = pitch * rng.uniform(0.35, 0.65)
    branch_level = rng.uniform(0.4, 1.0)
    columns = np.arange(-0.46, 0.46, pitch)
    channels = int(rng.integers(1, 4))
    borders = np.linspace(-0.44, 0.44, channels + 1)
    for low, high in pairwise(borders):
        tracks = np.arange(low + pitch, high - 0.5 * pitch, pitch)
        filled = np.full(len(tracks), -1.0)
        pins = list(rng.permutation(len(columns)))
        nets = []
        while len(pins) > 3:
            take = int(rng.integers(2, 4))
            nets.append(sorted(pins[:take]))
            pins = pins[take:]
        for net in sorted(nets):
            x = columns[net]
            open_tracks = np.flatnonzero(filled < x[0] - 0.5 * pitch)
            if len(open_tracks) == 0:
                continue
            k = open_tracks[0]
            filled[k] = x[-1]
            for column in x:
                canvas.wire(
                    [(column, tracks[k]), (column, low if rng.random() < 0.5 else high)], width, branch_level
                )
            canvas.wire([(x[0], tracks[k]), (x[-1], tracks[k])], width)
        canvas.rectangle(-0.5, low - pitch / 3, 0.5, low + pitch / 3, rng.uniform(0.6, 1.0))


def _serpentine(rng, canvas):
    """One or two meanders, each from one pad to another."""
    blocks = int(rng.integers(1, 3))
    for left in np.linspace(-0.42, 0.42, blocks + 1)[:-1]:
        right = left + 0.84 / blocks - 0.05
        pitch = _log(rng, 0.03, 0.11)
        width = pitch * rng.uniform(0.3, 0.65)
        rows = np.arange(-0.4, 0.4, pitch)
        points = []
        for k, y in enumerate(rows):
            points += [(left, y), (right, y)] if k % 2 == 0 else [(right, y), (left, y)]
        canvas.wire(points, width)
        for x, y in (points[0], points[-1]):
            canvas.rectangle(x - 0.03, y - 0.03, x + 0.03, y + 0.03)


def _comb(rng, canvas):
    """Two interdigitated combs."""
    pitch = _log(rng, 0.03, 0.1)
    width = pitch * rng.uniform(0.3, 0.7)
    backbone = rng.uniform(0.02, 0.08)
    reach = rng.uniform(0.25, 0.42)
    canvas.rectangle(-reach - backbone, -0.46, -reach, 0.46)
    canvas.rectangle(reach, -0.46, reach + backbone, 0.46, rng.uniform(0.5, 1.0))
    short = rng.uniform(0.02, 0.15)
    for k, y in enumerate(np.arange(-0.44, 0.44, pitch)):
        left = k % 2 == 0
        x0, x1 = (-reach, reach - short) if left else (short - reach, reach)
        if rng.random() < 0.93:
            canvas.wire([(x0, y), (x1, y)], width)


def _spiral(rng, canvas):
    """Square spirals (inductors), one or four."""
    centres = [(0.0, 0.0)] if rng.random() < 0.6 else [(s * 0.2, t * 0.2) for s in (-1, 1) for t in (-1, 1)]
    room = 0.42 if len(centres) == 1 else 0.18
    pitch = _log(rng, 0.03, 0.09 if len(centres) == 1 else 0.05)
    width = pitch * rng.uniform(0.3, 0.7)
    for cx, cy in centres:
        r = room
        points = [(cx - r, cy - r)]
        while r > 1.2 * pitch:
            points += [(cx + r, cy - r), (cx + r, cy + r), (cx - r, cy + r), (cx - r, cy - r + pitch)]
            r -= pitch
            points.append((cx - r, cy - r))
        canvas.wire(points, width, rng.uniform(0.7, 1.0))
        canvas.wire([points[-1], (points[-1][0], cy - 0.5)], width, rng.uniform(0.3, 0.7))


def _memory(rng, canvas):
    """A cell of random rectangles, repeated with mirroring, in half of the scenes under word lines."""
    cell_x, cell_y = _log(rng, 0.08, 0.25), _log(rng, 0.08, 0.25)
    parts = [
        (
            rng.uniform(0, 0.7),
            rng.uniform(0, 0.7),
            rng.uniform(0.12, 0.5),
            rng.uniform(0.12, 0.3),
            rng.random() < 0.5,
        )
        for _ in range(int(rng.integers(3, 7)))
    ]
    levels = rng.uniform(0.45, 1.0, len(parts))
    for i, x in enumerate(np.arange(-0.55, 0.55, cell_x)):
        for j, y in enumerate(np.arange(-0.55, 0.55, cell_y)):
            for (px, py, w, h, tall), level in zip(parts, levels, strict=True):
                w, h = (h, w) if tall else (w, h)
                x0, x1, y0, y1 = px, min(px + w, 1.0), py, min(py + h, 1.0)
                x0, x1 = (1 - x1, 1 - x0) if i % 2 else (x0, x1)
                y0, y1 = (1 - y1, 1 - y0) if j % 2 else (y0, y1)
                canvas.rectangle(x + x0 * cell_x, y + y0 * cell_y, x + x1 * cell_x, y + y1 * cell_y, level)
    if rng.random() < 0.5:
        width = cell_y * rng.uniform(0.1, 0.25)
        for y in np.arange(-0.55, 0.55, cell_y):
            canvas.rectangle(-0.5, y - width / 2, 0.5, y + width / 2)


def _cell_rows(rng, canvas):
    """Rows of cells between supply rails: fingers, contacts and short bent wires."""
    row = _log(rng, 0.12, 0.3)
    pitch = row * rng.uniform(0.16, 0.3)
    width = pitch * rng.uniform(0.35, 0.6)
    rail = row * rng.uniform(0.1, 0.22)
    dots = rng.random() < 0.5
    for y in np.arange(-0.5 - row * rng.random(), 0.5, row):
        canvas.rectangle(-0.5, y - rail / 2, 0.5, y + rail / 2)
        x = -0.5
        while x < 0.5:
            low, high = y + rail / 2 + width, y + row - rail / 2 - width
            draw = rng.random()
            a, b = sorted(rng.uniform(low, high, 2))
            if draw < 0.35:
                canvas.wire([(x, low), (x, high)], width)
            elif draw < 0.6:
                canvas.wire([(x, a), (x, b), (x + pitch, b)], width, rng.uniform(0.6, 1.0))
                x += pitch
            elif draw < 0.8 and dots:
                for c in (a, b):
                    canvas.rectangle(x - width / 2, c - width / 2, x + width / 2, c + width / 2)
            elif draw < 0.9:
                canvas.wire([(x, y), (x, b)], width)
            x += pitch


def _fan_out(rng, canvas):
    """Pads on two sides of a block, joined to finer pins by wires with a slanted middle part."""
    count = int(rng.integers(4, 10))
    pads, pins = np.linspace(-0.4, 0.4, count), np.linspace(-0.4, 0.4, count) * rng.uniform(0.25, 0.6)
    side = 0.8 / count * rng.uniform(0.3, 0.6)
    width = min(side, pins[1] - pins[0]) * rng.uniform(0.35, 0.7)
    near, far = rng.uniform(0.05, 0.15), rng.uniform(0.22, 0.3)
    for sign in (-1, 1):
        for pad, pin in zip(pads, pins, strict=True):
            canvas.slanted((pad, sign * (far + 0.06)), (pad, sign * far), width)
            canvas.slanted((pad, sign * far), (pin, sign * near), width)
            canvas.slanted((pin, sign * near), (pin, sign * 0.02), width)
            top = sign * (far + 0.06)
            canvas.rectangle(pad - side / 2, top, pad + side / 2, top + sign * side)
    canvas.rectangle(pins[0] - 0.02, -0.02, pins[-1] + 0.02, 0.02, rng.uniform(0.5, 1.0))


def _stack(rng, canvas):
    """A vertical cut of a damascene stack: thin layers below, thick ones above, via posts, a substrate."""
    y = -0.45
    substrate = rng.uniform(0.0, 0.2)
    canvas.rectangle(-0.5, y, 0.5, y + substrate, rng.uniform(0.15, 0.5))
    y += substrate + 0.02
    thickness = _log(rng, 0.018, 0.05)
    posts: list[float] = []
    while y < 0.44:
        for x in posts:
            canvas.rectangle(
                x - 0.3 * thickness, y - 0.8 * thickness, x + 0.3 * thickness, y, rng.uniform(0.7, 1.0)
            )
        x, posts = -0.5, []
        along = rng.random() < 0.5
        while x < 0.5:
            length = thickness * (rng.uniform(3, 14) if along else rng.uniform(0.7, 1.6))
            if rng.random() < 0.75:
                canvas.rectangle(x, y, x + length, y + thickness)
                if rng.random() < 0.6:
                    posts.append(x + length * rng.uniform(0.3, 0.7))
            x += length + thickness * rng.uniform(0.6, 2.0)
        y += thickness * 1.8
        thickness = min(thickness * rng.uniform(1.0, 1.35), 0.12)


_DRAW = {
    "routed": _routed,
    "channel": _channel,
    "serpentine": _serpentine,
    "comb": _comb,
    "spiral": _spiral,
    "memory": _memory,
    "cell rows": _cell_rows,
    "fan-out": _fan_out,
    "stack": _stack,
}
#: Kinds of held-out scenes; seed ``s`` draws kind ``s`` modulo their number.
KINDS = tuple(_DRAW)


class HeldOut(NamedTuple):
    """A held-out scene.

    Attributes:
        image: (n, n), values in [0, 1].
        kind: One of :data:`KINDS`.
        wires_rad: Direction of the long wires, as a view angle, radians; other wires run across it.
    """

    image: Float[np.ndarray, "n n"]
    kind: str
    wires_rad: float


def heldout(seed: int, n: int) -> HeldOut:
    """Draws a held-out scene: (n, n), float32 in [0, 1], 0 outside the disc of radius ``0.48 n``.

    Consecutive seeds cycle through :data:`KINDS`, so that any range of seeds is balanced. A seed gives the
    same picture at every ``n``. The orientation of the wiring is uniform over all angles.

    Args:
        seed: Seed of the scene.
        n: Width, pixels.

    Raises:
        ValueError: For a negative seed or ``n`` below 8.

    >>> heldout(1, 64).kind
    'channel'
    """
    if seed < 0 or n < 8:
        raise ValueError(f"seed is {seed}, n is {n}; expected a seed of at least 0 and n of at least 8")
    kind = KINDS[seed % len(KINDS)]
    rng = np.random.default_rng([20261, seed])
    canvas = wiring(kind, rng)
    angle = rng.uniform(0.0, 2 * np.pi)
    frame = Frame.at_angle(angle, n)
    wires = frame.sample(canvas)

    matrix = rng.uniform(0.0, 0.2) * (rng.random() < 0.6)
    outline = frame.outline(rng)
    image = (matrix + (1 - matrix) * wires) * rng.uniform(0.75, 1.0) * outline
    return HeldOut(frame.average_pixels(image), kind, direction(kind, angle))


def wiring(kind: str, rng: np.random.Generator) -> Float[np.ndarray, "canvas canvas"]:
    """Draws a layer of one of :data:`KINDS` in the frame of the layout, values in [0, 1]."""
    canvas = _Canvas()
    _DRAW[kind](rng, canvas)
    return canvas.image


def direction(kind: str, angle: float) -> float:
    """Returns the direction of the long wires of a layer that is rotated by ``angle``, radians."""
    # The wires of a fan-out go from its pads down to its pins.
    return float((angle + np.pi / 2 if kind == "fan-out" else angle) % np.pi)


class Frame(NamedTuple):
    """Sample points of an image, :data:`SAMPLES` along each side of a pixel, in fractions of the field.

    Attributes:
        x: (1, samples), coordinate of the image to the right.
        y: (samples, 1), coordinate of the image upwards.
        u: (samples, samples), first coordinate of a layout that is rotated in the image.
        v: (samples, samples), second coordinate of the layout.
    """

    x: np.ndarray
    y: np.ndarray
    u: np.ndarray
    v: np.ndarray

    @classmethod
    def at_angle(cls, angle: float, n: int) -> Frame:
        """Returns the points of an image ``n`` pixels wide, with a layout rotated by ``angle``, radians."""
        m = n * SAMPLES
        t = (np.arange(m) + 0.5) / m - 0.5
        x, y = t[None, :], -t[:, None]
        return cls(x, y, x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle))

    def sample(self, canvas: np.ndarray) -> np.ndarray:
        """Returns the values of a layer (canvas, canvas) at the points."""
        index = lambda w: np.clip(((w + 0.5) * CANVAS).astype(int), 0, CANVAS - 1)  # noqa: E731
        return canvas[index(self.v), index(self.u)]

    def outline(self, rng: np.random.Generator) -> np.ndarray:
        """Draws the sample's outline inside the disc of radius ``0.48``; True inside the sample."""
        edge = 0.48 - SAMPLES / self.u.shape[0]
        return _outline(rng, self.u, self.v) & (self.x**2 + self.y**2 < edge**2)

    def average_pixels(self, image: np.ndarray) -> Float[np.ndarray, "n n"]:
        """Returns the means over the points of each pixel, (n, n)."""
        n = len(image) // SAMPLES
        return image.reshape(n, SAMPLES, n, SAMPLES).mean(axis=(1, 3)).astype(np.float32)


def _outline(rng, u, v):
    """A superellipse, a convex polygon or the whole field; rotated against the wiring or not."""
    rotation = 0.0 if rng.random() < 0.5 else rng.uniform(0.0, np.pi)
    a, b = u * np.cos(rotation) + v * np.sin(rotation), v * np.cos(rotation) - u * np.sin(rotation)
    kind = rng.random()
    if kind < 0.5:
        power = rng.choice([2.0, 3.0, 8.0, 30.0])
        # The corners of an almost rectangular outline must lie in the field.
        reach = 0.47 * (1.0 if power < 4 else 0.74)
        return (np.abs(a) / reach) ** power + (np.abs(b) / (reach * rng.uniform(0.5, 1.0))) ** power < 1
    if kind < 0.85:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(5, 9))))
        mask = np.ones(np.broadcast_shapes(a.shape, b.shape), bool)
        for phi in angles:
            mask &= a * np.cos(phi) + b * np.sin(phi) < rng.uniform(0.3, 0.46)
        return mask
    return np.ones(np.broadcast_shapes(a.shape, b.shape), bool)
