"""An operator for tomviz, and the call that it makes.

``python -m pfitre_jax.interop.tomviz`` copies the operator to the folder from which tomviz loads operators of
users. The Python of tomviz, or the pipeline environment that is chosen for the operator, needs this package.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.air import with_air
from pfitre_jax.reconstruction.in_memory import reconstruct

#: The operator: a script and its description, in the format of tomviz.
OPERATOR = Path(__file__).with_name("tomviz_operator")
#: Folder in which tomviz searches for operators of the user.
USER_FOLDER = "~/.tomviz"


class Dataset(Protocol):
    """The part of tomviz's dataset that is used."""

    active_scalars: Any
    tilt_angles: Any
    tilt_axis: int | None

    def create_child_dataset(self) -> Dataset:
        """An empty dataset with the pixel size of this one."""
        ...


def reconstruct_dataset(
    dataset: Dataset,
    method: str = "pfitre",
    *,
    center: str = "middle",
    offset: float = 0.0,
    subtract_air: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> Dataset:
    """Reconstructs a tilt series of tomviz.

    The axes of a tilt series are (x, y, view) if its ``tilt_axis`` is 2, and (view, rows, columns) if it is
    0; the rotation axis is along x or along the rows. The slices have the orientation that those of tomviz's
    own Python operators have. Warnings of the reconstruction are Python warnings.

    Args:
        dataset: The tilt series, aligned, with angles in degrees.
        method: Name of a method of :func:`pfitre_jax.reconstruct`.
        center: Rotation axis: "middle" of the detector, or "auto" to estimate it.
        offset: Distance of the axis from the middle of the detector, bins.
        subtract_air: Whether the level beside the sample is estimated and subtracted.
        progress: Called with the number of slices done and the number of slices.
        **options: Further arguments of :func:`pfitre_jax.reconstruct`.

    Returns:
        A child of the dataset with the volume: (x, image row, image column) for a ``tilt_axis`` of 2,
        (image column, image row, row) for 0.

    Raises:
        ValueError: The dataset is not a tilt series, or an argument is invalid.
    """
    if dataset.tilt_angles is None:
        raise ValueError("the dataset has no tilt angles; expected a tilt series: set its angles in tomviz")
    if center not in ("middle", "auto"):
        raise ValueError(f"center is {center!r}; expected 'middle' or 'auto'")
    views_first = dataset.tilt_axis == 0
    series = np.asarray(dataset.active_scalars, np.float32)
    projections = series if views_first else series.transpose(2, 0, 1)
    middle = (projections.shape[2] - 1) / 2 + offset
    scan = Scan.create(
        projections,
        np.deg2rad(np.asarray(dataset.tilt_angles, float)),
        center=None if center == "auto" else middle,
        provenance={"source": "tilt series of tomviz"},
    )
    scan = with_air(scan, "auto" if subtract_air else None)
    result = reconstruct(scan, method, progress=progress, **options)
    for text in result.warnings:
        warnings.warn(text, UserWarning, stacklevel=2)
    volume = np.asarray(result.volume)
    child = dataset.create_child_dataset()
    # VTK, in which tomviz holds arrays, has the first axis last in memory.
    child.active_scalars = np.asfortranarray(volume.transpose(2, 1, 0) if views_first else volume)
    return child


def copy_operator(folder: str | Path = USER_FOLDER) -> list[Path]:
    """Copies the operator, a ``.py`` and a ``.json`` file, to a folder, and returns the copies.

    Args:
        folder: The folder; it is created if it does not exist.
    """
    target = Path(folder).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    files = sorted(path for path in OPERATOR.iterdir() if path.suffix in (".py", ".json"))
    return [Path(shutil.copy(path, target / path.name)) for path in files]


if __name__ == "__main__":
    for copied in copy_operator(*sys.argv[1:2]):
        print(copied)
