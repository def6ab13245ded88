"""Interface of a reader: one class per file format."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers.scan_file import ScanFile


class Reader(Protocol):
    """Reads the scans of one format. A new format is a class of this kind and a line in the registry.

    Attributes:
        name: Name of the format, in messages and in the provenance.
        description: What a file of the format holds, for the message about an unknown file.
        magic: First bytes of such a file, one or more variants.
        suffixes: Suffixes of its name, in lower case. They decide only where no first bytes are known.
    """

    name: str
    description: str
    magic: tuple[bytes, ...]
    suffixes: tuple[str, ...]

    def matches(self, file: ScanFile) -> bool:
        """Whether a file with these first bytes or this suffix is of this format. By default it is.

        Raises:
            ValueError: If the file is damaged.
        """
        return True

    def read(self, file: ScanFile, angles: Path | None, unit: str | None, kind: str | None) -> RawScan:
        """Contents of the file; its projections may be a :class:`pfitre_jax.data.raw.LazyStack`.

        Args:
            file: The file, which :meth:`matches`.
            angles: CSV file whose angles replace those of the scan file, or None.
            unit: Unit of the angles, a key of :data:`pfitre_jax.data.readers.angle_units.RADIANS` such as
                "deg", "rad" or "mrad"; None for the one that the file states, else degrees.
            kind: One of :data:`pfitre_jax.data.raw.KINDS`; None for counts if the file holds flats, else
                absorption.

        Raises:
            ValueError: If the file is damaged or incomplete, or has no angles.
        """
        ...
