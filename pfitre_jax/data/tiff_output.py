"""Stacks of images as TIFF files."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import tifffile

from pfitre_jax.runtime.file_mark import MARK


def write_tiff(
    path: str | os.PathLike, pages: np.ndarray | Iterator[np.ndarray], shape: tuple[int, ...] | None = None
) -> None:
    """Writes a float32 TIFF that image viewers open page by page.

    Args:
        path: The file.
        pages: (pages, height, width), or with a ``shape`` an iterator over the pages.
        shape: Shape of the stack.
    """
    if shape is None:
        tifffile.imwrite(path, np.asarray(pages, np.float32), photometric="minisblack", software=MARK)
    else:
        tifffile.imwrite(path, pages, shape=shape, dtype=np.float32, photometric="minisblack", software=MARK)
