"""A small writer of OLE files (compound files, version 3), for scans of Zeiss microscopes."""

from __future__ import annotations

import struct
from pathlib import Path

SECTOR, MINI, CUTOFF = 512, 64, 4096
END, FREE, FAT, NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 0xFFFFFFFF


def _blocks(content: bytes, size: int) -> list[bytes]:
    return [content[k : k + size].ljust(size, b"\0") for k in range(0, len(content), size)]


def _chain(table: list[int], start: int, count: int) -> int:
    """Appends a chain of ``count`` sectors to an allocation table; returns its first sector."""
    table += [start + k + 1 for k in range(count - 1)] + [END] if count else []
    return start if count else END


def write_ole(path: Path, streams: dict[str, bytes]) -> Path:
    """Writes streams; a name has a storage and a stream: "ImageInfo/Angles"."""
    fat: list[int] = []
    sectors: list[bytes] = []
    mini_fat: list[int] = []
    mini = b""
    starts = {}
    for name, content in streams.items():
        if len(content) < CUTOFF:
            parts = _blocks(content, MINI)
            starts[name] = _chain(mini_fat, len(mini_fat), len(parts))
            mini += b"".join(parts)
        else:
            parts = _blocks(content, SECTOR)
            starts[name] = _chain(fat, len(sectors), len(parts))
            sectors += parts
    mini_parts = _blocks(mini, SECTOR)
    mini_start = _chain(fat, len(sectors), len(mini_parts))
    sectors += mini_parts
    table_parts = _blocks(struct.pack(f"<{len(mini_fat)}I", *mini_fat), SECTOR)
    table_parts = [
        part if k < len(table_parts) - 1 else _free(part, len(mini_fat)) for k, part in enumerate(table_parts)
    ]
    table_start = _chain(fat, len(sectors), len(table_parts))
    sectors += table_parts
    folder = _blocks(_directory(streams, starts, mini_start, len(mini)), SECTOR)
    folder_start = _chain(fat, len(sectors), len(folder))
    sectors += folder
    count = 1
    while count * (SECTOR // 4) < len(fat) + count:
        count += 1
    positions = [len(sectors) + k for k in range(count)]
    fat += [FAT] * count
    fat += [FREE] * (count * SECTOR // 4 - len(fat))
    sectors += _blocks(struct.pack(f"<{len(fat)}I", *fat), SECTOR)
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack(
        "<IIIIIIIII", 0, count, folder_start, 0, CUTOFF, table_start, len(table_parts), END, 0
    )
    header += struct.pack("<109I", *positions, *[FREE] * (109 - count))
    path.write_bytes(header + b"".join(sectors))
    return path


def _free(part: bytes, used: int) -> bytes:
    """Marks the unused entries of the last sector of an allocation table as free."""
    used = (used - 1) % (SECTOR // 4) + 1
    return part[: 4 * used] + struct.pack("<I", FREE) * (SECTOR // 4 - used)


def _directory(streams: dict[str, bytes], starts: dict[str, int], mini_start: int, mini_size: int) -> bytes:
    """Entries: the root, its storages, and their streams, each level a list linked to the right."""
    storages = sorted({name.split("/")[0] for name in streams}, key=_order)
    entries = [("Root Entry", 5, NONE, 1, mini_start, mini_size)]
    members = [
        sorted((n for n in streams if n.split("/")[0] == s), key=lambda n: _order(n.split("/")[1]))
        for s in storages
    ]
    first = 1 + len(storages)
    for k, storage in enumerate(storages):
        right = k + 2 if k + 1 < len(storages) else NONE
        entries.append((storage, 1, right, first, 0, 0))
        first += len(members[k])
    for names in members:
        for k, name in enumerate(names):
            right = len(entries) + 1 if k + 1 < len(names) else NONE
            entries.append((name.split("/")[1], 2, right, NONE, starts[name], len(streams[name])))
    content = b""
    for name, kind, right, child, start, size in entries:
        text = name.encode("utf-16-le") + b"\0\0"
        content += text.ljust(64, b"\0") + struct.pack("<HBBIII", len(text), kind, 1, NONE, right, child)
        content += bytes(36) + struct.pack("<IQ", start, size)
    return content


def _order(name: str) -> tuple[int, str]:
    return len(name), name.upper()
