"""Cases of arrays with a wrong shape or type, which HDF5 and .npz files can hold alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from malformed import Cases
from tiny_scans import SHAPE, STACK

SHAPES = {
    "no dimension": np.float32(1),
    "one dimension": STACK.ravel(),
    "two dimensions": STACK[:, 0],
    "four dimensions": STACK[None],
    "no views": STACK[:0],
    "no columns": STACK[..., :0],
    "other views than angles": STACK[:4],
}
TYPES = {
    "complex": STACK.astype(complex),
    "text": np.full(SHAPE, b"text"),
    "compound": np.zeros(SHAPE, [("a", "f4"), ("b", "i2")]),
    "opaque": np.zeros(SHAPE, "V3"),
}


def add_array_cases(
    cases: Cases,
    format: str,
    write: Callable[..., list],
    *,
    projections: str,
    angles: str,
    frames: tuple[str, str],
) -> None:
    """Adds cases of projections, angles and flats with a wrong shape or type.

    Args:
        cases: The cases.
        format: Name of the format.
        write: Function that writes a scan into a folder, with arrays by their names.
        projections: Name of the projections.
        angles: Name of the angles.
        frames: Names of flat and dark frames.
    """

    def add(what: str, message: str, **arrays) -> None:
        cases.case(f"{format}, {what}", message)(lambda folder: write(folder, **arrays))

    for name, array in SHAPES.items():
        message = "shape" if name != "other views than angles" else "4 views"
        add(f"projections: {name}", message, **{projections: array})
    for name, array in TYPES.items():
        add(f"projections: {name}", "expected real numbers", **{projections: array})
        if name != "opaque":
            add(f"angles: {name}", "expected numbers", **{angles: array[:, 0, 0]})
            add(f"flat: {name}", "expected real numbers", **dict.fromkeys(frames, array[0]))
    add("numbers beyond float32", "NaN or infinite", **{projections: STACK.astype(float) * 1e300})
