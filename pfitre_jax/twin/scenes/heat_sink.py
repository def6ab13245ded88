"""Machined metal parts: blocks with fins, screws, holes and slots, symmetric and repeated; sharp edges."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.twin.scenes.drawing import make_scene, to_local_frame
from pfitre_jax.twin.scenes.shapes import Draw, box, inside, stripe

#: Pairs of holes or screws.
PAIRS = 3
#: Number of values that say which fins are missing or shorter; the fins are symmetric.
FINS = 32


def _triangle_wave(t: Array) -> Array:
    """Returns a wave between -1 and 1 with period 1."""
    return 4 * jnp.abs(jnp.mod(t, 1.0) - 0.5) - 1


def _straight(d: Draw, a, b, width, level):
    """A base plate with parallel fins on one or both sides, a component below it, holes and screws."""
    draws = d.array(2, FINS)
    half_diagonal, slender = d.uniform(0.34, 0.46), d.uniform(0.3, 1.0)
    half_w, half_h = half_diagonal * jnp.cos(slender), half_diagonal * jnp.sin(slender)
    double = d.chance(0.3)
    base = half_h * d.uniform(0.1, 0.6)
    # Height above the base plate, on one side or on both.
    height = jnp.where(double, jnp.abs(b) - 0.5 * base, b + half_h - base)
    room = jnp.where(double, half_h - 0.5 * base, 2 * half_h - base)
    pairs = jnp.round(d.log(2.0, 9.0))
    pitch = 2 * half_w / (2 * pairs - d.chance(0.5))
    odd = jnp.where(d.chance(0.5), 0.5, 0.0)
    k = jnp.clip(jnp.floor(jnp.abs(a) / pitch + odd), 0, FINS - 1).astype(int)
    # Some heat sinks have a profile, some have missing fins.
    arch, missing = d.chance(0.3) * d.uniform(-0.5, 0.5), d.chance(0.4) * d.uniform(0.0, 0.4)
    top = room * (1 - jnp.abs(arch) * jnp.where(arch > 0, (a / half_w) ** 2, 1 - (a / half_w) ** 2))
    top = top * jnp.where(d.chance(0.2), 0.6 + 0.4 * draws[0, k], 1.0) * (draws[1, k] >= missing)
    thick = 0.5 * pitch * d.uniform(0.15, 0.6) * (1 - d.chance(0.3) * 0.5 * jnp.clip(height / room, 0, 1))
    ripple = d.chance(0.2) * 0.15 * thick * _triangle_wave(height / (0.6 * pitch))
    off = jnp.abs(jnp.mod(jnp.abs(a) / pitch + odd, 1.0) - 0.5) * pitch
    fin = jnp.minimum(thick + ripple - off, jnp.minimum(top - height, half_w - jnp.abs(a)))
    plate = jnp.minimum(half_w - jnp.abs(a), jnp.where(height < 0, 9.0, -1.0))
    bottom = jnp.where(double, 9.0, b + half_h)
    image = jnp.maximum(
        inside(jnp.minimum(fin, height + 0.01), width),
        inside(jnp.minimum(plate, bottom), width) * inside(-height, width),
    )
    image = level * image

    middle = jnp.where(double, 0.0, 0.5 * base - half_h)
    for pair in range(PAIRS):
        present, px = d.chance(0.55), half_w * (0.15 + 0.75 * d.uniform())
        r = jnp.minimum(0.5 * base, 0.06) * d.uniform(0.3, 0.8)
        distance = jnp.hypot(jnp.abs(a) - px, b - middle)
        hole = inside(r - distance, width)
        screw = inside(0.8 * r - distance, width) * (1 - inside(0.3 * r - distance, width))
        image = image * (1 - present * hole)
        image = jnp.maximum(image, present * d.chance(0.4) * screw)
        # A screw along the fins: a shaft with a thread, and a head.
        if pair == 0:
            shaft = r * (1 + 0.12 * _triangle_wave(b / (0.8 * r + 1e-3)))
            upright, long = d.chance(0.35), half_h * d.uniform(0.4, 1.0)
            du = jnp.abs(jnp.abs(a) - px)
            dv = b - middle
            clear = box(du, dv, 1.35 * r, long, width)
            thread = inside(jnp.minimum(shaft - du, long - jnp.abs(dv)), width)
            head = box(du, dv - long, 2.0 * r, 0.7 * r, width)
            image = image * (1 - upright * clear)
            image = jnp.maximum(image, upright * jnp.maximum(thread, head))
    component = box(a, b + half_h + d.uniform(0.005, 0.02) + 0.02, half_w * d.uniform(0.15, 0.6), 0.02, width)
    return jnp.maximum(image, d.chance(0.4) * ~double * d.uniform(0.15, 0.9) * component)


def _radial(d: Draw, a, b, width, level):
    """A hub with radial fins or teeth, a bore, a circle of holes and sometimes an outer ring."""
    distance, angle = jnp.hypot(a, b) + 1e-4, jnp.arctan2(b, a)
    outer, hub = d.uniform(0.28, 0.46), d.uniform(0.25, 0.75)
    hub = hub * outer
    fins = jnp.round(d.log(5.0, 40.0))
    swirl = d.chance(0.3) * d.uniform(-0.8, 0.8)
    turn = fins * (angle + swirl * (distance - hub) / outer) / (2 * jnp.pi)
    duty = d.uniform(0.2, 0.6)
    arc = 2 * jnp.pi * distance / fins
    parallel = 0.5 * duty * 2 * jnp.pi * hub / fins
    half = jnp.where(d.chance(0.5), parallel, 0.5 * duty * arc)
    # Behind a radius every fin may fork.
    fork = d.chance(0.25) & (distance > hub + 0.4 * (outer - hub))
    off = jnp.abs(jnp.mod(turn, 1.0) - 0.5)
    off = jnp.where(fork, jnp.abs(off - 0.2), off) * arc
    fin = jnp.minimum(jnp.where(fork, 0.7, 1.0) * half - off, outer - distance)
    image = inside(jnp.maximum(fin, hub - distance), width)
    ring = d.chance(0.3) * stripe(jnp.abs(distance - outer), d.log(0.006, 0.025), width)
    image = jnp.maximum(image, ring)
    bore = hub * d.uniform(0.1, 0.7)
    key = d.chance(0.4) * box(a - bore, b, 0.3 * bore, 0.2 * bore, width)
    image = image * (1 - jnp.maximum(d.chance(0.75) * inside(bore - distance, width), key))
    image = level * image
    holes = jnp.round(d.uniform(3.0, 9.0))
    circle = 0.5 * (bore + hub)
    near = jnp.mod(angle + 0.5 * jnp.pi / holes, 2 * jnp.pi / holes) - jnp.pi / holes
    from_hole = jnp.hypot(distance * jnp.cos(near) - circle, distance * jnp.sin(near))
    r = 0.5 * (hub - bore) * d.uniform(0.25, 0.75)
    r = jnp.minimum(r, 0.8 * jnp.pi * circle / holes)
    present = d.chance(0.6)
    image = image * (1 - present * inside(r - from_hole, width))
    screw = inside(0.75 * r - from_hole, width) * (1 - inside(0.3 * r - from_hole, width))
    return jnp.maximum(image, present * d.chance(0.4) * screw)


def _heat_sink(d: Draw, x, y, width):
    """A heat sink with straight or radial fins."""
    a, b = to_local_frame(x, y, jnp.stack([d.uniform(), d.uniform(), d.uniform()]), reach=0.03)
    level = d.uniform(0.45, 1.0)
    kind = d.chance(0.35)
    straight = _straight(d, a, b, width, level)
    return jnp.where(kind, _radial(d, a, b, width, level), straight)


heat_sink = make_scene(_heat_sink, 2 * FINS, bare=True)
