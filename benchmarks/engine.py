"""Speed and memory of ``pfitre recon`` on whole scans.

    python -m benchmarks.engine [--only whole|scaling|processes|cost|memory|large]    # 25 minutes on 2 cores

whole      Cu_23, 84 rows: the command relative to the cost of the original's loop for 84 slices
           (:mod:`benchmarks.original`), and FISTA-TV relative to one made of ASTRA and scikit-image
scaling    seconds per slice by image size, views, slices per batch, and devices
processes  the command with one process and with two that share the rows
cost       time of a product with ``A^T A``, exact and by FFT, and a fit ``a + b views + c side^p``
memory     peak memory for 100 and 1000 slices of 256^2, and for 96 and 960, which have chunks of equal size
large      1024^2 from 720 views with ``--memory 8``: 64 slices by CGLS, and one chunk by ``pfitre``

Writes ``benchmarks/results/engine.json`` and ``engine.png``. The machine should be idle.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import least_squares

import pfitre_jax as pf
from benchmarks.operators import astra_operator
from benchmarks.original import ITERATIONS, original_cost, pfitre_cost, random_scan
from benchmarks.timing import seconds, table
from pfitre_jax.data import write_files
from pfitre_jax.solvers import FISTATV, SliceProblem, run

RESULTS = Path(__file__).resolve().parent / "results"
DATA = Path(os.environ.get("PFITRE_DATA", "../shared/data"))
CHIP = DATA / "cu23_hxn_xrf" / "Cu_example_23_LimitedAngle.tiff"
FISTA_ITERATIONS = 100


def recon(*args, devices: int = 1) -> dict:
    """Run ``pfitre recon``: wall seconds, peak memory (bytes), and its summary."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        line = [
            sys.executable,
            "-m",
            "pfitre_jax.cli",
            "recon",
            *map(str, args),
            "--out",
            str(out),
            "--quiet",
        ]
        environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
        environment |= {"XDG_CACHE_HOME": str(Path(folder) / "cache")}
        environment |= {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        code = (
            "import resource, subprocess, sys; r = subprocess.run(sys.argv[1:]).returncode; "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(r)"
        )
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, *line], env=environment, capture_output=True, text=True
        )
        wall = time.perf_counter() - begin
        if done.returncode:
            raise SystemExit(done.stderr)
        summary = json.loads((out / "summary.json").read_text())
        return {"wall": wall, "peak": 1024 * int(done.stdout.split()[-1]), **summary}


def fista_seconds(scan: pf.Scan, weight: float, iterations: int) -> float:
    """Seconds per slice of FISTA-TV, compiled, all slices in one batch."""
    sinograms = jnp.asarray(np.moveaxis(scan.projections, 1, 0))
    problem = jax.jit(SliceProblem.create)(pf.Projector(scan.geometry()), sinograms[0])
    blank = jnp.zeros(problem.A.shape)

    @jax.jit
    def solve(sinograms):
        one = lambda y: run(FISTATV(weight), problem.with_sinogram(y), blank, iterations=iterations).value  # noqa: E731
        return jax.vmap(one)(sinograms)

    return seconds(solve, sinograms, repeats=1) / scan.rows


def pfitre_seconds(side: int, views: int, rows: int, chunk: int | None = None) -> float:
    """Seconds per slice of ``pfitre`` with its defaults."""
    return pfitre_cost(random_scan(side, views, rows), chunk)[0]


def reference_fista(operator, sinogram, weight: float, iterations: int):
    """Image (n, n) by FISTA-TV with ASTRA's operator and the TV prox of scikit-image."""
    from skimage.restoration import denoise_tv_chambolle

    x = np.zeros(operator.BP(sinogram).shape, np.float32)
    norm = 1.0
    image = np.ones_like(x)
    for _ in range(10):
        image = operator.BP(operator.FP(image / np.linalg.norm(image)))
        norm = float(np.linalg.norm(image))
    ahead, t = x, 1.0
    for _ in range(iterations):
        step = ahead - operator.BP(operator.FP(ahead) - sinogram) / norm
        new = np.maximum(denoise_tv_chambolle(step, weight, max_num_iter=10), 0).astype(np.float32)
        t_new = (1 + (1 + 4 * t * t) ** 0.5) / 2
        ahead, x, t = new + (t - 1) / t_new * (new - x), new, t_new
    return x


def whole() -> dict:
    """Cu_23 by the command, relative to the original and to ASTRA with scikit-image."""
    if not CHIP.exists():
        return {"skipped": f"{CHIP} not found; set PFITRE_DATA to the folder of the real scans"}
    args = [CHIP, "--angles", CHIP.with_suffix(".csv"), "--center", 75, "--roll", 1.5]
    done = recon(*args)
    rows, side, views = len(done["rows"]), 150, done["views"]
    theta = np.deg2rad(np.linspace(-72, 12, views))
    step, network = original_cost(side, views, theta)
    original = rows * ITERATIONS * (step + network)
    scan = random_scan(side, views, 32)
    ours = fista_seconds(scan, 1e-3, FISTA_ITERATIONS)
    operator, sinogram = astra_operator(side, scan.theta_rad), scan.projections[:, 0]
    peer = seconds(lambda: reference_fista(operator, sinogram, 1e-3, FISTA_ITERATIONS), repeats=1)
    return {
        "rows": rows,
        "command, s": done["wall"],
        "solve, s": done["seconds_run"],
        "peak memory, GiB": done["peak"] / 2**30,
        "original's loop, s": original,
        "original / command": original / done["wall"],
        "original / solve": original / done["seconds_run"],
        "pfitre, 32 slices of 150^2 per batch, s per slice": pfitre_seconds(side, views, 32),
        "pfitre, one slice of 150^2 per batch, s per slice": pfitre_seconds(side, views, 2, 1),
        f"FISTA-TV, {FISTA_ITERATIONS} iterations, s per slice": ours,
        f"ASTRA + scikit-image FISTA-TV, {FISTA_ITERATIONS} iterations, s per slice": peer,
        "ASTRA + scikit-image / FISTA-TV": peer / ours,
    }


def scaling() -> dict:
    """Seconds per slice of ``pfitre``; two devices are two halves of the CPU."""
    sizes = {str(side): pfitre_seconds(side, 51, 8 if side < 512 else 2) for side in (64, 128, 256, 512)}
    views = {str(n): pfitre_seconds(128, n, 16) for n in (25, 51, 102, 204)}
    together = {str(n): pfitre_seconds(128, 51, n) for n in (1, 2, 4, 8, 16, 32)}
    results = {"side": sizes, "views": views, "slices": together}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.npz"
        scan = random_scan(128, 51, 32)
        np.savez(path, projections=scan.projections, theta_rad=scan.theta_rad, center=scan.center)
        results["devices"] = {str(n): recon(path, devices=n)["seconds_run"] / 32 for n in (1, 2)}
    return results


def processes() -> dict:
    """Wall seconds of the command on 64 slices of 128^2, with one process and with two."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.npz"
        scan = random_scan(128, 51, 64)
        np.savez(path, projections=scan.projections, theta_rad=scan.theta_rad, center=scan.center)
        for count in (1, 2):
            results[str(count)] = _seconds_of_processes(path, Path(folder) / str(count), count)
    return results | {"one / two": results["1"] / results["2"]}


def _seconds_of_processes(path: Path, out: Path, count: int) -> float:
    """Wall seconds of ``count`` processes that share the rows."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "pfitre_jax.cli", "recon", str(path), "--out", str(out)]
    line += ["--overwrite", "--quiet"]
    team = ["--coordinator", f"127.0.0.1:{port}", "--num-processes", str(count), "--process-id"]
    environment = os.environ | {"XDG_CACHE_HOME": str(out.parent / "cache")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    begin = time.perf_counter()
    running = [
        subprocess.Popen([*line, *([*team, str(k)] if count > 1 else [])], env=environment)
        for k in range(count)
    ]
    if any([process.wait() for process in running]):
        raise SystemExit(f"{count} processes: a process failed")
    return time.perf_counter() - begin


def cost() -> dict:
    """Milliseconds per slice of ``A^T A`` for 32 slices, exact and by FFT, and a fit of each."""
    exact, fft = [], []
    for side, views in (
        (64, 32),
        (64, 128),
        (128, 32),
        (128, 128),
        (256, 32),
        (256, 128),
        (512, 32),
        (512, 128),
    ):
        A = pf.Projector(pf.ParallelGeometry.create(np.deg2rad(np.linspace(-48, 48, views)), side))
        images = jnp.ones((32, side, side))
        kernel = pf.NormalKernel.create(A)
        product = jax.jit(jax.vmap(A.normal))
        filtered = jax.jit(jax.vmap(kernel))
        exact.append((side, views, 1e3 * seconds(product, images, repeats=3) / 32))
        fft.append((side, views, 1e3 * seconds(filtered, images, repeats=3) / 32))
    return {
        "exact": {"ms": exact, "fit": _fit(exact)},
        "FFT": {"ms": fft, "fit": _fit(fft)},
    }


def _fit(measured) -> dict:
    """Fit ``t = a + b views (side/128)^2 + c (side/128)^p``, ms, with equal relative errors.

    Each view of the exact product passes over all pixels, so the term with the views grows with the pixels.
    """
    side, views, t = (np.array(column, float) for column in zip(*measured, strict=True))
    model = lambda v: v[0] + v[1] * views * (side / 128) ** 2 + v[2] * (side / 128) ** v[3]  # noqa: E731
    fit = least_squares(
        lambda v: np.log(np.maximum(model(v), 1e-9)) - np.log(t),
        x0=[1e-3, 1e-3, 0.1, 2.0],
        bounds=([0, 0, 0, 1.5], [np.inf, np.inf, np.inf, 3.5]),
    )
    a, b, c, p = map(float, fit.x)
    return {"a": a, "b": b, "c": c, "p": p, "rms relative error": float(np.sqrt(np.mean(fit.fun**2)))}


def memory() -> dict:
    """Peak memory of the command on uncompressed scans that differ only in their number of rows."""
    results = {}
    for rows in (96, 100, 960, 1000):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scan.h5"
            _write(path, 256, 30, rows)
            options = [path, "--center", 127.5, "--method", "cgls", "--iterations", 3]
            results[str(rows)] = _memory(recon(*options))
    for few, many in (("96", "960"), ("100", "1000")):
        results[f"{many} / {few}"] = results[many]["peak GiB"] / results[few]["peak GiB"]
    return results


def large() -> dict:
    """Peak memory on large slices, for ``pfitre`` from one chunk and one iteration: more need no more."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.h5"
        _write(path, 1024, 720, 64)
        options = [path, "--center", 511.5, "--memory", 8, "--iterations"]
        return {
            "64 slices, cgls": _memory(recon(*options, 3, "--method", "cgls")),
            "8 slices, pfitre": _memory(recon(*options, 1, "--rows", "0:8")),
        }


def _memory(done: dict) -> dict:
    return {"peak GiB": done["peak"] / 2**30, "seconds": done["wall"], "chunk": done["chunk"]}


def _write(path: Path, side: int, views: int, rows: int) -> None:
    """A scan of discs that differ from row to row, written a few rows at a time."""
    import h5py

    theta = np.linspace(-48, 48, views)
    columns = np.arange(side) - (side - 1) / 2
    with h5py.File(path, "w") as file:
        data = file.create_dataset("exchange/data", (views, rows, side), np.float32)
        file["exchange/theta"] = theta
        for begin in range(0, rows, 16):
            radius = side * (0.2 + 0.1 * np.sin(np.arange(begin, min(begin + 16, rows))))
            chord = 2 * np.sqrt(np.maximum(radius[:, None] ** 2 - columns**2, 0))
            data[:, begin : begin + 16] = chord[None]


PARTS = {
    "whole": whole,
    "scaling": scaling,
    "processes": processes,
    "cost": cost,
    "memory": memory,
    "large": large,
}


def picture(results: dict) -> Figure:
    """Seconds per slice of ``pfitre`` and of ``A^T A``, and the comparison with the original."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    if "scaling" in results:
        for name, label in (
            ("side", "image side, 51 views"),
            ("views", "views, 128^2"),
            ("slices", "slices per batch"),
        ):
            values = results["scaling"][name]
            left.loglog([int(k) for k in values], list(values.values()), "o-", label=label)
        left.set(title="pfitre", ylabel="seconds per slice")
        left.legend(fontsize=7)
    if "cost" in results:
        for form, style in (("exact", "o-"), ("FFT", "s--")):
            for views in (32, 128):
                rows = [(side, t) for side, v, t in results["cost"][form]["ms"] if v == views]
                middle.loglog(*zip(*rows, strict=True), style, label=f"{form}, {views} views")
        middle.set(title="A^T A, 32 slices per batch", xlabel="image side", ylabel="ms per slice")
        sides = sorted({side for side, _, _ in results["cost"]["exact"]["ms"]})
        middle.set_xticks(sides, map(str, sides))
        middle.minorticks_off()
        middle.legend(fontsize=7)
    if "rows" in results.get("whole", {}):
        whole = results["whole"]
        names = {
            "original's loop, s": "original",
            "command, s": "command",
            "solve, s": "solve",
        }
        right.bar(list(names.values()), [whole[name] for name in names])
        right.set(title=f"Cu_23, {whole['rows']} rows", ylabel="seconds", yscale="log")
        right.tick_params(axis="x", labelsize=7)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, help="run one part only")
    options = parser.parse_args()
    path = RESULTS / "engine.json"
    results = json.loads(path.read_text())["results"] if path.exists() else {}
    for name in PARTS if options.only is None else [options.only]:
        results[name] = PARTS[name]()
        print(f"## {name}\n\n{_format(results[name])}\n", flush=True)
        machine = (
            f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, jax {jax.__version__}"
        )
        content = {"machine": machine, "results": results}
        writers = {
            "engine.json": lambda path, content=content: path.write_text(
                json.dumps(content, indent=1) + "\n"
            ),
            "engine.png": lambda path: picture(results).savefig(path, dpi=110, format="png"),
        }
        write_files(RESULTS, writers)


def _format(results: dict) -> str:
    short = lambda value: f"{value:.4g}" if isinstance(value, float) else str(value)  # noqa: E731
    rows = []
    for name, value in results.items():
        if isinstance(value, dict):
            value = "; ".join(f"{k}: {short(v)}" for k, v in value.items())
        rows.append([name, short(value)])
    return table(["", ""], rows)


if __name__ == "__main__":
    main()
