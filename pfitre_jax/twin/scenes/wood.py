"""Cross-sections of wood: rows of cells, growth rings, rays and vessels; (n, n), float32 in [0, 1]."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.twin.scenes.drawing import make_scene, to_local_frame
from pfitre_jax.twin.scenes.shapes import Draw, inside, stripe

#: Side of the table of random numbers of the cells, which repeats.
TABLE = 64
#: Range of the tangential width of a cell, fractions of the field. Cells below the resolution become gray.
CELL = (0.016, 0.07)
#: Number of radial cracks.
CRACKS = 3


def latewood(phase: Array, share: Array) -> tuple[Array, Array]:
    """Returns how late the wood is, 0 to 1, and its integral over the phase from the ring's beginning.

    Args:
        phase: (n, n), position in the growth ring, 0 to 1.
        share: (), share of the ring over which earlywood turns into latewood.
    """
    ramp = jnp.clip((phase - (1 - share)) / share, 0.0, 1.0)
    return ramp**2, share * ramp**3 / 3


def _wood(d: Draw, x, y, width):
    """Cells with walls that thicken through each growth ring, or the rings alone, with vessels and cracks."""
    table = d.array(4, TABLE, TABLE)
    coarse = d.chance(0.3)
    a, b = to_local_frame(x, y, jnp.stack([d.uniform(), d.uniform(), d.uniform()]), reach=0.1)
    # The pith is inside the field only where single cells are not drawn: they would shrink towards it.
    pith = jnp.where(coarse, d.uniform(0.0, 1.0), d.log(0.9, 8.0))
    radius = jnp.hypot(a, b + pith) + 1e-4
    angle = jnp.arctan2(a, b + pith)
    u, v = radius - pith, angle * jnp.maximum(pith, 0.3)
    wave_a, wave_b = jnp.sin(7 * a + 9 * d.uniform()), jnp.sin(9 * b + 9 * d.uniform())
    wave = d.uniform(0.0, 0.015) * wave_a + d.uniform(0.0, 0.015) * wave_b
    u = u + wave

    ring = jnp.where(coarse, d.log(0.02, 0.15), d.log(0.07, 0.45))
    share = d.uniform(0.15, 0.9)
    uneven = d.uniform(0.0, 0.35)
    turn = u / ring + uneven * jnp.sin(1.9 * u / ring + 7 * d.uniform()) + 9 * d.uniform()
    number, phase = jnp.floor(turn), jnp.mod(turn, 1.0)
    late, summed = latewood(phase, share)

    # A cell of latewood is shorter along the radius by the factor 1 + shrink.
    cell = d.log(*CELL)
    length, shrink = cell * d.uniform(0.8, 2.0), d.uniform(0.3, 2.0)
    row = v / cell + d.uniform(0.0, 0.4) * jnp.sin(11 * u + 7 * d.uniform())
    j = jnp.floor(row)
    in_row = table[:, jnp.mod(j, TABLE).astype(int), 0]
    order = (ring / length) * (number * (1 + shrink * share / 3) + phase + shrink * summed) + in_row[0]
    i = jnp.floor(order)
    own = table[:, jnp.mod(j, TABLE).astype(int), jnp.mod(i, TABLE).astype(int)]
    long = length / (1 + shrink * late)
    thick, grows = cell * d.uniform(0.1, 0.3), d.uniform(0.5, 2.5)
    wall = 0.5 * thick * (1 + grows * late) * (0.75 + 0.5 * own[1])
    half_u = 0.5 * long - wall
    half_v = 0.5 * cell * (0.8 + 0.2 * own[2]) - wall
    corner = 0.8 * jnp.maximum(jnp.minimum(half_u, half_v), 0.0)
    du = jnp.abs(jnp.mod(order, 1.0) - 0.5) * long - half_u + corner
    dv = jnp.abs(jnp.mod(row, 1.0) - 0.5) * cell - half_v + corner
    outside = jnp.hypot(jnp.maximum(du, 0.0), jnp.maximum(dv, 0.0)) + jnp.minimum(jnp.maximum(du, dv), 0.0)
    lumen = inside(corner - outside, width) * (half_u > 0) * (half_v > 0)
    ray = in_row[3] < d.uniform(0.0, 0.15)
    content = d.uniform(0.0, 0.25) * (own[3] < 0.3)
    cells = jnp.where(ray, 0.75, 1 - lumen * (1 - content))

    # Without single cells the gray value is the density.
    light = d.uniform(0.2, 0.7)
    grain = d.uniform(0.0, 0.25) * (own[1] - 0.5)
    rings = light + (1 - light) * jnp.sqrt(late) + grain
    sector = jnp.mod(jnp.floor(v / 0.012), TABLE).astype(int)
    rays = d.uniform(0.0, 0.15) * (table[2, sector, 1] < 0.12)
    image = jnp.where(coarse, jnp.clip(rings + rays, 0.0, 1.0), cells)

    # Vessels: holes with a wall on a jittered lattice, larger in earlywood; each stays in its own place.
    pitch = jnp.maximum(cell * d.uniform(2.5, 6.0), 0.05)
    p, q = u / pitch, v / pitch
    kp, kq = jnp.floor(p), jnp.floor(q)
    at = table[:, jnp.mod(kp, TABLE).astype(int), jnp.mod(kq, TABLE).astype(int)]
    distance = pitch * jnp.hypot(p - kp - 0.5 - 0.3 * (at[0] - 0.5), q - kq - 0.5 - 0.3 * (at[1] - 0.5))
    size = pitch * (0.15 + 0.18 * at[2]) * (1 - d.uniform(0.2, 0.9) * phase)
    present = d.chance(0.45) & (at[3] < d.uniform(0.2, 0.9))
    image = jnp.where(present, jnp.maximum(image, inside(size + 0.5 * thick - distance, width)), image)
    image = image * (1 - present * inside(size - distance, width))

    # Cracks along the rays, widest at the surface.
    for k in range(CRACKS):
        line = 0.8 * (d.uniform() - 0.5) - v + 0.02 * jnp.sin(17 * u + 7 * d.uniform())
        half = d.uniform(0.004, 0.02) * jnp.clip(2 * (u + d.uniform(0.0, 0.4)), 0.0, 1.0)
        image = image * (1 - d.chance(0.25 if k else 0.4) * stripe(jnp.abs(line), half, width))
    return image * d.uniform(0.7, 1.0)


wood = make_scene(_wood, 4 * TABLE**2)
