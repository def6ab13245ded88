"""Results of ``pfitre`` with the network by oneDNN, beside those with the network by XLA.

    python -m benchmarks.engine_agreement             # 6 minutes on 2 cores

The default prior and the same number of iterations for all engines; the shipped sample and, where PFITRE_DATA
has it, every third row of Cu_23. Columns: RMS of the difference over the RMS of XLA's result, and the
difference in PSNR where the truth is known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import jax
import numpy as np

import pfitre_jax as pf
from benchmarks.timing import table
from experiments.common.real_scans import CHIP, CHIP_CENTER, CHIP_ROLL_DEG, is_available, load_chip
from pfitre_jax.data.sample_files import read_truth, sample_path
from pfitre_jax.models import engines

ENGINES = ("onednn-float32", "onednn-bfloat16")
ITERATIONS = 18


def scans() -> Iterator[tuple[str, pf.Scan, list[np.ndarray | None]]]:
    """Name, scan, and the true slice of each row, None where it is unknown."""
    path = sample_path("chip")
    sample = pf.load_scan(path)
    yield "chip (shipped sample)", sample, [read_truth(path, row) for row in range(sample.rows)]
    if is_available(f"{CHIP}.tiff"):
        chip = load_chip(CHIP_CENTER, CHIP_ROLL_DEG)
        rows = range(0, chip.rows, 3)
        yield "Cu_23, every third row", chip.take_rows(rows), [None for _ in rows]


def volume(scan: pf.Scan, engine: str) -> np.ndarray:
    """The volume (rows, ny, nx) with the network by one engine."""
    os.environ[engines.VARIABLE] = engine
    # Compiled programs do not depend on the variable.
    jax.clear_caches()
    return pf.reconstruct(scan, iterations=ITERATIONS).volume


def mean_psnr(images: np.ndarray, truths: list[np.ndarray | None]) -> float:
    """Mean over the rows whose truth is known, dB; nan without any."""
    scores = [
        float(pf.metrics.psnr(image, truth))
        for image, truth in zip(images, truths, strict=True)
        if truth is not None
    ]
    return float(np.mean(scores)) if scores else float("nan")


def main() -> None:
    lines = []
    for name, scan, truths in scans():
        exact = volume(scan, "xla")
        for engine in ENGINES:
            images = volume(scan, engine)
            difference = np.sqrt(np.mean((images - exact) ** 2) / np.mean(exact**2))
            psnr = mean_psnr(images, truths) - mean_psnr(exact, truths)
            lines.append([name, engine, f"{difference:.2%}", f"{psnr:+.3f}" if np.isfinite(psnr) else ""])
    print(table(["scan", "engine", "difference", "PSNR, dB"], lines))


if __name__ == "__main__":
    main()
