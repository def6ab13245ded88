"""Three elements of a fluorescence scan with one alignment against three runs, one for each element.

    python -m benchmarks.elements [FOLDER]

A simulated xrf-tomo file, whose views are displaced, is reconstructed by ``pfitre recon``

- together: ``--element Cu,Fe,Zn --align``,
- one by one, with an alignment of each element: ``--element X --align``,
- one by one, with the alignment of the first run: ``--element X --alignment FILE``.

It prints the wall times, the time of the alignments, the largest difference of the slices between the first
and the last, and how far the alignments are from the true motion.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import h5py
import jax
import numpy as np
from typer.testing import CliRunner

from pfitre_jax.cli import app
from pfitre_jax.data.motion import Motion
from pfitre_jax.estimation import alignment
from pfitre_jax.geometry import ParallelGeometry, remove_object_shift
from pfitre_jax.reconstruction.result import read_result
from pfitre_jax.twin.projection import project_finely
from pfitre_jax.twin.scenes.circuits3d import circuits3d

COLUMNS, ROWS, VIEWS = 48, 12, 40
THETA = np.deg2rad(np.linspace(-70, 68, VIEWS))
#: Counts of a bin where the line integral is largest, by element.
COUNTS = {"Cu_K": 2000, "Fe_K": 300, "Zn_K": 60}
METHOD = ["--method", "fista-tv", "--iterations", "60"]


def simulate(path: Path) -> Motion:
    """Writes three circuits of the same scan, with counting noise; returns the motion of its views."""
    rng = np.random.default_rng(5)
    still = Motion.none(THETA, (COLUMNS - 1) / 2)
    shifts = remove_object_shift(THETA, rng.normal(0, 1.0, VIEWS))
    motion = Motion(THETA, shifts, rng.normal(0, 0.3, VIEWS), still.gain, still.offset, 0.0, still.center)
    geometry = ParallelGeometry.create(THETA, COLUMNS)
    maps = []
    for seed, counts in enumerate(COUNTS.values()):
        fine = circuits3d(jax.random.key(seed), ROWS, 2 * COLUMNS, 1 / COLUMNS)
        clean = np.moveaxis(np.asarray(jax.vmap(lambda image: project_finely(geometry, image))(fine)), 0, 1)
        displaced = np.maximum(motion.undo(clean)[0], 0)
        maps.append(rng.poisson(counts * displaced / displaced.max()))
    with h5py.File(path, "w") as file:
        file["/reconstruction/fitting/data"] = np.stack(maps, axis=1).astype(np.float32)
        file["/reconstruction/fitting/elements"] = [name.encode() for name in COUNTS]
        file["/exchange/i0"] = np.ones(maps[0].shape, np.float32)
        file["/exchange/theta"] = np.rad2deg(THETA)
    return motion


class Stopwatch:
    """Wall times of a run and of its alignments."""

    def __init__(self):
        self.seconds, self.align_seconds, self.alignments = 0.0, 0.0, 0

    def run(self, *words: object) -> None:
        """Runs ``pfitre recon``."""
        estimate = alignment.align

        def timed(*args, **options):
            start = time.perf_counter()
            result = estimate(*args, **options)
            self.align_seconds += time.perf_counter() - start
            self.alignments += 1
            return result

        alignment.align, start = timed, time.perf_counter()
        try:
            done = CliRunner().invoke(app, ["recon", *map(str, words)])
        finally:
            alignment.align = estimate
        if done.exit_code:
            raise SystemExit(done.output)
        self.seconds += time.perf_counter() - start

    def text(self) -> str:
        """Times in words."""
        return f"{self.seconds:.1f} s, {self.alignments} alignments in {self.align_seconds:.1f} s"


def error(motion: Motion, true: Motion) -> float:
    """Rms error of the shifts along the columns that a scan determines, bins."""
    return float(np.std(remove_object_shift(THETA, motion.shifts - true.shifts)))


def main(folder: Path) -> None:
    """Runs the three cases and prints the comparison."""
    true = simulate(folder / "tomo.h5")
    # Programs are compiled before the times are measured.
    Stopwatch().run(folder / "tomo.h5", "--element", "Cu", "--align", *METHOD, "--out", folder / "first")
    together, own, known = Stopwatch(), Stopwatch(), Stopwatch()
    together.run(
        folder / "tomo.h5", "--element", "Cu,Fe,Zn", "--align", *METHOD, "--out", folder / "together"
    )
    largest = 0.0
    for name in COUNTS:
        words = (folder / "tomo.h5", "--element", name, *METHOD)
        own.run(*words, "--align", "--out", folder / "own" / name)
        stored = folder / "together" / name
        known.run(*words, "--alignment", stored / "alignment.csv", "--out", folder / "known" / name)
        first, second = (read_result(f / "recon.h5").volume for f in (stored, folder / "known" / name))
        largest = max(largest, float(np.abs(first - second).max() / np.abs(first).max()))
    print(f"together, one alignment:          {together.text()}")
    print(f"one by one, an alignment of each: {own.text()}")
    print(f"one by one, the common alignment: {known.text()}")
    print(f"largest difference of slices, together and one by one: {largest:.1e} of the largest value")
    common = Motion.load(folder / "together" / "alignment.csv")
    print(f"rms error of the shifts: common {error(common, true):.3f} bins")
    for name in COUNTS:
        single = Motion.load(folder / "own" / name / "alignment.csv")
        print(f"  of {name} alone {error(single, true):.3f} bins")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
