"""What a slice costs the original's way and ours, in one run.

    python -m benchmarks.original             # about 2 minutes on 2 cores; the machine should be idle

The original: ten ADMM iterations, each GMRES on ASTRA's operator (51 products with ``A^T A`` in each, as
its solver settings give) and one pass of its 23 M network, here with random weights, which cost as much.
Ours: ``pfitre`` with its defaults, the shipped prior, compiled, per slice of a chunk of slices.
"""

from __future__ import annotations

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

from benchmarks.operators import astra_operator
from benchmarks.timing import seconds, table
from pfitre_jax.baselines.published import network as original
from pfitre_jax.data import Scan
from pfitre_jax.estimation import image_support, shared_problem
from pfitre_jax.reconstruction import Settings, build, load_chunk, make_program, split_rows
from pfitre_jax.solvers.parameters.tv_weight import SMALLEST_WEIGHT, rho_from_tv_weight

ITERATIONS = 10
PRODUCTS = 51
RHO = 10.0


def data_step(peer, sinogram, n: int, products: list | None = None):
    """The original's: GMRES on ASTRA's operator; ``products`` grows by one for each product."""

    def normal(x):
        if products is not None:
            products.append(None)
        image = x.reshape(n, n).astype(np.float32)
        return (peer.BP(peer.FP(image)) + RHO * image).ravel()

    operator = LinearOperator((n * n, n * n), matvec=normal, dtype=np.float32)
    # A tolerance of 0 is never met: all iterations are made, as in the original, which ignores the flag.
    return gmres(operator, peer.BP(sinogram).ravel(), rtol=0, atol=0, restart=PRODUCTS - 1, maxiter=1)[0]


def original_cost(n: int, views: int, theta_rad) -> tuple[float, float]:
    """Seconds of one data step by GMRES on ASTRA's operator, and of one pass of the original's network."""
    peer = astra_operator(n, theta_rad)
    rng = np.random.default_rng(0)
    sinogram, products = rng.random((views, n), np.float32), []
    step = seconds(lambda: data_step(peer, sinogram, n, products), repeats=1)
    print(f"products with A^T A in one data step: {len(products) // 2}")
    params = original.init(original.PublishedConfig(), jax.random.key(0))
    network = jax.jit(lambda p, x: original.apply(original.PublishedConfig(), p, x))
    return step, seconds(network, params, jnp.ones((n, n)), repeats=2)


def our_cost(n: int, views: int, theta_rad, rows: int) -> tuple[float, float]:
    """Seconds per slice, and to compile, of ``pfitre`` on ``rows`` slices."""
    scan = Scan.create(
        np.random.default_rng(0).random((views, rows, n), np.float32) * n / 4, theta_rad, center=(n - 1) / 2
    )
    settings = Settings.create("pfitre").resolve(rho=rho_from_tv_weight(SMALLEST_WEIGHT))
    problem, compiling = shared_problem(scan.geometry(), image_support(scan.geometry()))
    program = make_program(build(settings), problem, rows, scale=1.0, iterations=settings.iterations)
    chunks = [load_chunk(program, scan, block) for block in split_rows(slice(0, rows), program.chunk)]
    solve = lambda: [program(sinograms, masks)[0].value for sinograms, masks, _ in chunks]  # noqa: E731
    return seconds(solve, repeats=1) / rows, compiling + program.seconds_compile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=152)
    parser.add_argument("--views", type=int, default=51)
    parser.add_argument("--rows", type=int, default=32)
    options = parser.parse_args()
    theta = np.deg2rad(np.linspace(-72, 12, options.views))
    step, network = original_cost(options.size, options.views, theta)
    theirs = ITERATIONS * (step + network)
    ours, compiling = our_cost(options.size, options.views, theta, options.rows)
    rows = [
        ["original: data step", f"{step:.2f}"],
        ["original: network", f"{network:.2f}"],
        [f"original: {ITERATIONS} iterations", f"{theirs:.2f}"],
        [f"pfitre, of {options.rows} slices at once", f"{ours:.3f}"],
        ["ratio", f"{theirs / ours:.1f}"],
        ["pfitre: compilation, once", f"{compiling:.1f}"],
    ]
    print(table([f"{options.size}^2, {options.views} views", "seconds per slice"], rows))


if __name__ == "__main__":
    main()
