"""Images in ``recon.h5`` as arrays that are read when they are shown."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pfitre_jax.runtime.file_version import FileVersion


@dataclasses.dataclass(frozen=True)
class StoredImage:
    """A dataset of an HDF5 file, or the difference of two, as an array without its values in memory.

    The file is open only while it is read, so that a new result can replace it; the values of both are never
    mixed.

    Attributes:
        file: The file.
        dataset: Path of the dataset.
        shape: (rows, ny, nx).
        subtracted: Path of a dataset that is subtracted; None for none.
    """

    file: FileVersion
    dataset: str
    shape: tuple[int, ...]
    subtracted: str | None = None

    #: Type of the values.
    dtype = np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        with self.file.open() as file:
            values = file[self.dataset][key]
            if self.subtracted is not None:
                values = values - file[self.subtracted][key]
        return np.asarray(values, self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[...].astype(dtype or self.dtype, copy=False)
