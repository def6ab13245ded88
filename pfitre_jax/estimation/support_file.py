"""Sample support read from an image file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import tifffile

from pfitre_jax.data.readers.file_checks import check_file
from pfitre_jax.estimation.support import Support

_EXPECTED = "an image of the support: a TIFF or .npy file with values other than 0 where the sample may be"


def read_support(path: str | os.PathLike) -> Support:
    """Reads a support from a TIFF or ``.npy`` file, not 0 where the image may differ from 0.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no image, or no support, see :meth:`Support.from_image`.
    """
    path = Path(path)
    check_file(path, _EXPECTED)
    try:
        image = np.load(path, allow_pickle=False) if path.suffix == ".npy" else tifffile.imread(path)
    except (ValueError, EOFError, OSError, tifffile.TiffFileError) as error:
        raise ValueError(f"{path} cannot be read as an image; expected {_EXPECTED}") from error
    return Support.from_image(image, str(path.name))
