"""Scans that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


def sample_path(name: str) -> Path:
    """Returns the file of a shipped scan.

    Raises:
        ValueError: For an unknown name; the message lists the known ones.
    """
    path = SAMPLES / f"{name}.npz"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in SAMPLES.glob("*.npz"))) or "(none is installed)"
        raise ValueError(f"no sample {name!r}; expected one of: {known}")
    return path


def read_truth(path: Path, row: int) -> np.ndarray | None:
    """Returns the true slice (ny, nx) of one row of a simulated scan, per pixel; None if unknown."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        return arrays["truth"][row] if "truth" in arrays else None
