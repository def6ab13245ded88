"""Scans whose rows are chips with and without a defect."""

from __future__ import annotations

import dataclasses
import functools
import zlib

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import pfitre_jax as pf
from experiments.common.missing_data import exit_without_data
from experiments.defects.chips import Chip, angle_to_wedge, draw_defect
from experiments.defects.config import Config
from pfitre_jax.evaluation import Cell, draw_scene, scan_cell
from pfitre_jax.twin import OVERSAMPLING

#: Chips that are tried for a place where the defect fits.
TRIALS = 60
#: Directions of the edges of a defect.
MEASURED, BLIND, EVERY = "measured", "blind", "every"


@dataclasses.dataclass(frozen=True, eq=False)
class DefectScan:
    """A scan of chips with one kind and size of defect.

    Attributes:
        scan: Its rows are those of :meth:`rows_of`, chip by chip.
        healthy: (chips, ny, nx), true images without the defects.
        defective: (chips, ny, nx), with them.
        chips: The chips on the fine grid.
        sources: (chips,), source of each chip.
        directions: (chips,), :data:`MEASURED`, :data:`BLIND` or :data:`EVERY`.
        seeds: Number of scans of each chip with its defect; they are its first rows.
        healthy_seeds: Number of scans of each chip without it.
    """

    scan: pf.Scan
    healthy: Float[np.ndarray, "chips ny nx"]
    defective: Float[np.ndarray, "chips ny nx"]
    chips: tuple[Chip, ...]
    sources: tuple[str, ...]
    directions: tuple[str, ...]
    seeds: int
    healthy_seeds: int

    def rows_of(self, chip: int) -> tuple[slice, slice]:
        """Rows of a chip with its defect, and without it."""
        first = chip * (self.seeds + self.healthy_seeds)
        return slice(first, first + self.seeds), slice(
            first + self.seeds, first + self.seeds + self.healthy_seeds
        )


@functools.cache
def available_sources(config: Config) -> tuple[str, ...]:
    """The sources whose files exist; exits with code 2 and a message if there are none."""
    found = []
    for source in config.sources:
        try:
            draw_scene(source, 0, 16 * OVERSAMPLING)
            found.append(source)
        except (FileNotFoundError, ImportError, ValueError) as error:
            print(f"without the chips {source!r}: {error}", flush=True)
    if not found:
        exit_without_data(f"chips of {', '.join(config.sources)}")
    return tuple(found)


def draw_chip(config: Config, kind: str, size: float, number: int) -> tuple[Chip, str, str]:
    """The chip of a number with a defect, its source, and the direction of the edges.

    Raises:
        ValueError: The defect fits on none of :data:`TRIALS` chips.
    """
    sources = available_sources(config)
    half = config.missing_deg / 2
    # Edges of odd numbers are measured; pairs of chips share a source, which is another one for each kind and
    # size, so that few chips come from all sources.
    pair = number // 2 + config.kinds.index(kind) + config.sizes.index(size)
    wanted, source = (BLIND, MEASURED)[number % 2], sources[pair % len(sources)]

    def accept(normal_deg: float) -> bool:
        angle = angle_to_wedge(normal_deg, config.center_deg)
        return angle < half - config.margin_deg if wanted == BLIND else angle > half + config.margin_deg

    # Another stream of chips for each kind, size and number.
    stream = zlib.crc32(f"{kind} {size:g} {number}".encode()) % 10_000
    for trial in range(TRIALS):
        seed = config.first_seed + stream * TRIALS + trial
        image = np.asarray(draw_scene(source, seed, OVERSAMPLING * config.size).image, np.float32)
        chip = draw_defect(image, kind, size, np.random.default_rng(seed), accept)
        if chip is not None:
            return chip, source, EVERY if chip.normal_deg is None else wanted
    raise ValueError(f"no place for the defect {kind!r} of {size:g} pixels on {TRIALS} chips of {source!r}")


@functools.lru_cache(maxsize=2)
def simulate(config: Config, kind: str, size: float) -> DefectScan:
    """Draws the chips of a kind and size, and measures them."""
    drawn = [draw_chip(config, kind, size, number) for number in range(config.chips)]
    images, noise_seeds = [], []
    for number, (chip, _, _) in enumerate(drawn):
        images += [chip.defective] * len(config.noise_seeds) + [chip.healthy] * config.healthy_seeds
        seeds = [1000 * seed + number for seed in config.noise_seeds]
        noise_seeds += seeds + seeds[: config.healthy_seeds]
    cell = Cell(
        factor="",
        value="",
        methods=(),
        wedge_center_deg=config.center_deg,
        missing_deg=config.missing_deg,
        views=config.views,
        noise=config.noise,
        source="heldout",
        seeds=tuple(noise_seeds),
    )
    scans = scan_cell(cell, jnp.stack(images))
    geometry = scans.problem.A.geometry
    projections = np.moveaxis(np.asarray(scans.sinograms), 0, 1)
    scan = pf.Scan.create(projections, geometry.theta_rad, center=float(geometry.center))
    truth, seeds, rest = np.asarray(scans.truth), len(config.noise_seeds), config.healthy_seeds
    return DefectScan(
        scan,
        healthy=truth[seeds :: seeds + rest],
        defective=truth[:: seeds + rest],
        chips=tuple(chip for chip, _, _ in drawn),
        sources=tuple(source for _, source, _ in drawn),
        directions=tuple(direction for _, _, direction in drawn),
        seeds=seeds,
        healthy_seeds=rest,
    )
