"""What it costs to differentiate the loop, and whether its ways agree.

    python -m benchmarks.differentiation      # about 2 minutes on 2 cores

Through half-quadratic splitting with the shipped network's layout, one slice of 128^2 and 51 views:
compilation and peak memory of the gradient to the parameters, as XLA tells it, for several numbers of
iterations. Then, with a contractive prior in the place of the network and 40 iterations, how far the
gradients to prior, rho, data, centre and angles are from those of ``unroll``.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import seconds, table
from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.interfaces import Prior
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.files import pretrained
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.twin import circuits

WAYS = ("unroll", "checkpoint", "implicit")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Smooth(Prior):
    """A contractive linear prior: ``factor`` times the image, smoothed a little."""

    factor: Any

    def denoise(self, v, *, correction, wedge, rho):
        around = sum(jnp.roll(v, s, a) for s in (1, -1) for a in (0, 1)) / 4
        return self.factor * (v + around) / 2


def scan(n: int, views: int):
    """An operator and its sinogram of a circuit, float32."""
    A = Projector(ParallelGeometry.create(np.deg2rad(np.linspace(-40.0, 44.0, views)), n))
    return A, jax.jit(lambda A, x: A(x))(A, circuits(jax.random.key(0), n))


def cost(iterations: int, way: str, n: int, views: int) -> tuple[float, float, float]:
    """Seconds to compile and to run a gradient to the network's parameters, and its peak memory, MiB."""
    A, sinogram = scan(n, views)
    problem = jax.jit(SliceProblem.create)(A, sinogram)
    prior = dataclasses.replace(pretrained("circuits"), symmetric=False)

    def loss(params, problem):
        method = HQS(dataclasses.replace(prior, params=params), 0.005, first_iterations=0)
        start = jnp.zeros(A.shape)
        return jnp.sum(run(method, problem, start, iterations=iterations, differentiate=way).value ** 2)

    lowered = jax.jit(jax.grad(loss)).lower(prior.params, problem)
    began = time.perf_counter()
    compiled = lowered.compile()
    took = time.perf_counter() - began
    memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
    return took, seconds(compiled, prior.params, problem, repeats=1), memory


def agreement(n: int, views: int, iterations: int = 40) -> dict[str, dict[str, float]]:
    """Relative difference of each gradient to that of ``unroll``, at a fixed point."""
    A, sinogram = scan(n, views)
    scene = circuits(jax.random.key(1), n)
    given = {
        "prior": jnp.asarray(0.6),
        "rho": jnp.asarray(0.05),
        "data": sinogram,
        "center": jnp.asarray(A.geometry.center),
        "angles": jnp.asarray(A.geometry.theta_rad),
    }
    wedge = Wedge.from_angles(A.geometry.theta_rad)

    def loss(given, way):
        geometry = dataclasses.replace(A.geometry, center=given["center"], theta_rad=given["angles"])
        moved = dataclasses.replace(A, geometry=geometry)
        problem = SliceProblem.create(moved, given["data"], wedge=wedge)
        method = HQS(Smooth(given["prior"]), given["rho"], 10, first_iterations=0)
        done = run(method, problem, jnp.zeros(A.shape), iterations=iterations, differentiate=way)
        return jnp.mean(scene * done.value), done.status

    gradients = {
        way: jax.jit(jax.grad(lambda g, way=way: loss(g, way), has_aux=True))(given)[0] for way in WAYS
    }
    off = lambda a, b: float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))  # noqa: E731
    return {way: jax.tree.map(off, gradients[way], gradients["unroll"]) for way in WAYS[1:]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--views", type=int, default=51)
    options = parser.parse_args()
    rows = []
    for way in WAYS:
        for iterations in (4, 16, 32):
            if (way, iterations) == ("unroll", 32):
                continue
            compiling, running, memory = cost(iterations, way, options.size, options.views)
            rows.append([way, str(iterations), f"{compiling:.1f}", f"{running:.2f}", f"{memory:.0f}"])
            print(*rows[-1], flush=True)
    print(table(["differentiate", "iterations", "compiling, s", "gradient, s", "memory, MiB"], rows))
    found = agreement(48, 30)
    names = list(found["checkpoint"])
    lines = [[way, *(f"{found[way][name]:.1e}" for name in names)] for way in found]
    print(table(["off `unroll`, to", *names], lines))


if __name__ == "__main__":
    main()
