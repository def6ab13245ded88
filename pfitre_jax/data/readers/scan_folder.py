"""A folder that holds one file for each view."""

from __future__ import annotations

import functools
import re
from pathlib import Path

#: Number of first bytes that are read of each file.
_HEAD_BYTES = 8


def natural_key(path: Path) -> tuple:
    """Key that sorts names with numbers by their value: ``view_9.tif`` before ``view_10.tif``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)


class ScanFolder:
    """A folder and its files.

    Attributes:
        path: Path of the folder.
        members: Its files in natural order, without hidden ones.
    """

    def __init__(self, path: Path):
        self.path = path
        visible = (member for member in path.iterdir() if not member.name.startswith("."))
        self.members = sorted((member for member in visible if member.is_file()), key=natural_key)

    def select(self, magic: tuple[bytes, ...], suffixes: tuple[str, ...]) -> list[Path]:
        """Members with these first bytes, or with one of these suffixes."""
        return [
            member
            for member in self.members
            if member.suffix.lower() in suffixes or (magic and self._heads[member].startswith(magic))
        ]

    @functools.cached_property
    def _heads(self) -> dict[Path, bytes]:
        heads = {}
        for member in self.members:
            with member.open("rb") as file:
                heads[member] = file.read(_HEAD_BYTES)
        return heads
