"""Wiring layers as tables of parallel tracks, which are divided into cells.

An image looks the cell of each pixel up, so that its cost does not depend on the number of wires. In the
frame of a layer the tracks run along ``v`` and follow each other along ``u``. Track ``k`` has its middle line
at ``center[k]`` and cells of the length ``length[k]``. The boundary ``c`` between its cells ``c-1`` and ``c``
is at ``v = offset[k] + (c + shift[k, c]) length[k]``, where ``abs(shift) < 1/2``, so that a pixel is near one
boundary only.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pfitre_jax.twin.scenes.shapes import Draw, box, inside, stripe

#: Number of tracks of a table.
TRACKS = 48
#: Number of cells of a track; even, as patterns of alternating cells wrap around.
CELLS = 48
#: First edge of the frame: beyond the disc, with a margin for a phase and a jog.
START = -0.62
#: Number of bins in the lookup table of the track at ``u``.
BINS = 1024
#: Number of random numbers that one table may use.
RANDOM = 5 * TRACKS * CELLS + 7 * TRACKS + 100


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrackLayer:
    """A wiring layer; lengths in fractions of the field.

    Attributes:
        edges: (tracks,), increasing; track ``k`` reaches from ``edges[k-1]`` to ``edges[k]``.
        center: (tracks,), ``u`` of the middle lines.
        length: (tracks,), length of the cells.
        offset: (tracks,), ``v`` of the first boundary, not displaced.
        shift: (tracks, cells), displacement of the boundaries, cells.
        half: (tracks, cells), half width of the wire in a cell, 0 for none.
        level: (tracks, cells), gray value of a cell.
        pad: (tracks, cells), half side of a square pad at a boundary, 0 for none.
        taper: (), decrease of a wire's length per unit of ``u``: side walls of a wire in a vertical cut.
        jog: (3,), jog of all tracks: its begin along ``v``, its length, and its displacement along ``u``.
    """

    edges: Float[Array, " tracks"]
    center: Float[Array, " tracks"]
    length: Float[Array, " tracks"]
    offset: Float[Array, " tracks"]
    shift: Float[Array, "tracks cells"]
    half: Float[Array, "tracks cells"]
    level: Float[Array, "tracks cells"]
    pad: Float[Array, "tracks cells"]
    taper: Float[Array, ""]
    jog: Float[Array, " 3"]


def draw(
    layer: TrackLayer, u: Float[Array, "n n"], v: Float[Array, "n n"], width: Array | float
) -> Float[Array, "n n"]:
    """Draws a layer, (n, n), values in [0, 1].

    Args:
        layer: The layer.
        u: (n, n), coordinate across the tracks.
        v: (n, n), coordinate along the tracks.
        width: (), width of edges.
    """
    u, along = _remove_jog(layer, u, v)
    _, jog_length, displacement = layer.jog
    # Inside a jog the tracks are slanted, which shortens distances across them.
    across = jnp.where((along > 0) & (along < 1), jax.lax.rsqrt(1 + (displacement / jog_length) ** 2), 1.0)

    track = _track_at(layer, u)
    rows = jnp.stack([layer.center, layer.length, layer.offset], axis=1)[track]
    center, length, offset = rows[..., 0], rows[..., 1], rows[..., 2]
    cell = (v - offset) / length
    near = jnp.round(cell)
    right = jnp.mod(near, CELLS).astype(jnp.int32)
    left = jnp.where(right == 0, CELLS - 1, right - 1)
    at_right = track * CELLS + right
    at_left = track * CELLS + left
    half, level = layer.half.ravel(), layer.level.ravel()
    half_left, half_right = half[at_left], half[at_right]

    du = (u - center) * across
    dv = (cell - near - layer.shift.ravel()[at_right]) * length
    dv_wall = dv + layer.taper * jnp.sign(half_left - half_right) * du
    mix = inside(dv_wall, width)
    wires = (1 - mix) * level[at_left] * stripe(jnp.abs(du), half_left, width)
    wires += mix * level[at_right] * stripe(jnp.abs(du), half_right, width)
    pad = layer.pad.ravel()[at_right]
    return jnp.maximum(wires, jnp.maximum(level[at_left], level[at_right]) * box(du, dv, pad, pad, width))


def track_index(layer: TrackLayer, u: Float[Array, "n n"], v: Float[Array, "n n"]) -> Int[Array, "n n"]:
    """Returns the index of the track at the coordinates ``u`` and ``v``, each (n, n)."""
    return _track_at(layer, _remove_jog(layer, u, v)[0])


def _remove_jog(layer: TrackLayer, u: Array, v: Array) -> tuple[Array, Array]:
    """Returns ``u`` without the jog, and the position along the jog, 0 to 1 inside it; each (n, n)."""
    begin, length, displacement = layer.jog
    along = (v - begin) / length
    return u - displacement * jnp.clip(along, 0.0, 1.0), along


def _track_at(layer: TrackLayer, u: Array) -> Int[Array, "n n"]:
    return _bin_to_track(layer.edges)[_bin(u)]


def _bin(u: Array) -> Int[Array, "n n"]:
    return jnp.clip((u - START) * (BINS / (-2 * START)), 0, BINS - 1).astype(jnp.int32)


def _bin_to_track(edges: Array) -> Int[Array, " bins"]:
    centers = START - 2 * START * (jnp.arange(BINS) + 0.5) / BINS
    return jnp.minimum(jnp.searchsorted(edges, centers), TRACKS - 1)


def wires(
    d: Draw,
    pitch: Array | float,
    *,
    fill: Array | float,
    on: Array | float,
    run: Array | float,
    square: Array | int,
) -> TrackLayer:
    """Draws a layer of wires, or a regular array of vias or fill.

    Args:
        d: At least :data:`RANDOM` random numbers.
        pitch: (), median distance of the tracks.
        fill: (), width of a wire over the pitch.
        on: (), share of the cells that contain a wire.
        run: (), length of a cell; a wire consists of adjacent cells.
        square: (), 1 for a regular array of squares or bars, 0 for wires.
    """
    track_noise = d.normal(5, TRACKS)
    cell_uniform = d.array(4, TRACKS, CELLS)
    local = d.normal(TRACKS, CELLS)
    smooth = jax.image.resize(d.normal(6, 6), (TRACKS, CELLS), "linear")
    index = jnp.arange(TRACKS)

    # The tracks are equal, alternate, include wide rails at a regular distance, or have a random pitch.
    kind = jnp.where(square, 0, d.choice([0.5, 0.15, 0.2, 0.15]))
    every = jnp.round(d.log(3, 12))
    rail = (kind == 2) & (jnp.mod(index + jnp.round(12 * d.uniform()), every) == 0)
    ratio = d.log(1.3, 2.5)
    spacing = jnp.select(
        [kind == 1, rail, kind == 3],
        [jnp.where(index % 2 == 0, ratio, 1.0), 1.5 * ratio, jnp.exp(0.4 * track_noise[0])],
        1.0,
    )
    spacing = pitch * spacing
    upper = START + jnp.cumsum(spacing) - d.uniform() * pitch
    center = upper - spacing / 2
    vary = d.chance(0.35) * d.uniform(0.0, 0.25)
    share = jnp.clip(fill * jnp.exp(vary * track_noise[1]), 0.15, 0.85)
    half_track = 0.5 * spacing * jnp.where(rail, jnp.maximum(share, 0.7), share)

    # All tracks share the boundaries of the cells, or each has different ones.
    aligned = jnp.where(square, ~d.chance(0.15), d.chance(0.25))
    length = run * jnp.where(aligned, 1.0, jnp.exp(0.3 * track_noise[2]))
    offset = START - jnp.where(aligned, d.uniform(), 5 * track_noise[3]) * length
    jitter = jnp.where(d.chance(0.5), 0.4, 0.1) * jnp.where(square, 0.0, 1.0)
    along = cell_uniform[0]
    along = jnp.where(d.chance(0.5) & aligned, along[:1], along)
    shift = jitter * (2 * along - 1)

    # A cell contains a wire by noise of the cell, of the track and of the neighbourhood, which makes dense
    # and empty areas.
    clump, lane = 0.9 * d.uniform(), d.uniform(0.0, 0.6)
    score = (local + clump * smooth + lane * track_noise[4][:, None]) / jnp.sqrt(1 + clump**2 + lane**2)
    has_wire = (score < jnp.sqrt(2.0) * jax.lax.erf_inv(jnp.clip(2 * on - 1, -0.998, 0.998))) | rail[:, None]
    has_wire |= on > 0.99
    even = (jnp.arange(CELLS) % 2 == 0)[None]
    has_wire &= jnp.where(square, even, True)
    shift = jnp.where(square, (0.5 - jnp.clip(fill, 0.2, 0.7)) * jnp.where(even, 1.0, -1.0), shift)

    bold = (cell_uniform[2] < 0.5 * d.chance(0.25)) & ~rail[:, None]
    half = jnp.where(bold, jnp.minimum(1.5 * half_track, 0.45 * spacing)[:, None], half_track[:, None])
    half = jnp.where(has_wire, half, 0.0)
    dim = d.chance(0.35) * d.uniform(0.0, 0.6)
    per_track = d.chance(0.5)
    level = 1 - dim * jnp.where(per_track, cell_uniform[3][:, :1], cell_uniform[3])

    touches = has_wire | jnp.roll(has_wire, 1, axis=1)
    ends = has_wire != jnp.roll(has_wire, 1, axis=1)
    share_pads, share_ends = d.chance(0.3) * d.uniform(0.0, 0.3), d.chance(0.3) * d.uniform(0.3, 1.0)
    has_pad = cell_uniform[1] < jnp.where(ends, jnp.maximum(share_pads, share_ends), share_pads)
    pad_half = jnp.minimum(half_track * d.uniform(1.2, 2.2), 0.49 * spacing)
    pad = jnp.where(has_pad & touches & (square == 0) & ~rail[:, None], pad_half[:, None], 0.0)

    jog_length = d.log(0.02, 0.4)
    displacement = (
        jnp.where(d.chance(0.5), 1.0, -1.0) * jnp.minimum(jog_length, 0.15) * (d.chance(0.2) & (square == 0))
    )
    jog = jnp.stack([d.uniform(-0.3, 0.2), jog_length, displacement])
    return TrackLayer(upper, center, length, offset, shift, half, level, pad, jnp.zeros(()), jog)


def maze(
    d: Draw, pitch: Array | float, *, fill: Array | float, on: Array | float
) -> tuple[TrackLayer, TrackLayer]:
    """Draws two orthogonal layers on one grid, whose wires meet in corners and tees.

    Each node is connected with its neighbour along ``v`` or along ``u`` (a binary-tree maze), and a share of
    these connections remains. The frame of the second layer is that of the first with ``u`` and ``v``
    exchanged.

    Args:
        d: At least :data:`RANDOM` random numbers.
        pitch: (), distance of the tracks.
        fill: (), width of a wire over the pitch.
        on: (), share of the connections that remain.
    """
    edge = d.array(4, TRACKS, CELLS)
    wobble = 0.36 * d.chance(0.5) * (d.array(2, TRACKS) - 0.5)
    pitches = pitch * jnp.stack([1.0, d.log(0.7, 1.6)])
    half = 0.5 * jnp.min(pitches) * jnp.clip(fill, 0.2, 0.6)
    bias = d.uniform(0.15, 0.95)
    connected = edge[0] < bias
    loops = d.chance(0.5) * 0.2
    along_v = (connected | (edge[1] < loops)) & (edge[2] < on)
    along_u = (~connected | (edge[1] > 1 - loops)) & (edge[3] < on)
    pad_share = d.chance(0.4) * d.uniform(0.02, 0.4)
    pad = jnp.where(edge[1] < pad_share, jnp.minimum(1.6 * half, 0.45 * jnp.min(pitches)), 0.0)

    def layer(has_wire: Array, pad: Array, axis: int, other_axis: int) -> TrackLayer:
        center = (jnp.arange(TRACKS) + wobble[axis]) * pitches[axis] + START
        edges = jnp.append((center[1:] + center[:-1]) / 2, center[-1] + pitches[axis] / 2)
        before = jnp.roll(has_wire, 1, axis=1)
        # A wire ends beyond the middle line of the wire that it meets, which makes corners square.
        overlap = half / pitches[other_axis] * (before.astype(jnp.float32) - has_wire)
        ones = jnp.ones((TRACKS,))
        return TrackLayer(
            edges, center, ones * pitches[other_axis], ones * START, wobble[other_axis][None] + overlap,
            jnp.where(has_wire, half, 0.0), jnp.ones((TRACKS, CELLS)),
            jnp.where(has_wire | before, pad, 0.0), jnp.zeros(()), jnp.array([0.0, 1.0, 0.0]),
        )  # fmt: skip

    return layer(along_v, pad, 0, 1), layer(along_u.T, jnp.zeros_like(pad), 1, 0)


def section(
    d: Draw, thickness: Array | float, *, fill: Array | float, on: Array | float
) -> tuple[TrackLayer, TrackLayer]:
    """Draws a vertical cut: metal layers above each other and the vias between them; ``u`` is the height.

    Each metal layer is cut along its wires (long rectangles) or across them (regular rectangles). The
    thickness of the layers grows upwards.

    Args:
        d: At least :data:`RANDOM` random numbers.
        thickness: (), thickness of the lowest layer.
        fill: (), width of a wire over the pitch, in layers that are cut across their wires.
        on: (), share of the cells that contain metal.
    """
    noise = d.array(6, TRACKS)
    cell = d.array(3, TRACKS, CELLS)
    index = jnp.arange(TRACKS)
    growths = jnp.minimum(index, 14)
    metal = jnp.minimum(thickness * d.uniform(1.0, 1.18) ** growths * jnp.exp(0.3 * (noise[0] - 0.5)), 0.14)
    gap = metal * d.log(0.4, 1.4) * jnp.exp(0.3 * (noise[1] - 0.5))
    top = START + 0.1 * d.uniform() + jnp.cumsum(metal + gap)
    center = top - gap - metal / 2
    across = noise[2] < d.uniform(0.1, 0.75)
    period = metal * jnp.exp(noise[3] * jnp.log(3.0)) * d.log(0.9, 1.8) + 0.01
    length = jnp.where(across, period / 2, d.log(0.06, 0.3) * jnp.exp(noise[3]))
    even = (jnp.arange(CELLS) % 2 == 0)[None]
    has_metal = (cell[0] < jnp.where(across, jnp.maximum(on, 0.5), on)[:, None]) & (even | ~across[:, None])
    regular_shift = jnp.where(even, 1.0, -1.0) * (0.5 - jnp.clip(fill, 0.25, 0.7))
    shift = jnp.where(across[:, None], regular_shift, 0.7 * (cell[1] - 0.5))
    taper = d.chance(0.5) * d.uniform(-0.25, 0.1)
    level = 1 - d.chance(0.3) * 0.5 * noise[4][:, None] * jnp.ones((1, CELLS))
    no_jog = jnp.array([0.0, 1.0, 0.0])
    metals = TrackLayer(
        top - gap / 2, center, length, START - 3 * noise[5] * length, shift,
        jnp.where(has_metal, metal[:, None] / 2, 0.0), level, jnp.zeros((TRACKS, CELLS)), taper, no_jog,
    )  # fmt: skip

    size = jnp.maximum(metal * d.log(0.5, 1.2), 0.008)
    has_via = cell[2] < d.uniform(0.1, 0.7)
    upper = center + metal / 2 + gap + 0.5 * jnp.roll(metal, -1)
    vias = TrackLayer(
        upper, top - gap / 2, size, START - 3 * noise[0] * size,
        jnp.zeros((TRACKS, CELLS)), jnp.where(has_via & even, gap[:, None] / 2 + 0.3 * metal[:, None], 0.0),
        jnp.full((TRACKS, CELLS), d.uniform(0.6, 1.0)), jnp.zeros((TRACKS, CELLS)), taper, no_jog,
    )  # fmt: skip
    return metals, vias
