"""What a file must be before its contents are believed: a regular file, as large as what it declares."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

#: No scan packs better: only air does, and files of which next to nothing was written.
_RATIO = 200
#: Bytes that any file may unpack to.
_HARMLESS = 2**26


def check_file(path, expected: str = "a file") -> Path:
    """``path``, a regular file; ``FileNotFoundError``, ``IsADirectoryError`` or ``ValueError`` otherwise.

    Reading a FIFO or a device would wait, or never end.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected {expected}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a file")
    if not path.is_file():
        raise ValueError(f"{path} is a device or a pipe; expected a file: copy what it gives to one")
    return path


def check_declared(path, nbytes: int, what: str, stored: int | None = None) -> None:
    """``ValueError`` where ``what``, ``nbytes`` by its header, cannot be what file ``path`` holds.

    stored: bytes of the file that holds it, default ``path``
    """
    stored = Path(path).stat().st_size if stored is None else stored
    if nbytes > max(_RATIO * stored, _HARMLESS):
        raise ValueError(
            f"{path} declares {what} of {_readable(nbytes)} but has {_readable(stored)}; expected a file "
            "that holds what it declares: it is damaged or was never filled, copy it again (a scan that "
            "really packs so well: save it uncompressed)"
        )


def check_memory(path, nbytes: int, what: str) -> None:
    """``ValueError`` where ``nbytes`` of ``what`` in ``path``, about to be read, do not fit into memory."""
    free = free_memory()
    if free is not None and nbytes > free:
        raise ValueError(
            f"{path} holds {what} of {_readable(nbytes)} but {_readable(free)} of memory are free; expected "
            "less than that: save fewer rows or views of it, or use a machine with more"
        )


def free_memory() -> int | None:
    """Bytes of the host that are free: of the machine, and of the container it may be confined to; ``None``
    where that cannot be told."""
    found = []
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass
    try:
        group = Path("/sys/fs/cgroup")
        most, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        # Pages of files that were read are given back when they are wanted.
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        found.append(int(most) - int(used) + int(stat["inactive_file"]))
    except (OSError, ValueError, KeyError):
        pass
    return max(min(found), 0) if found else None


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names that a file gives, for a message: a few of them, short, none of their characters in control."""
    names = [name if name.isprintable() else ascii(name) for name in names]
    short = [name if len(name) <= 60 else name[:57] + "..." for name in names[:most]]
    return ", ".join(short) + (", ..." if len(names) > most else "")


def _readable(nbytes: int) -> str:
    size, units = float(nbytes), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:.3g} {units[0]}"
