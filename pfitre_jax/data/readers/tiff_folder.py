"""Folder of TIFF images, one for each view, in natural order; the angles are in a CSV file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pfitre_jax.data.readers.file_checks import check_declared_size
from pfitre_jax.data.readers.image_folder import ImageFolderReader, ImageHeader
from pfitre_jax.data.readers.read_options import ReadOptions
from pfitre_jax.data.readers.scan_folder import ScanFolder
from pfitre_jax.data.readers.tiff import TIFF_MAGIC, TIFF_SUFFIXES, is_colour, open_tiff


class TiffFolderReader(ImageFolderReader):
    """Reads folders of TIFF images. Rows of uncompressed images are read alone."""

    name = "TIFF folder"
    description = "a TIFF image for each view, with the angles as CSV"

    def files(self, folder: ScanFolder) -> list[Path]:
        """The TIFF images of the folder."""
        return folder.select(TIFF_MAGIC, TIFF_SUFFIXES)

    def header(self, path: Path, options: ReadOptions) -> ImageHeader:
        """Shape and type of an image.

        Raises:
            ValueError: If it is damaged, is in colour, or holds several images.
        """
        with open_tiff(path) as tiff:
            series = tiff.series
            shape = series[0].shape if len(series) == 1 else (len(series),)
            colour = any(map(is_colour, series))
            nbytes = sum(part.size * part.dtype.itemsize for part in series)
            dtype = series[0].dtype if series else None
        check_declared_size(path, nbytes, "an image")
        if colour or len(shape) != 2:
            kind = "a colour picture" if colour else f"images of the shape {shape}"
            raise ValueError(
                f"{path} holds {kind}; expected one grey image (rows, columns), the view; of a stack, the "
                "path of the file and not that of the folder"
            )
        return ImageHeader(shape, np.dtype(dtype))

    def read_rows(self, path: Path, rows: slice) -> np.ndarray:
        """Rows of an image.

        Raises:
            ValueError: If it is damaged.
        """
        with open_tiff(path) as tiff:
            series = tiff.series[0]
            if series.dataoffset is not None:
                return np.array(series.asarray(out="memmap")[rows])
            return series.asarray()[rows]
