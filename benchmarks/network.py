"""What the network costs on a CPU, and what its mirror images are worth.

    python -m benchmarks.network              # about 5 minutes on 2 cores; the machine should be idle

Cost: one pass over a chunk of images, all at once and a few at a time. Worth: the mean PSNR of ``pfitre``'s
results on held-out circuits, 96 degrees missing, where the network sees the mean over an image and its three
mirror images in every iteration, one of the four in turns (the default), or the image alone.
"""

from __future__ import annotations

import argparse
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from pfitre_jax.solvers.wrappers.symmetrised import InTurns

from benchmarks.timing import seconds, table
from pfitre_jax.evaluation.cells import EvaluationSettings, cells
from pfitre_jax.evaluation.scans import Scans, scan_cell
from pfitre_jax.evaluation.scenes import draw
from pfitre_jax.metrics import psnr
from pfitre_jax.models.unet import predict_update
from pfitre_jax.priors.files import pretrained
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.parameters.scale import estimate_scale
from pfitre_jax.twin import OVERSAMPLING

RHO, ITERATIONS = 0.005, 8


def cost(prior, size: int, images: int) -> list[list[str]]:
    """A row for all images at once and for each number of them at a time."""
    chunk, condition = jnp.ones((images, size, size, 2)), jnp.ones(2)
    one = lambda image: predict_update(prior.config, prior.params, image, condition)  # noqa: E731
    rows = []
    for group in (images, 8, 4, 2, 1):
        each = jax.vmap(one) if group == images else lambda x, n=group: jax.lax.map(one, x, batch_size=n)
        program = jax.jit(each).lower(chunk).compile()
        memory = program.memory_analysis().temp_size_in_bytes / 2**20
        rows.append([str(group), f"{1e3 * seconds(program, chunk, repeats=2) / images:.1f}", f"{memory:.0f}"])
    return rows


@jax.jit
def quality(loop, scans: Scans):
    """PSNR of each scan's result."""

    def one(problem):
        scale = estimate_scale(problem, problem.sinogram[None])
        scaled = problem.with_sinogram(problem.sinogram / scale)
        return scale * run(loop, scaled, jnp.zeros(problem.A.shape), iterations=ITERATIONS).value

    score = lambda image, truth: psnr(image, truth, scans.problem.support)  # noqa: E731
    return jax.vmap(score)(scans.each(one), scans.truth)


def worth(prior, scenes: int) -> list[list[str]]:
    """A row for each way to use the mirror images."""
    alone = dataclasses.replace(prior, symmetric=False)
    loops = {
        "mean of four": HQS(prior, RHO),
        "one of four, in turns": InTurns(HQS(prior, RHO)),
        "the image alone": HQS(alone, RHO),
    }
    found = {name: [] for name in loops}
    settings = EvaluationSettings(scenes=scenes, orientations=4)
    for cell in cells(settings, "orientation"):
        fine = jnp.stack([draw(cell.source, seed, OVERSAMPLING * settings.size).image for seed in cell.seeds])
        scans = scan_cell(cell, fine)
        for name, loop in loops.items():
            found[name].extend(np.asarray(quality(loop, scans)))
    return [[name, f"{np.mean(values):.2f}"] for name, values in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=226)
    parser.add_argument("--images", type=int, default=28)
    parser.add_argument("--scenes", type=int, default=9, help="for each of four orientations")
    options = parser.parse_args()
    prior = pretrained("circuits")
    print(table(["images at a time", "ms an image", "MiB"], cost(prior, options.size, options.images)))
    print()
    print(table(["mirror images", "PSNR, dB"], worth(prior, options.scenes)))


if __name__ == "__main__":
    main()
