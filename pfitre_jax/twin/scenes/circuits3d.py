"""Procedural circuits in three dimensions: wiring layers that are connected by vias, cut into rows.

In the frame ``(u, v, w)`` of the wafer, the metal layer ``l`` fills ``bottom[l] < w < top[l]`` with the wires
of a table (:mod:`pfitre_jax.twin.scenes.tracks`), the same at every height. The wires of neighbouring layers
are orthogonal. Vias between two layers are at crossings of their wires. A rotation maps the frame
``(x, y, z)`` of the rows to that of the wafer: rows lie in its plane, at a small tilt, or cut it upright.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pfitre_jax.twin.scenes import tracks
from pfitre_jax.twin.scenes.outlines import random_outline
from pfitre_jax.twin.scenes.shapes import Draw, coordinates, inside, support

#: Number of metal layers.
LAYERS = 10
#: Largest angle between the rotation axis and the normal of the wafer where rows lie in its plane, degrees.
TILT_DEG = 2.0
#: Share of the volumes whose rows are upright cuts.
UPRIGHT_SHARE = 0.3
#: Number of random numbers that a volume may use.
RANDOM = LAYERS * tracks.RANDOM + LAYERS * tracks.TRACKS**2 + 400


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WiringStack:
    """Metal layers above each other; lengths in fractions of the field from the centre of the volume.

    Attributes:
        wires: Tables of the layers, with a leading axis (layers,).
        across: (layers,), whether the wires of a layer run along ``u``.
        bottom: (layers,), lowest ``w`` of the layers, increasing.
        top: (layers,), highest ``w`` of the layers, increasing.
        vias: (layers, tracks, tracks), whether there is a via in the gap below a layer where a track of the
            lower layer (first) crosses one of the layer.
        rotation: (3, 3), ``(u, v, w) = rotation @ (x, y, z)``.
        soft: (), width of edges in the plane, in addition to that of a pixel.
    """

    wires: tracks.TrackLayer
    across: Bool[Array, " layers"]
    bottom: Float[Array, " layers"]
    top: Float[Array, " layers"]
    vias: Bool[Array, "layers tracks tracks"]
    rotation: Float[Array, "3 3"]
    soft: Float[Array, ""]


def circuits3d(key: Array, rows: int, n: int, spacing: float | None = None) -> Float[Array, "rows n n"]:
    """Draws one volume, (rows, n, n), float32 in [0, 1], 0 outside the cylinder of radius ``0.48 n``.

    A row is the mean over its height, for example the weighted mean of a layer and the gap below it. The
    outline of the sample is the same in all rows. For the same ``rows`` and ``spacing`` a key gives the same
    volume at every ``n``.

    Args:
        key: Random key.
        rows: Number of rows; static.
        n: Width, pixels; static.
        spacing: Height of a row, fraction of the field; static. By default ``1/n``: cubic voxels.

    >>> circuits3d(jax.random.key(0), 4, 32).shape
    (4, 32, 32)
    """
    return _draw(key, rows, n, 1.0 / n if spacing is None else spacing)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _draw(key: Array, rows: int, n: int, spacing: float) -> Float[Array, "rows n n"]:
    d = Draw(jax.random.uniform(key, (RANDOM,)))
    angle = jnp.pi * d.uniform()
    stack = random_stack(d, angle, rows * spacing)
    x, y = coordinates(n)
    outline = random_outline(d, angle, x, y)
    margin = d.chance(0.5) * d.log(0.005, 0.06)
    matrix = d.chance(0.65) * d.uniform(0.0, 0.25)
    substrate = jnp.maximum(matrix, d.chance(0.5) * d.uniform(0.0, 0.4))
    bright = jnp.where(d.chance(0.7), 1.0, d.uniform(0.6, 1.0))
    wired_area = inside(outline.depth - margin, 1.0 / n)
    sample = bright * inside(outline.depth, 1.0 / n) * support(x, y, 1.0 / n)

    def row(z: Array) -> Array:
        metal = wired_area * metal_at(stack, x, y, z, spacing)
        _, _, height = _to_wafer(stack.rotation, x, y, z)
        size = _footprint(stack.rotation[2], n, spacing)
        below, above = inside(stack.bottom[0] - height, size), inside(height - stack.top[-1], size)
        ground = substrate * below + matrix * (1 - below - above)
        return jnp.clip(sample * (ground + (1 - ground) * metal), 0.0, 1.0)

    # The rows are sequential, and each draws only the layers that it intersects.
    return jax.lax.map(row, row_heights(rows, spacing))


def row_heights(rows: int, spacing: float) -> Float[Array, " rows"]:
    """Returns ``z`` of the centres of the rows, (rows,)."""
    return (jnp.arange(rows, dtype=jnp.float32) - (rows - 1) / 2) * spacing


def random_stack(d: Draw, angle: Array | float, height: float) -> WiringStack:
    """Draws a stack whose pitch grows upwards.

    It is at least as high as the volume where the rows lie in its plane.

    Args:
        d: Random numbers.
        angle: (), angle of the wiring in the plane of the rows, or of the edge of the wafer where the rows
            are upright cuts, rad.
        height: Height of the volume.
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

    upright = d.chance(UPRIGHT_SHARE)
    tilt = jnp.where(upright, 0.0, d.chance(0.6) * jnp.deg2rad(TILT_DEG) * d.uniform())
    # The stack is stretched to the extent of the rows, so that none of them is empty.
    extent = height + 2 * jnp.sin(tilt)
    total = jnp.sum(metal + gap)
    stretch = jnp.where(upright, 1.0, jnp.maximum(1.0, extent / total))
    metal, gap, total = stretch * metal, stretch * gap, stretch * total
    margin = jnp.where(upright, 0.3, jnp.maximum(total - extent, 0.0))
    top = jnp.cumsum(metal + gap) - total / 2 + margin * d.uniform(-0.5, 0.5)
    return WiringStack(
        wires=wires,
        across=(jnp.arange(LAYERS) + d.chance(0.5)) % 2 == 1,
        bottom=top - metal,
        top=top,
        vias=d.array(LAYERS, tracks.TRACKS, tracks.TRACKS) < d.log(0.1, 0.7),
        rotation=orientation(angle, upright, tilt, 2 * jnp.pi * d.uniform()),
        soft=d.chance(0.3) * d.log(0.003, 0.02),
    )


def orientation(
    angle: Array | float, upright: Array | bool, tilt: Array | float = 0.0, direction: Array | float = 0.0
) -> Float[Array, "3 3"]:
    """Returns the rotation from the frame of the rows to that of the wafer.

    A tilt gives ``w = z cos(tilt) + (x cos(direction) + y sin(direction)) sin(tilt)``.

    Args:
        angle: (), angle in the plane of the rows of ``v``, or of ``w`` for upright cuts, rad.
        upright: (), whether the rows are upright cuts.
        tilt: (), angle between the normal of the wafer and the axis of the rows, rad.
        direction: (), direction of the tilt in the plane of the rows, rad.
    """
    zero, one = jnp.zeros(()), jnp.ones(())
    frame_at = lambda a: jnp.array([[jnp.sin(a), -jnp.cos(a)], [jnp.cos(a), jnp.sin(a)]])  # noqa: E731
    flat = jnp.block([[frame_at(angle), jnp.zeros((2, 1))], [jnp.zeros((1, 2)), jnp.ones((1, 1))]])
    # The axis of the tilt lies in the plane of the rows, at right angles to its direction.
    c, s = jnp.cos(tilt), jnp.sin(tilt)
    e, f = jnp.cos(direction), jnp.sin(direction)
    tilted = jnp.array(
        [
            [f * f + c * e * e, (c - 1) * e * f, -s * e],
            [(c - 1) * e * f, e * e + c * f * f, -s * f],
            [s * e, s * f, c],
        ]
    )
    along, up = frame_at(angle)
    cut = jnp.stack([jnp.stack([zero, zero, one]), jnp.append(along, 0.0), jnp.append(up, 0.0)])
    return jnp.where(upright, cut, flat @ tilted)


def metal_at(
    stack: WiringStack,
    x: Float[Array, "n n"],
    y: Float[Array, "n n"],
    z: Array | float,
    spacing: Array | float,
) -> Float[Array, "n n"]:
    """Returns the coverage of a row by wires and vias, (n, n), values in [0, 1].

    Args:
        stack: The stack.
        x: (n, n), see :func:`coordinates`.
        y: (n, n), see :func:`coordinates`.
        z: (), centre of the row.
        spacing: (), height of the row.
    """
    n = x.shape[0]
    u, v, w = _to_wafer(stack.rotation, x, y, z)
    size = _footprint(stack.rotation[2], n, spacing)
    width = stack.soft + jnp.maximum(*(_footprint(stack.rotation[i], n, spacing) for i in (0, 1)))
    # Tops of the layers below each gap; there is no gap below the first layer.
    below = jnp.concatenate([stack.bottom[:1], stack.top[:-1]])
    metal = jax.vmap(lambda low, high: _overlap(w, size, low, high))(stack.bottom, stack.top)
    gap = jax.vmap(lambda low, high: _overlap(w, size, low, high))(below, stack.bottom)
    in_layer, in_gap = (jnp.any(weight > 0, axis=(1, 2)) for weight in (metal, gap))
    needed = in_layer | in_gap | jnp.append(in_gap[1:], False)

    def add(carry: tuple, inputs: tuple) -> tuple[tuple, None]:
        content, image_below, track_below = carry
        layer, across, vias, metal, gap, needed = inputs
        a, b = jnp.where(across, v, u), jnp.where(across, u, v)
        image, track = jax.lax.cond(
            needed,
            lambda: (tracks.draw(layer, a, b, width), tracks.track_index(layer, a, b)),
            lambda: (jnp.zeros_like(a), jnp.zeros(a.shape, jnp.int32)),
        )
        via = vias.ravel()[track_below * tracks.TRACKS + track] * image_below * image
        return (content + metal * image + gap * via, image, track), None

    start = jnp.zeros_like(u), jnp.zeros_like(u), jnp.zeros(u.shape, jnp.int32)
    (content, *_), _ = jax.lax.scan(add, start, (stack.wires, stack.across, stack.vias, metal, gap, needed))
    return content


def _to_wafer(rotation: Array, x: Array, y: Array, z: Array | float) -> Iterator[Array]:
    """Yields ``u``, ``v`` and ``w`` of the points of a row, each (n, n)."""
    return (r[0] * x + r[1] * y + r[2] * z for r in rotation)


def _footprint(direction: Array, n: int, spacing: Array | float) -> Array:
    """Returns the width of a voxel, ``1/n`` wide and ``spacing`` high, along a direction ``(3,)``."""
    return jnp.sqrt((direction[0] ** 2 + direction[1] ** 2) / n**2 + (direction[2] * spacing) ** 2)


def _overlap(w: Array, size: Array, low: Array, high: Array) -> Array:
    """Returns the share of an interval of length ``size`` around ``w`` that lies between two heights."""
    return jnp.clip((jnp.minimum(high, w + size / 2) - jnp.maximum(low, w - size / 2)) / size, 0.0, 1.0)
