"""Procedural circuits in three dimensions: a stack of wiring layers joined by vias, cut into rows.

In the frame ``(u, v, w)`` of the wafer, metal layer ``l`` fills ``bottom[l] < w < top[l]`` with the wires of
a table (:mod:`pfitre_jax.twin.scenes.tracks`), the same at every height. Neighbouring layers are orthogonal,
and vias join them where a wire of one crosses a wire of the other. A rotation maps the frame ``(x, y, z)`` of
the rows to that of the wafer: rows are parallel to the wafer, tilted against it, or upright cuts.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pfitre_jax.twin.scenes import outlines, tracks
from pfitre_jax.twin.scenes.shapes import Draw, coordinates, inside, support

#: Number of layers of a stack.
LAYERS = 10
#: Largest angle between the rotation axis and the wafer's normal where rows lie in its plane.
TILT_DEG = 2.0
#: Share of the volumes whose rows are upright cuts.
UPRIGHT = 0.3
RANDOM = LAYERS * tracks.RANDOM + LAYERS * tracks.TRACKS**2 + 400


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stack:
    """Metal layers above each other; lengths in fractions of the field from the middle of the volume.

    Attributes:
        wires: Tables of the layers, leading axis (layers,).
        across: (layers,), whether a layer runs along ``u``.
        bottom: (layers,), increasing heights ``w`` of the lower surfaces.
        top: (layers,), heights ``w`` of the upper surfaces.
        vias: (layers, TRACKS, TRACKS), whether the crossing of a track of the layer below with a track of
            this layer has a via.
        rotation: (3, 3), ``(u, v, w) = rotation @ (x, y, z)``.
        soft: (), width of edges in the plane in addition to that of a pixel.
    """

    wires: tracks.TrackLayer
    across: Bool[Array, " layers"]
    bottom: Float[Array, " layers"]
    top: Float[Array, " layers"]
    vias: Bool[Array, "layers tracks tracks"]
    rotation: Float[Array, "3 3"]
    soft: Float[Array, ""]


def circuits3d(key: Array, rows: int, n: int, spacing: float | None = None) -> Float[Array, "rows n n"]:
    """Draws one volume: (rows, n, n), float32 in [0, 1], 0 outside the cylinder of radius ``0.48 n``.

    A row is the mean over its height: parts of a layer and of a gap in one row are averaged. The outline of
    the sample is the same in all rows. With the same ``rows`` and ``spacing`` a key gives the same picture
    at every ``n``.

    Args:
        key: Random key.
        rows: Number of rows; static.
        n: Width, pixels; static.
        spacing: Height of a row, fraction of the field, static; by default ``1/n``, which makes the voxels
            cubic.

    >>> circuits3d(jax.random.key(0), 4, 32).shape
    (4, 32, 32)
    """
    return _draw(key, rows, n, 1.0 / n if spacing is None else spacing)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _draw(key, rows, n, spacing):
    d = Draw(jax.random.uniform(key, (RANDOM,)))
    angle = jnp.pi * d.uniform()
    stack = random_stack(d, angle, rows * spacing)
    x, y = coordinates(n)
    outline = outlines.outline(d, angle, x, y)
    margin = d.chance(0.5) * d.log(0.005, 0.06)
    matrix = d.chance(0.65) * d.uniform(0.0, 0.25)
    substrate = jnp.maximum(matrix, d.chance(0.5) * d.uniform(0.0, 0.4))
    bright = jnp.where(d.chance(0.7), 1.0, d.uniform(0.6, 1.0))
    wired = inside(outline.depth - margin, 1.0 / n)
    sample = bright * inside(outline.depth, 1.0 / n) * support(x, y, 1.0 / n)

    def row(z):
        metal = wired * metal_at(stack, x, y, z, spacing)
        _, _, height = _wafer(stack.rotation, x, y, z)
        size = _footprint(stack.rotation[2], n, spacing)
        below, above = inside(stack.bottom[0] - height, size), inside(height - stack.top[-1], size)
        ground = substrate * below + matrix * (1 - below - above)
        return jnp.clip(sample * (ground + (1 - ground) * metal), 0.0, 1.0)

    # One row after the other, each with the layers that it intersects.
    return jax.lax.map(row, row_heights(rows, spacing))


def row_heights(rows: int, spacing: float) -> Float[Array, " rows"]:
    """Heights ``z`` of the middles of the rows, fractions of the field: (rows,)."""
    return (jnp.arange(rows, dtype=jnp.float32) - (rows - 1) / 2) * spacing


def random_stack(d: Draw, angle: Array | float, height: float) -> Stack:
    """Draws a stack whose pitches grow upwards.

    It is at least as high as the volume if the rows are not upright.

    Args:
        d: Random numbers.
        angle: (), direction of the wiring in the plane of the rows, or of the wafer's edge if the rows are
            upright, radians.
        height: Height of the volume, fraction of the field.
    """
    growth = d.uniform(1.0, 1.15) ** jnp.arange(LAYERS)
    pitch = jnp.clip(d.log(0.027, 0.07) * growth * jnp.exp(0.3 * (d.array(LAYERS) - 0.5)), 0.027, 0.15)
    fill = 0.3 + 0.35 * d.array(LAYERS)
    on = jnp.where(d.array(LAYERS) < 0.15, 1.0, 0.3 + 0.6 * d.array(LAYERS))
    run = jnp.clip(pitch * 0.8 * 12.0 ** d.array(LAYERS), 0.02, 0.6)
    values = d.array(LAYERS, tracks.RANDOM)
    wires = jax.vmap(lambda r, p, f, o, l: tracks.wires(Draw(r), p, fill=f, on=o, run=l, square=0))(
        values, pitch, fill, on, run
    )
    metal = pitch * d.uniform(0.5, 1.2)
    gap = metal * d.log(0.4, 1.2) * jnp.exp(0.3 * (d.array(LAYERS) - 0.5))

    upright = d.chance(UPRIGHT)
    tilt = jnp.where(upright, 0.0, d.chance(0.6) * jnp.deg2rad(TILT_DEG) * d.uniform())
    # The stack is stretched to the height of the rows, so that none of them is empty.
    reach = height + 2 * jnp.sin(tilt)
    whole = jnp.sum(metal + gap)
    stretch = jnp.where(upright, 1.0, jnp.maximum(1.0, reach / whole))
    metal, gap, whole = stretch * metal, stretch * gap, stretch * whole
    room = jnp.where(upright, 0.3, jnp.maximum(whole - reach, 0.0))
    top = jnp.cumsum(metal + gap) - whole / 2 + room * d.uniform(-0.5, 0.5)
    return Stack(
        wires=wires,
        across=(jnp.arange(LAYERS) + d.chance(0.5)) % 2 == 1,
        bottom=top - metal,
        top=top,
        vias=d.array(LAYERS, tracks.TRACKS, tracks.TRACKS) < d.log(0.1, 0.7),
        rotation=orientation(angle, upright, tilt, 2 * jnp.pi * d.uniform()),
        soft=d.chance(0.3) * d.log(0.003, 0.02),
    )


def orientation(
    angle: Array | float, upright: Array | bool, tilt: Array | float = 0.0, towards: Array | float = 0.0
) -> Float[Array, "3 3"]:
    """Rotation matrix from the frame of the rows to that of the wafer.

    Heights are ``w = z cos(tilt) + (x cos(towards) + y sin(towards)) sin(tilt)`` if the rows are not upright.

    Args:
        angle: (), direction of ``v``, or of ``w`` if the rows are upright, in the plane of the rows, radians.
        upright: (), whether the rows are upright cuts.
        tilt: (), angle between the normal of the wafer and the axis of the rows, radians.
        towards: (), direction of the tilt in the plane of the rows, radians.
    """
    zero, one = jnp.zeros(()), jnp.ones(())
    turned = lambda a: jnp.array([[jnp.sin(a), -jnp.cos(a)], [jnp.cos(a), jnp.sin(a)]])  # noqa: E731
    flat = jnp.block([[turned(angle), jnp.zeros((2, 1))], [jnp.zeros((1, 2)), jnp.ones((1, 1))]])
    # The axis of the tilt lies in the plane of the rows, orthogonal to the direction ``towards``.
    c, s = jnp.cos(tilt), jnp.sin(tilt)
    e, f = jnp.cos(towards), jnp.sin(towards)
    lean = jnp.array(
        [
            [f * f + c * e * e, (c - 1) * e * f, -s * e],
            [(c - 1) * e * f, e * e + c * f * f, -s * f],
            [s * e, s * f, c],
        ]
    )
    along, up = turned(angle)
    cut = jnp.stack([jnp.stack([zero, zero, one]), jnp.append(along, 0.0), jnp.append(up, 0.0)])
    return jnp.where(upright, cut, flat @ lean)


def metal_at(
    stack: Stack, x: Array, y: Array, z: Array | float, spacing: Array | float
) -> Float[Array, "n n"]:
    """Coverage of a row by wires and vias: (n, n), in [0, 1].

    Args:
        stack: The stack.
        x: (n, n), coordinates of the pixels, see :func:`pfitre_jax.twin.scenes.shapes.coordinates`.
        y: As ``x``.
        z: (), height of the middle of the row, fraction of the field.
        spacing: (), height of the row, fraction of the field.
    """
    n = x.shape[0]
    u, v, w = _wafer(stack.rotation, x, y, z)
    size = _footprint(stack.rotation[2], n, spacing)
    width = stack.soft + jnp.maximum(*(_footprint(stack.rotation[i], n, spacing) for i in (0, 1)))
    # Content below the first layer, in the gap below each layer, and in the layers.
    below = jnp.concatenate([stack.bottom[:1], stack.top[:-1]])
    metal = jax.vmap(lambda low, high: _overlap(w, size, low, high))(stack.bottom, stack.top)
    gap = jax.vmap(lambda low, high: _overlap(w, size, low, high))(below, stack.bottom)
    met, bridged = (jnp.any(weight > 0, axis=(1, 2)) for weight in (metal, gap))
    needed = met | bridged | jnp.append(bridged[1:], False)

    def add(carry, given):
        content, image_below, track_below = carry
        layer, across, vias, metal, gap, needed = given
        a, b = jnp.where(across, v, u), jnp.where(across, u, v)
        image, track = jax.lax.cond(
            needed,
            lambda: (tracks.draw(layer, a, b, width), tracks.track(layer, a, b)),
            lambda: (jnp.zeros_like(a), jnp.zeros(a.shape, jnp.int32)),
        )
        via = vias.ravel()[track_below * tracks.TRACKS + track] * image_below * image
        return (content + metal * image + gap * via, image, track), None

    start = jnp.zeros_like(u), jnp.zeros_like(u), jnp.zeros(u.shape, jnp.int32)
    (content, *_), _ = jax.lax.scan(add, start, (stack.wires, stack.across, stack.vias, metal, gap, needed))
    return content


def _wafer(rotation, x, y, z):
    """Coordinates ``u, v, w`` of the points of a row."""
    return (r[0] * x + r[1] * y + r[2] * z for r in rotation)


def _footprint(direction, n: int, spacing):
    """Width of a voxel along a direction of the wafer: ``1/n`` in the row's plane, ``spacing`` across it."""
    return jnp.sqrt((direction[0] ** 2 + direction[1] ** 2) / n**2 + (direction[2] * spacing) ** 2)


def _overlap(w, size, low, high):
    """Share of an interval of length ``size`` about ``w`` that lies between ``low`` and ``high``."""
    return jnp.clip((jnp.minimum(high, w + size / 2) - jnp.maximum(low, w - size / 2)) / size, 0.0, 1.0)
