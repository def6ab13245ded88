"""Three elements of a fluorescence scan with one alignment against three runs, one for each element.

A simulated xrf-tomo file, whose views are displaced, is reconstructed by ``pfitre recon``

- together: ``--element Cu,Fe,Zn --align``,
- one by one, with an alignment of each element: ``--element X --align``,
- one by one, with the alignment of the first run: ``--element X --alignment FILE``.

``pytest tests/cli/test_elements_time.py -n0 -m slow -s`` prints the processor times, also that of the
alignments, the largest difference of the slices between the first and the last, and the errors of the
alignments.
"""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest
from pfitre_command import pfitre

from pfitre_jax.data.motion import Motion
from pfitre_jax.estimation import alignment
from pfitre_jax.geometry import ParallelGeometry, remove_object_shift
from pfitre_jax.reconstruction.result import read_result
from pfitre_jax.twin.projection import project_finely
from pfitre_jax.twin.scenes.circuits3d import circuits3d

COLUMNS, ROWS, VIEWS = 48, 8, 30
THETA = np.deg2rad(np.linspace(-70, 68, VIEWS))
#: Counts of a bin where the line integral is largest, by element.
COUNTS = {"Cu_K": 2000, "Fe_K": 300, "Zn_K": 60}
METHOD = ["--method", "fista-tv", "--iterations", "20"]


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
    """Processor times of a run and of its alignments, which do not depend on other programs."""

    def __init__(self):
        self.seconds, self.align_seconds, self.alignments = 0.0, 0.0, 0

    def run(self, *words: object) -> None:
        """Runs ``pfitre recon``."""
        estimate = alignment.align

        def timed(*args, **options):
            start = time.process_time()
            result = estimate(*args, **options)
            self.align_seconds += time.process_time() - start
            self.alignments += 1
            return result

        alignment.align, start = timed, time.process_time()
        try:
            done = pfitre("recon", *words)
        finally:
            alignment.align = estimate
        assert done.exit_code == 0, done.output
        self.seconds += time.process_time() - start

    def text(self) -> str:
        """Times in words."""
        return f"{self.seconds:.1f} s, {self.alignments} alignments in {self.align_seconds:.1f} s"


def error(motion: Motion, true: Motion) -> float:
    """Rms error of the shifts along the columns that a scan determines, bins."""
    return float(np.std(remove_object_shift(THETA, motion.shifts - true.shifts)))


@pytest.mark.slow
def test_one_alignment_of_three_elements_takes_the_time_of_one(tmp_path):
    folder, true = tmp_path, simulate(tmp_path / "tomo.h5")
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
    common = error(Motion.load(folder / "together" / "alignment.csv"), true)
    single = [error(Motion.load(folder / "own" / name / "alignment.csv"), true) for name in COUNTS]
    texts = ", ".join(f"{name} {value:.3f}" for name, value in zip(COUNTS, single, strict=True))
    print(f"rms error of the shifts, bins: common {common:.3f}; alone {texts}")
    assert together.alignments == 1 and own.alignments == 3 and known.alignments == 0
    assert largest < 1e-6
    assert together.align_seconds < 0.6 * own.align_seconds and together.seconds < own.seconds
    assert common < max(single)
