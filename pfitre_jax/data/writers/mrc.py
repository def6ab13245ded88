"""MRC volumes for the programs of electron tomography."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from pfitre_jax.data.optional_package import import_optional
from pfitre_jax.data.writers.image_stack import ImageStack
from pfitre_jax.data.writers.writer import Writer
from pfitre_jax.runtime.file_mark import MARK

#: Angstroms in a micrometre.
_ANGSTROM = 1e4
#: Length of the header, bytes.
_HEADER = 1024


class MrcWriter(Writer):
    """Writes float32 volumes (mode 2) in the axis order of a tomogram.

    x is the column of the slice, y the row of the raw stack, along the rotation axis, and z the pixel row of
    the slice, the depth along the beam of the view at 0 degrees. In numpy, ``data[z, y, x]`` is
    ``slices[y, z, x]``. The voxel size is in angstroms, and 1 if unknown.
    """

    name = "mrc"
    suffix = ".mrc"
    package = "mrcfile"
    minimum = "1.5"

    def write(self, path: Path, stack: ImageStack) -> None:
        """Writes the file, see :meth:`pfitre_jax.data.writers.writer.Writer.write`."""
        mrcfile = import_optional("mrcfile", "the format mrc")
        rows, ny, nx = stack.shape
        with mrcfile.new_mmap(path, (ny, rows, nx), mrc_mode=2) as file:
            file.voxel_size = 1.0 if stack.pixel_size is None else stack.pixel_size * _ANGSTROM
        low, high, total, square = math.inf, -math.inf, 0.0, 0.0
        for block_rows, block in stack.read():
            block = np.asarray(block, np.float32)
            # Mapped again for each block, because written pages count as memory of the process.
            mapped = np.memmap(path, np.float32, "r+", offset=_HEADER, shape=(ny, rows, nx))
            mapped[:, block_rows] = block.transpose(1, 0, 2)
            mapped.flush()
            del mapped
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            total += float(block.sum(dtype=np.float64))
            square += float(np.square(block, dtype=np.float64).sum())
        mean = total / (rows * ny * nx)
        with mrcfile.mmap(path, mode="r+") as file:
            header = file.header
            header.dmin, header.dmax, header.dmean = low, high, mean
            header.rms = math.sqrt(max(square / (rows * ny * nx) - mean**2, 0.0))
            file.add_label(f"{MARK}: {stack.name}, {stack.units}, first row {stack.row0}")
