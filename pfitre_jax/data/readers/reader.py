"""Interfaces of the readers: one class per file format, and one per format of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers.read_options import ReadOptions
from pfitre_jax.data.readers.scan_file import ScanFile
from pfitre_jax.data.readers.scan_folder import ScanFolder


class Reader(Protocol):
    """Reads the scans of one format. A new format is a class of this kind and a line in the registry.

    Attributes:
        name: Name of the format, in messages and in the provenance.
        description: What a file of the format holds, for the message about an unknown file.
        magic: First bytes of such a file, one or more variants.
        suffixes: Suffixes of its name, in lower case. They decide only where no first bytes are known.
        takes: Names of the options in :data:`pfitre_jax.data.readers.read_options.SELECTORS` that it takes.
        requires: Names of those that it needs.
    """

    name: str
    description: str
    magic: tuple[bytes, ...]
    suffixes: tuple[str, ...]
    takes: frozenset[str] = frozenset()
    requires: frozenset[str] = frozenset()

    def matches(self, file: ScanFile) -> bool:
        """Whether a file with these first bytes or this suffix is of this format. By default it is.

        Raises:
            ValueError: If the file is damaged.
        """
        return True

    def elements(self, file: ScanFile, options: ReadOptions) -> tuple[str, ...]:
        """Names of the channels of the file; by default none, for a format with a single channel."""
        return ()

    def companions(self, path: Path) -> tuple[Path, ...]:
        """Existing files beside a scan file that are read with it, such as its angles; by default none."""
        return ()

    def read(self, file: ScanFile, options: ReadOptions) -> RawScan:
        """Contents of the file; its projections may be a :class:`pfitre_jax.data.raw.LazyStack`.

        Args:
            file: The file, which :meth:`matches`.
            options: What the caller states about it; of the selectors, only those in :attr:`takes` are set.

        Raises:
            ValueError: If the file is damaged or incomplete, or has no angles.
        """
        ...


class FolderReader(Protocol):
    """Reads the scans of one format that stores each view in a file of its own.

    Attributes:
        name: Name of the format, in messages and in the provenance.
        description: What a folder of the format holds, for the message about an unknown folder.
        takes: As for a :class:`Reader`.
        requires: As for a :class:`Reader`.
    """

    name: str
    description: str
    takes: frozenset[str] = frozenset()
    requires: frozenset[str] = frozenset()

    def matches(self, folder: ScanFolder) -> bool:
        """Whether the folder holds files of this format.

        Raises:
            ValueError: If one of them is damaged.
        """
        ...

    def elements(self, folder: ScanFolder, options: ReadOptions) -> tuple[str, ...]:
        """Names of the channels of the scan; by default none, for a format with a single channel."""
        return ()

    def read(self, folder: ScanFolder, options: ReadOptions) -> RawScan:
        """Contents of the folder; see :meth:`Reader.read`."""
        ...
