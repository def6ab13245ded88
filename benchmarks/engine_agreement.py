"""Difference between the results of ``pfitre recon`` with the network by oneDNN and by XLA.

    python -m benchmarks.engine_agreement             # 5 minutes on 2 cores

All engines use the default prior and the same number of iterations. Scans: the shipped sample and, where
PFITRE_DATA has it, 28 rows of Cu_23. Columns: RMS of the difference over the RMS of XLA's result, and the
difference in PSNR where the truth is known.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import pfitre_jax as pf
from benchmarks.timing import table
from experiments.common.comparison import crop_center
from experiments.common.real_scans import CHIP, CHIP_CENTER, CHIP_ROLL_DEG, is_available
from pfitre_jax.models import engines
from pfitre_jax.twin import SAMPLE, data_folder

ENGINES = ("onednn-float32", "onednn-bfloat16")
ITERATIONS = 18


def scans() -> dict[str, list[str]]:
    """Arguments of ``pfitre recon`` by the name of the scan."""
    arguments = {"chip (shipped sample)": ["--sample", "chip"]}
    file = data_folder() / CHIP
    if is_available(f"{CHIP}.tiff"):
        arguments["Cu_23, rows 28 to 55"] = [
            *(str(file.with_suffix(".tiff")), "--angles", str(file.with_suffix(".csv"))),
            *("--center", str(CHIP_CENTER), "--roll", str(CHIP_ROLL_DEG), "--rows", "28:56"),
        ]
    return arguments


def volume(arguments: list[str], engine: str) -> np.ndarray:
    """The volume (rows, ny, nx) by an engine, from a process of its own: a process has only one engine."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        fixed = ["--iterations", str(ITERATIONS), "--intervals", "off", "--quiet", "--out", str(out)]
        command = [sys.executable, "-m", "pfitre_jax.cli", "recon", *arguments, *fixed]
        subprocess.run(command, env={**os.environ, engines.VARIABLE: engine}, check=True)
        return pf.read_result(out / "recon.h5").volume


def mean_psnr(images: np.ndarray) -> float:
    """Mean over the rows of the shipped sample, dB."""
    with np.load(SAMPLE) as file:
        truths = file["truth"]
    pairs = zip(crop_center(images, truths.shape[-1]), truths, strict=True)
    return float(np.mean([pf.metrics.psnr(image, truth) for image, truth in pairs]))


def main() -> None:
    lines = []
    for name, arguments in scans().items():
        exact = volume(arguments, "xla")
        for engine in ENGINES:
            images = volume(arguments, engine)
            difference = np.sqrt(np.mean((images - exact) ** 2) / np.mean(exact**2))
            psnr_change = f"{mean_psnr(images) - mean_psnr(exact):+.3f}" if "--sample" in arguments else ""
            lines.append([name, engine, f"{difference:.2%}", psnr_change])
    print(table(["scan", "engine", "difference", "PSNR, dB"], lines))


if __name__ == "__main__":
    main()
