"""Cost of the network on a CPU, and gain in quality from test-time symmetrisation.

    python -m benchmarks.network              # about 9 minutes on 2 cores; the machine should be idle
    python -m benchmarks.network --only engines                                           # 1 minute
    python -m benchmarks.network --only training                                          # 3 minutes

Engines: XLA and oneDNN in one process, alternately, 8 images of 96^2 with the network of ``circuits``.
Training: steps of the first and of the last stage of ``circuits``, the engines again alternately. Cost:
one pass over a batch of images, all at once or a few at a time. Quality: mean PSNR of ``pfitre`` on held-out
circuits, 96 degrees missing, if every iteration uses the mean over an image and its three mirror images, one
of the four in alternation (the default), or the image only.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from importlib import util

import jax
import jax.numpy as jnp
import numpy as np

import pfitre_jax as pf
from benchmarks.timing import seconds, table
from pfitre_jax.estimation import estimate_parameters
from pfitre_jax.evaluation import EvaluationSettings, Scans, draw_scene, list_cells, scan_cell
from pfitre_jax.models import engines, predict_update, predict_updates
from pfitre_jax.priors import NetworkPrior
from pfitre_jax.solvers import HQS, run
from pfitre_jax.training import Banks, Programs, load_config
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


ENGINES = ("xla", "onednn-float32", "onednn-bfloat16")


def engine_times(prior, size: int, images: int, repeats: int) -> list[list[str]]:
    """Lines of the table: what is computed, milliseconds by XLA, and XLA's time over that of oneDNN."""
    generator = np.random.default_rng(0)
    inputs = jnp.asarray(generator.random((images, size, size, 2), np.float32))
    conditions = jnp.asarray(np.tile([0.3, -0.5], (images, 1)), jnp.float32)
    cases: dict[tuple[str, str], object] = {}
    for engine in ENGINES:
        os.environ[engines.VARIABLE] = engine
        for name, function in _passes(prior.config).items():
            cases[name, engine] = jax.jit(function).lower(prior.params, inputs, conditions).compile()
    for program in cases.values():
        jax.block_until_ready(program(prior.params, inputs, conditions))
    times = {case: [] for case in cases}
    for _ in range(repeats):
        for case, program in cases.items():
            start = time.perf_counter()
            jax.block_until_ready(program(prior.params, inputs, conditions))
            times[case].append(time.perf_counter() - start)
    return _ratios(times)


def _ratios(times: dict[tuple[str, str], list[float]]) -> list[list[str]]:
    """Lines of the table from times by what is computed and engine, s."""
    best = {case: min(values) for case, values in times.items()}
    names = dict.fromkeys(name for name, _ in times)
    return [
        [name, f"{1e3 * best[name, 'xla']:.0f}"]
        + [f"{best[name, 'xla'] / best[name, engine]:.2f}" for engine in ENGINES[1:]]
        for name in names
    ]


def training_times(repeats: int) -> list[list[str]]:
    """Lines of the table: the step, milliseconds by XLA, and XLA's time over that of oneDNN."""
    config = load_config("circuits")
    # The layouts of the last stage need PFITRE_DATA, and do not change the cost of a step.
    scenes = dataclasses.replace(config.scenes, layouts=0.0)
    stages = tuple(dataclasses.replace(stage, scenes=scenes) for stage in config.stages)
    config = dataclasses.replace(config, scenes=scenes, banks=Banks(), stages=stages)
    prior = NetworkPrior.create(config.network, jax.random.key(0))
    prior = dataclasses.replace(prior, symmetric=False)
    first, last = config.stage(0), config.stage(sum(stage.steps for stage in stages) - 1)
    runs, times = {}, {}
    for engine in ENGINES:
        os.environ[engines.VARIABLE] = engine
        for name, stage in {"one iteration": first, "three iterations": last}.items():
            programs = Programs(config, prior)
            batch = programs.start_batch(jax.random.key(1), 51, stage)
            state, batch, _ = programs.step(programs.start_state(prior, stage), batch, stage)
            runs[name, engine], times[name, engine] = (programs, stage, state, batch), []
    for _ in range(repeats):
        for case, (programs, stage, state, batch) in runs.items():
            jax.block_until_ready((state, batch))
            start = time.perf_counter()
            state, batch, _ = jax.block_until_ready(programs.step(state, batch, stage))
            times[case].append(time.perf_counter() - start)
            runs[case] = programs, stage, state, batch
    return _ratios(times)


def _passes(config) -> dict:
    """Functions of parameters, images and conditions, by what they compute."""
    update = lambda p, x, c: predict_updates(config, p, x, c)  # noqa: E731
    each = lambda p, x, c: jax.vmap(lambda image, one: update(p, image[None], one)[0])(x, c)  # noqa: E731

    def unrolled(p, x, c):
        step = jax.checkpoint(lambda v, _: (v + each(p, jnp.stack([v, x[..., 1]], axis=-1), c), None))
        return jax.lax.scan(step, x[..., 0], length=3)[0]

    square = lambda function: lambda p, x, c: jnp.sum(function(p, x, c) ** 2)  # noqa: E731
    return {
        "forward": lambda p, x, c: update(p, x, c[0]),
        "gradient": jax.grad(square(each)),
        "gradient of three updates": jax.grad(square(unrolled)),
    }


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
    parser.add_argument("--only", choices=("engines", "training"), help="leave out the other tables")
    options = parser.parse_args()
    prior = pf.priors.pretrained("circuits")
    if util.find_spec("torch"):
        head = ["XLA, ms", "XLA / oneDNN float32", "XLA / oneDNN bfloat16"]
        if options.only != "training":
            print(table(["network", *head], engine_times(prior, 96, 8, 10)), end="\n\n")
        if options.only != "engines":
            print(table(["training step", *head], training_times(5)), end="\n\n")
    if options.only:
        return
    os.environ[engines.VARIABLE] = "xla"
    print(table(["images at a time", "ms per image", "MiB"], cost(prior, options.size, options.images)))
    print()
    print(table(["mirror images", "PSNR, dB"], symmetrisation_quality(prior, options.scenes)))


if __name__ == "__main__":
    main()
