"""Cost of differentiating through the loop, and agreement of the three modes.

    python -m benchmarks.differentiation      # about 2 minutes on 2 cores

Cost: half-quadratic splitting with the shipped network, one slice of 128^2 and 51 views; compilation time,
run time and peak memory (from XLA) of the gradient to the network's parameters. Agreement: a contractive
prior and 40 iterations; relative difference of the gradients to prior, rho, data, centre and angles from
those of ``unroll``.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pfitre_jax as pf
from benchmarks.timing import seconds, table
from pfitre_jax.solvers import HQS, SliceProblem, run
from pfitre_jax.twin import circuits

MODES = ("unroll", "checkpoint", "implicit")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Smooth(pf.interfaces.Prior):
    """Contractive linear prior: ``factor`` times the smoothed image."""

    factor: Any

    def denoise(self, v, *, correction, wedge, rho):
        neighbours = sum(jnp.roll(v, s, a) for s in (1, -1) for a in (0, 1)) / 4
        return self.factor * (v + neighbours) / 2


def scan(n: int, views: int):
    """Projector and its sinogram of a circuit, float32."""
    A = pf.Projector(pf.ParallelGeometry.create(np.deg2rad(np.linspace(-40.0, 44.0, views)), n))
    return A, jax.jit(lambda A, x: A(x))(A, circuits(jax.random.key(0), n))


def cost(iterations: int, mode: str, n: int, views: int) -> tuple[float, float, float]:
    """Seconds to compile and to run a gradient to the network's parameters, and its peak memory, MiB."""
    A, sinogram = scan(n, views)
    problem = jax.jit(SliceProblem.create)(A, sinogram)
    prior = dataclasses.replace(pf.priors.pretrained("circuits"), symmetric=False)

    def loss(params, problem):
        method = HQS(dataclasses.replace(prior, params=params), 0.005, initial_iterations=0)
        start = jnp.zeros(A.shape)
        return jnp.sum(run(method, problem, start, iterations=iterations, differentiate=mode).value ** 2)

    lowered = jax.jit(jax.grad(loss)).lower(prior.params, problem)
    began = time.perf_counter()
    compiled = lowered.compile()
    compiling = time.perf_counter() - began
    memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
    return compiling, seconds(compiled, prior.params, problem, repeats=1), memory


def agreement(n: int, views: int, iterations: int = 40) -> dict[str, dict[str, float]]:
    """Relative difference of each gradient from that of ``unroll``, at a fixed point."""
    A, sinogram = scan(n, views)
    scene = circuits(jax.random.key(1), n)
    inputs = {
        "prior": jnp.asarray(0.6),
        "rho": jnp.asarray(0.05),
        "data": sinogram,
        "center": jnp.asarray(A.geometry.center),
        "angles": jnp.asarray(A.geometry.theta_rad),
    }
    wedge = pf.Wedge.from_angles(A.geometry.theta_rad)

    def loss(inputs, mode):
        geometry = dataclasses.replace(A.geometry, center=inputs["center"], theta_rad=inputs["angles"])
        moved = dataclasses.replace(A, geometry=geometry)
        problem = SliceProblem.create(moved, inputs["data"], wedge=wedge)
        method = HQS(Smooth(inputs["prior"]), inputs["rho"], 10, initial_iterations=0)
        solution = run(method, problem, jnp.zeros(A.shape), iterations=iterations, differentiate=mode)
        return jnp.mean(scene * solution.value), solution.status

    gradients = {
        mode: jax.jit(jax.grad(lambda g, mode=mode: loss(g, mode), has_aux=True))(inputs)[0] for mode in MODES
    }
    difference = lambda a, b: float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))  # noqa: E731
    return {mode: jax.tree.map(difference, gradients[mode], gradients["unroll"]) for mode in MODES[1:]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--views", type=int, default=51)
    options = parser.parse_args()
    rows = []
    for mode in MODES:
        for iterations in (4, 16, 32):
            if (mode, iterations) == ("unroll", 32):
                continue
            compiling, running, memory = cost(iterations, mode, options.size, options.views)
            rows.append([mode, str(iterations), f"{compiling:.1f}", f"{running:.2f}", f"{memory:.0f}"])
            print(*rows[-1], flush=True)
    print(table(["differentiate", "iterations", "compilation, s", "gradient, s", "memory, MiB"], rows))
    differences = agreement(48, 30)
    names = list(differences["checkpoint"])
    lines = [[mode, *(f"{differences[mode][name]:.1e}" for name in names)] for mode in differences]
    print(table(["difference from `unroll`", *names], lines))


if __name__ == "__main__":
    main()
