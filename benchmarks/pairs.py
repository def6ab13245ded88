"""Training pairs per second: the twin's, and the original's recipe, in one run.

    python -m benchmarks.pairs                # about 1 minute on 2 cores; the machine should be idle

The original's recipe: ASTRA projects a ready image, noise and view shifts are added, GMRES on its operator
reconstructs it (51 products with ``A^T A``). Ours draws the scene twice as fine, projects it with the
imperfections of the shipped configuration's last stage, and makes the loop's first image of it, with and
without the first reconstruction by total variation: one scan of several slices at a time, as the training
takes it (8) and as the batched projector likes it (32), one compiled program each.
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
from pfitre_jax.twin import circuits
from pfitre_jax.twin.pairs import draw, start


def original_cost(n: int, views: int) -> float:
    """Seconds per pair of the original's recipe."""
    peer = astra_operator(n, np.deg2rad(np.linspace(-72, 12, views)))
    image = np.array(circuits(jax.random.key(0), n))
    rng = np.random.default_rng(0)

    def pair():
        sinogram = peer.FP(image)
        sinogram = sinogram + 0.01 * sinogram.max() * rng.standard_normal(sinogram.shape, np.float32)
        moved = np.stack([np.roll(v, s) for v, s in zip(sinogram, rng.integers(-2, 3, views), strict=True)])
        return data_step(peer, moved, n)

    return seconds(pair, repeats=2)


def our_cost(n: int, views: int, first_iterations: int, slices: int) -> float:
    """Seconds per pair of the twin, with the instrument of the shipped configuration's last stage."""
    config = load_config("circuits")
    stage = config.stage(config.steps - 1)
    settings = dataclasses.replace(config.pairs, size=n, slices=slices)
    # Those drawn by rules: the benchmark needs no data.
    mixture = dataclasses.replace(stage.scenes, layouts=0.0)
    scenes = jax.jit(functools.partial(draw, scenes=mixture, settings=settings))
    scan = functools.partial(start, instrument=stage.instrument, settings=settings, views=views)
    pairs = jax.jit(functools.partial(scan, first_iterations=first_iterations))
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
    theirs = original_cost(options.size, options.views)
    rows = [["original's recipe", f"{1 / theirs:.2f}", "1"]]
    for name, first in (("twin", 0), ("twin, first reconstruction by TV", 10)):
        for slices in (8, 32):
            ours = our_cost(options.size, options.views, first, slices)
            rows.append([f"{name}, {slices} slices a scan", f"{1 / ours:.1f}", f"{theirs / ours:.0f}"])
    print(table([f"{options.size}^2, {options.views} views", "pairs per second", "ratio"], rows))


if __name__ == "__main__":
    main()
