"""A scan file whose format is being recognised."""

from __future__ import annotations

import functools
from pathlib import Path

from pfitre_jax.data.readers.file_checks import format_names
from pfitre_jax.data.readers.hdf5_file import Hdf5File


class ScanFile:
    """A scan file: its path, its first bytes and, opened on first use, its HDF5 datasets.

    Attributes:
        path: Path of the file.
        head: Its first 8 bytes, fewer for a shorter file.
    """

    def __init__(self, path: Path):
        self.path = path
        with path.open("rb") as file:
            self.head = file.read(8)

    def __enter__(self) -> ScanFile:
        return self

    def __exit__(self, *exception) -> None:
        if self._is_open:
            self.hdf5.close()

    @property
    def _is_open(self) -> bool:
        """Whether the file has been opened as HDF5."""
        return "hdf5" in self.__dict__

    @functools.cached_property
    def hdf5(self) -> Hdf5File:
        """The file opened as HDF5.

        Raises:
            ValueError: If it is not HDF5, or is damaged.
        """
        return Hdf5File(self.path)

    def listing(self) -> str:
        """The datasets, for a message, if the file has been opened as HDF5; else nothing."""
        if not self._is_open:
            return ""
        names = format_names("/" + name for name in self.hdf5.datasets)
        return f"; found {names or 'no dataset'}"
