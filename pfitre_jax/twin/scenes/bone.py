"""Sections of trabecular bone: a network of struts of varying density, and a dense shell with canals."""

from __future__ import annotations

import jax.numpy as jnp

from pfitre_jax.twin.scenes.drawing import make_scene, to_local_frame
from pfitre_jax.twin.scenes.fields import distance_to_level, gaussian_field, ring_spectrum
from pfitre_jax.twin.scenes.shapes import Draw, inside

#: Nodes along a side of the grid of the random fields.
NODES = 96
#: Range of the distance of the struts, fractions of the field.
SPACING = (0.035, 0.16)
#: Side of the lattice of the canals in the shell.
CANALS = 32


def _bone(d: Draw, x, y, width):
    """Struts along a main direction and across it, thinner where the bone is less dense; marrow between."""
    n = x.shape[0]
    noise = d.normal(3, NODES, NODES)
    canals = d.array(4, CANALS, CANALS)
    spacing, angle, aspect = d.log(*SPACING), d.uniform(), d.log(1.0, 3.0)
    periods = 0.5 / spacing
    density = gaussian_field(noise[0], n, ring_spectrum(d.uniform(1.0, 3.0), band=0.6))
    along = gaussian_field(noise[1], n, ring_spectrum(periods, angle, aspect))
    across = gaussian_field(
        noise[2], n, ring_spectrum(periods * d.uniform(0.6, 1.2), angle + 0.5, 0.5 + 0.5 * aspect)
    )
    varied = d.uniform(0.1, 0.6)
    half = spacing * d.log(0.08, 0.28) * jnp.exp(varied * density)
    main = inside(half - jnp.abs(distance_to_level(along, 0.0, spacing)), width)
    thin = 0.75 * half - d.uniform(0.0, 0.3) * half * (1 - density)
    links = inside(thin - jnp.abs(distance_to_level(across, 0.0, spacing)), width)
    # Plates instead of struts: the region above a level that follows the density.
    level = d.uniform(0.0, 0.7) - varied * density
    plates = inside(distance_to_level(along + 0.5 * across, level, spacing), width)
    network = jnp.where(d.chance(0.3), plates, jnp.maximum(main, links))
    mineral = 1 - d.uniform(0.0, 0.35) * jnp.clip(0.5 + 0.4 * along * jnp.sign(across), 0.0, 1.0)
    marrow = d.chance(0.5) * d.uniform(0.05, 0.3)

    # The shell lies between two smooth closed curves; outside it there may be soft tissue.
    a, b = to_local_frame(x, y, jnp.stack([d.uniform(), d.uniform(), d.uniform()]), reach=0.1)
    radius, phi = jnp.hypot(a * d.uniform(0.7, 1.0), b), jnp.arctan2(b, a)
    lobes = d.array(2, 3)
    shape = sum(0.09 / (k + 1) * lobes[0, k] * jnp.cos((k + 2) * phi + 7 * lobes[1, k]) for k in range(3))
    surface = d.uniform(0.28, 0.42) * (1 + shape) - radius
    thick = d.log(0.015, 0.1) * (1 + 0.5 * jnp.cos(phi + 7 * d.uniform()))
    # It thins out into the network, whose struts end in it.
    pitch = d.log(0.03, 0.08)
    p, q = (a + 1) / pitch, (b + 1) / pitch
    kp, kq = jnp.floor(p), jnp.floor(q)
    at = canals[:, jnp.mod(kp, CANALS).astype(int), jnp.mod(kq, CANALS).astype(int)]
    distance = pitch * jnp.hypot(p - kp - 0.5 - 0.5 * (at[0] - 0.5), q - kq - 0.5 - 0.5 * (at[1] - 0.5))
    hole = inside(pitch * (0.05 + 0.17 * at[2]) - distance, width) * (at[3] < 0.6)
    shell = inside(jnp.minimum(surface, thick + 0.15 * spacing * density - surface), width) * (1 - hole)
    whole = jnp.maximum(network, shell)
    bone_area = inside(surface, width)
    tissue = d.chance(0.3) * d.uniform(0.05, 0.25)
    with_shell = bone_area * (marrow + (1 - marrow) * whole * mineral) + (1 - bone_area) * tissue
    alone = marrow + (1 - marrow) * network * mineral
    return jnp.where(d.chance(0.65), with_shell, alone) * d.uniform(0.75, 1.0)


bone = make_scene(_bone, 3 * NODES**2 + 4 * CANALS**2)
