"""Cost of one slice: the original's reconstruction relative to ``pfitre``, in one run.

    python -m benchmarks.original             # about 2 minutes on 2 cores; the machine should be idle

The original: ten ADMM iterations, each with GMRES on ASTRA's operator (51 products with ``A^T A``, from its
solver settings) and one pass of its network of 23 M parameters, here with random weights, which cost the
same. ``pfitre``: defaults and shipped prior, compiled, time per slice of a batch of slices.
"""

from __future__ import annotations

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

import pfitre_jax as pf
from benchmarks.operators import astra_operator
from benchmarks.timing import seconds, table
from pfitre_jax.baselines.published import PublishedConfig, apply, init

#: Iterations and prior strength of the original, and its products with ``A^T A`` per data step.
ITERATIONS = 10
RHO = 10.0
PRODUCTS = 51


def data_step(peer, sinogram, n: int, products: list | None = None):
    """Data step of the original: GMRES on ASTRA's operator; appends to ``products`` for each product."""

    def normal(x):
        if products is not None:
            products.append(None)
        image = x.reshape(n, n).astype(np.float32)
        return (peer.BP(peer.FP(image)) + RHO * image).ravel()

    operator = LinearOperator((n * n, n * n), matvec=normal, dtype=np.float32)
    # A tolerance of 0 runs all iterations, as the original does, which ignores the convergence flag.
    return gmres(operator, peer.BP(sinogram).ravel(), rtol=0, atol=0, restart=PRODUCTS - 1, maxiter=1)[0]


def original_cost(n: int, views: int, theta_rad) -> tuple[float, float]:
    """Seconds of one data step of the original, and of one pass of its network."""
    peer = astra_operator(n, theta_rad)
    rng = np.random.default_rng(0)
    sinogram, products = rng.random((views, n), np.float32), []
    step = seconds(lambda: data_step(peer, sinogram, n, products), repeats=1)
    print(f"products with A^T A in one data step: {len(products) // 2}")
    params = init(PublishedConfig(), jax.random.key(0))
    network = jax.jit(lambda p, x: apply(PublishedConfig(), p, x))
    return step, seconds(network, params, jnp.ones((n, n)), repeats=2)


def random_scan(size: int, views: int, rows: int) -> pf.Scan:
    """Scan of noise, with line integrals as large as those of images of about 1."""
    theta = np.deg2rad(np.linspace(-72, 12, views))
    values = np.random.default_rng(0).random((views, rows, size), np.float32) * size / 4
    return pf.Scan.create(values, theta, center=(size - 1) / 2)


def pfitre_cost(scan: pf.Scan, chunk: int | None = None) -> tuple[float, float]:
    """Seconds per slice of ``pfitre`` with its defaults, and seconds of compilation.

    Args:
        scan: Scan to reconstruct.
        chunk: Number of slices per batch; None for the default.
    """
    # Fixed scale and rho: nothing has to be estimated from the noise.
    results = [pf.reconstruct(scan, "pfitre", scale=1.0, rho=0.005, chunk=chunk) for _ in range(2)]
    first, second = (result.timings for result in results)
    return second["seconds_run"] / scan.rows, first["seconds_compile"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=152)
    parser.add_argument("--views", type=int, default=51)
    parser.add_argument("--rows", type=int, default=32)
    options = parser.parse_args()
    theta = np.deg2rad(np.linspace(-72, 12, options.views))
    step, network = original_cost(options.size, options.views, theta)
    original = ITERATIONS * (step + network)
    ours, compiling = pfitre_cost(random_scan(options.size, options.views, options.rows))
    rows = [
        ["original: data step", f"{step:.2f}"],
        ["original: network", f"{network:.2f}"],
        [f"original: {ITERATIONS} iterations", f"{original:.2f}"],
        [f"pfitre, batch of {options.rows} slices", f"{ours:.3f}"],
        ["original / pfitre", f"{original / ours:.1f}"],
        ["pfitre: compilation", f"{compiling:.1f}"],
    ]
    print(table([f"{options.size}^2, {options.views} views", "seconds per slice"], rows))


if __name__ == "__main__":
    main()
