"""The scans that the package brings."""

from __future__ import annotations

from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


def sample_path(name: str) -> Path:
    path = SAMPLES / f"{name}.npz"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in SAMPLES.glob("*.npz"))) or "(none is shipped)"
        raise ValueError(f"no sample {name!r}; expected one of: {there}")
    return path


def sample_truth(path: Path, result):
    """The true slice (ny, nx) of the result's middle row, or None where the sample does not tell."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        if "truth" not in arrays:
            return None
        return arrays["truth"][int(result.rows[result.middle])]
