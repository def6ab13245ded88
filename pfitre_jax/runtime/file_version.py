"""HDF5 files that are read in several steps, so that no step reads a later file at the same path."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import h5py


class FileReplaced(RuntimeError):
    """A file was replaced or changed since it was first read."""


@dataclasses.dataclass(frozen=True)
class FileVersion:
    """An HDF5 file as it was when it was first read.

    It is open only while it is read, so that a new file can replace it; reading then fails.

    Attributes:
        path: The file.
        inode: Number of the file in its file system.
        size: Size, bytes.
        modified_ns: Time of the last change, nanoseconds.
    """

    path: Path
    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: str | os.PathLike) -> FileVersion:
        """The file that is at a path now; to be called before its content is read for the first time."""
        status = os.stat(path)
        return cls(Path(path), status.st_ino, status.st_size, status.st_mtime_ns)

    @contextlib.contextmanager
    def open(self) -> Iterator[h5py.File]:
        """Opens the file for reading.

        Raises:
            FileReplaced: The file was replaced, changed or removed.
        """
        try:
            file = h5py.File(self.path, "r")
        except FileNotFoundError as error:
            raise FileReplaced(self._message("removed")) from error
        with file:
            # Checked after the file was opened, so that no replacement comes between.
            if FileVersion.of(self.path) != self:
                raise FileReplaced(self._message("replaced or changed"))
            yield file

    def _message(self, what: str) -> str:
        return (
            f"{self.path} was {what} after it was first read; expected one file until all of it is read: "
            "read it again when no other run writes to its folder"
        )
