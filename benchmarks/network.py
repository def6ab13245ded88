"""Cost of the network on a CPU, and gain in quality from test-time symmetrisation.

    python -m benchmarks.network              # about 5 minutes on 2 cores; the machine should be idle

Cost: one pass over a batch of images, all at once or a few at a time. Quality: mean PSNR of ``pfitre`` on
held-out circuits, 96 degrees missing, if every iteration uses the mean over an image and its three mirror
images, one of the four in alternation (the default), or the image only.
"""

from __future__ import annotations

import argparse
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import pfitre_jax as pf
from benchmarks.timing import seconds, table
from pfitre_jax.estimation import estimate_parameters
from pfitre_jax.evaluation import EvaluationSettings, Scans, draw_scene, list_cells, scan_cell
from pfitre_jax.models import predict_update
from pfitre_jax.solvers import HQS, run
from pfitre_jax.twin import OVERSAMPLING

RHO, ITERATIONS = 0.005, 8


def cost(prior, size: int, images: int) -> list[list[str]]:
    """Lines of the table: images per pass, milliseconds per image, memory."""
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
    """PSNR of each scan, (scans,)."""

    def one(problem):
        scale = estimate_parameters(problem, problem.sinogram[None], until="scale").scale
        scaled = problem.with_sinogram(problem.sinogram / scale)
        return scale * run(loop, scaled, jnp.zeros(problem.A.shape), iterations=ITERATIONS).value

    score = lambda image, truth: pf.metrics.psnr(image, truth, scans.problem.support)  # noqa: E731
    return jax.vmap(score)(scans.each(one), scans.truth)


def symmetrisation_quality(prior, scenes: int) -> list[list[str]]:
    """Lines of the table: use of the mirror images, mean PSNR."""
    alone = dataclasses.replace(prior, symmetric=False)
    loops = {
        "mean of four": HQS(prior, RHO, stationary=True),
        "one of four, alternating": HQS(prior, RHO),
        "image only": HQS(alone, RHO),
    }
    psnrs = {name: [] for name in loops}
    settings = EvaluationSettings(scenes=scenes, orientations=4)
    for cell in list_cells(settings, "orientation"):
        fine = jnp.stack(
            [draw_scene(cell.source, seed, OVERSAMPLING * settings.size).image for seed in cell.seeds]
        )
        scans = scan_cell(cell, fine)
        for name, loop in loops.items():
            psnrs[name].extend(np.asarray(quality(loop, scans)))
    return [[name, f"{np.mean(values):.2f}"] for name, values in psnrs.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=226)
    parser.add_argument("--images", type=int, default=28)
    parser.add_argument("--scenes", type=int, default=9, help="scenes for each of four orientations")
    options = parser.parse_args()
    prior = pf.priors.pretrained("circuits")
    print(table(["images at a time", "ms per image", "MiB"], cost(prior, options.size, options.images)))
    print()
    print(table(["mirror images", "PSNR, dB"], symmetrisation_quality(prior, options.scenes)))


if __name__ == "__main__":
    main()
