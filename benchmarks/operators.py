"""Speed of the forward, back and normal operators, relative to ASTRA (CPU) and, if installed, MBIRJAX.

    python -m benchmarks.operators            # about 2 minutes on 2 cores; the machine should be idle

Everything runs in one process; compare the ratios. ``pip install -e .[bench]`` installs ASTRA.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import seconds, table
from pfitre_jax import NormalKernel, ParallelGeometry, Projector

#: Number of slices per batch.
SLICES = 32


def astra_operator(n: int, theta_rad):
    """ASTRA's CPU projector ``linear``, an object with the methods ``FP`` and ``BP``."""
    import astra

    geometry = astra.create_proj_geom("parallel", 1.0, n, theta_rad)
    volume = astra.create_vol_geom(n, n)
    return astra.OpTomo(astra.create_projector("linear", geometry, volume))


def mbirjax_times(n: int, views: int, theta_rad) -> tuple[float, float] | None:
    """Seconds per slice of MBIRJAX's forward and back projection, in batches; None if not installed."""
    try:
        import mbirjax
    except ImportError:
        return None
    model = mbirjax.ParallelBeamModel((views, SLICES, n), jnp.asarray(theta_rad))
    volume = jnp.ones((n, n, SLICES))
    sinogram = jnp.ones((views, SLICES, n))
    forward = seconds(model.forward_project, volume, repeats=2) / SLICES
    return forward, seconds(model.back_project, sinogram, repeats=2) / SLICES


def main() -> None:
    rng = np.random.default_rng(0)
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}; fastest run, milliseconds per slice\n")
    rows = []
    for n, views in ((152, 51), (256, 180)):
        theta = np.linspace(0, np.pi, views, endpoint=False)
        A = Projector(ParallelGeometry.create(theta, n))
        peer = astra_operator(n, theta)
        image, sinogram = rng.random((n, n), np.float32), rng.random((views, n), np.float32)
        images = jnp.asarray(rng.random((SLICES, n, n), np.float32))
        sinograms = jnp.asarray(rng.random((SLICES, views, n), np.float32))
        cases = {
            "forward": (jax.jit(A.__call__), peer.FP, image, images),
            "back": (jax.jit(A.T), peer.BP, sinogram, sinograms),
        }
        mbirjax = mbirjax_times(n, views, theta)
        for number, (name, (ours, astra, one, many)) in enumerate(cases.items()):
            reference = seconds(astra, one, repeats=3)
            single = seconds(ours, jnp.asarray(one))
            batch = seconds(jax.jit(jax.vmap(ours)), many) / SLICES
            rows.append(
                [
                    f"{name} {n}^2/{views}",
                    f"{reference * 1e3:.1f}",
                    f"{single * 1e3:.1f}",
                    f"{reference / single:.1f}",
                    f"{batch * 1e3:.2f}",
                    f"{reference / batch:.1f}",
                    "not installed" if mbirjax is None else f"{mbirjax[number] * 1e3:.1f}",
                ]
            )
    header = ["", "ASTRA", "one slice", "ASTRA / ours", f"{SLICES} slices", "ASTRA / ours", "MBIRJAX"]
    print(table(header, rows) + "\n")

    rows = []
    for n, views in ((152, 51), (512, 360)):
        theta = np.linspace(0, np.pi, views, endpoint=False)
        A = Projector(ParallelGeometry.create(theta, n))
        peer = astra_operator(n, theta)
        image = rng.random((n, n), np.float32)
        kernel = NormalKernel.create(A)
        reference = seconds(lambda x: peer.BP(peer.FP(x)), image, repeats=2)  # noqa: B023
        exact = seconds(jax.jit(A.normal), jnp.asarray(image))
        fast = seconds(jax.jit(kernel.__call__), jnp.asarray(image))
        numbers = [reference * 1e3, exact * 1e3, reference / exact, fast * 1e3, reference / fast]
        rows.append([f"normal {n}^2/{views}", *(f"{v:.1f}" for v in numbers)])
    header = ["", "ASTRA", "A^T A", "ASTRA / ours", "FFT form", "ASTRA / ours"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
