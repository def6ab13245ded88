"""Training pairs per second of the digital twin, relative to the original's data generation.

    python -m benchmarks.pairs                # about 1 minute on 2 cores; the machine should be idle

The original's method: ASTRA projects a ready image, noise and view shifts are added, GMRES on ASTRA's
operator reconstructs it (51 products with ``A^T A``). The digital twin draws the scene on a grid twice as
fine, projects it with the artifacts of the last stage of the shipped configuration, and computes the first
image of the loop, with and without the TV warm start. Scans have 8 slices, as in the training, or 32, where
the batched projector is fastest.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools

import jax
import numpy as np

from benchmarks.operators import astra_operator
from benchmarks.original import data_step
from benchmarks.timing import seconds, table
from pfitre_jax.training import load_config
from pfitre_jax.twin import circuits, draw_training_scenes, start_batch


def original_cost(n: int, views: int) -> float:
    """Seconds per pair of the original's method."""
    peer = astra_operator(n, np.deg2rad(np.linspace(-72, 12, views)))
    image = np.array(circuits(jax.random.key(0), n))
    rng = np.random.default_rng(0)

    def pair():
        sinogram = peer.FP(image)
        sinogram = sinogram + 0.01 * sinogram.max() * rng.standard_normal(sinogram.shape, np.float32)
        moved = np.stack([np.roll(v, s) for v, s in zip(sinogram, rng.integers(-2, 3, views), strict=True)])
        return data_step(peer, moved, n)

    return seconds(pair, repeats=2)


def our_cost(n: int, views: int, initial_iterations: int, slices: int) -> float:
    """Seconds per pair of the digital twin, with the instrument of the last shipped stage."""
    config = load_config("circuits")
    stage = config.stage(config.steps - 1)
    settings = dataclasses.replace(config.pairs, size=n, slices=slices)
    # Only scenes drawn by rules: they need no files.
    mixture = dataclasses.replace(stage.scenes, layouts=0.0)
    scenes = jax.jit(functools.partial(draw_training_scenes, scenes=mixture, settings=settings))
    scan = functools.partial(start_batch, instrument=stage.instrument, settings=settings, views=views)
    pairs = jax.jit(functools.partial(scan, initial_iterations=initial_iterations))
    keys = iter(jax.random.split(jax.random.key(0), 16))

    def batch():
        k_scenes, k_scan = jax.random.split(next(keys))
        return pairs(k_scan, scenes(k_scenes))

    return seconds(batch, repeats=5) / settings.slices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--views", type=int, default=51)
    options = parser.parse_args()
    original = original_cost(options.size, options.views)
    rows = [["original", f"{1 / original:.2f}", "1"]]
    for name, iterations in (("twin", 0), ("twin with TV warm start", 10)):
        for slices in (8, 32):
            ours = our_cost(options.size, options.views, iterations, slices)
            rows.append([f"{name}, {slices} slices per scan", f"{1 / ours:.1f}", f"{original / ours:.0f}"])
    print(table([f"{options.size}^2, {options.views} views", "pairs per second", "ratio to original"], rows))


if __name__ == "__main__":
    main()
