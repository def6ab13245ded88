"""Checks of a file before its contents are read: a regular file whose size fits what it declares."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pfitre_jax.runtime.memory import free_memory

#: Largest plausible ratio of unpacked to stored bytes; only air, or a file that was never filled, exceeds it.
_LARGEST_RATIO = 200
#: Unpacked bytes that are accepted at any ratio.
_ALWAYS_ACCEPTED = 2**26


def check_file(path: str | os.PathLike, expected: str = "a file") -> Path:
    """Checks that ``path`` is a regular file, because reading a pipe or a device could block for ever.

    Args:
        path: The path.
        expected: Description of the expected file, for the message.

    Returns:
        The path.

    Raises:
        FileNotFoundError: If there is nothing at ``path``.
        IsADirectoryError: If it is a folder.
        ValueError: If it is a device or a pipe.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected {expected}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a file")
    if not path.is_file():
        raise ValueError(f"{path} is a device or a pipe; expected a file: copy its contents to one")
    return path


def check_file_or_folder(path: str | os.PathLike) -> Path:
    """As :func:`check_file` for a scan, which may also be a folder."""
    path = Path(path)
    return path if path.is_dir() else check_file(path, "a scan file")


def check_declared_size(path: Path, nbytes: int, content: str, stored: int | None = None) -> None:
    """Checks that a file can hold what its header declares.

    Args:
        path: The file.
        nbytes: Unpacked size by the header, bytes.
        content: Name of the content in the message.
        stored: Size of the file that holds the content, bytes; None for that of ``path``.

    Raises:
        ValueError: If no plausible compression would make it fit.
    """
    stored = path.stat().st_size if stored is None else stored
    if nbytes > max(_LARGEST_RATIO * stored, _ALWAYS_ACCEPTED):
        raise ValueError(
            f"{path} declares {content} of {_readable(nbytes)} but has {_readable(stored)}; expected a file "
            "that holds what it declares: it is damaged or was never filled, copy it again (if the scan "
            "really compresses so well, save it uncompressed)"
        )


def check_memory(path: Path, nbytes: int, content: str) -> None:
    """Checks that ``nbytes`` that are about to be read fit into free memory.

    Raises:
        ValueError: If they do not.
    """
    free = free_memory()
    if free is not None and nbytes > free:
        raise ValueError(
            f"{path} holds {content} of {_readable(nbytes)} but {_readable(free)} of memory are free; "
            "expected less than that: save fewer rows or views, or use a machine with more memory"
        )


def format_names(names: Iterable[str], most: int = 8) -> str:
    """Formats names from a file for a message: a few of them, shortened, without control characters."""
    names = [name if name.isprintable() else ascii(name) for name in names]
    short = [name if len(name) <= 60 else name[:57] + "..." for name in names[:most]]
    return ", ".join(short) + (", ..." if len(names) > most else "")


def _readable(nbytes: int) -> str:
    """Formats a number of bytes with three digits and a unit."""
    size, units = float(nbytes), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:.3g} {units[0]}"
