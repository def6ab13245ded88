"""Record of the input files of a run, by which they are recognised: path, size, last change and SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Inputs of more bytes are recorded without a hash, which would take long to compute.
MAX_HASHED_BYTES = 2 * 2**30


def describe_input(path: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Path, size, last change and hash of an input.

    Args:
        path: The input: a file or a folder.
        files: All files that belong to it.

    Returns:
        ``path``, absolute; ``files``, their number; ``bytes``, their size; ``changed_ns``, the time of the
        last change of any of them, nanoseconds since 1970; and ``sha256``: of one file the hash of its
        content, of several files the hash of the output of ``sha256sum`` for their names in alphabetical
        order, and None above :data:`MAX_HASHED_BYTES`.
    """
    status = [file.stat() for file in files]
    size, changed = sum(s.st_size for s in status), max((s.st_mtime_ns for s in status), default=0)
    record: dict[str, Any] = {"path": str(path.resolve()), "files": len(files), "bytes": size}
    record |= {"changed_ns": changed, "sha256": None}
    if size > MAX_HASHED_BYTES:
        return record
    hashes = {file.name: _sha256(file) for file in files}
    if len(files) == 1:
        return record | {"sha256": next(iter(hashes.values()))}
    lines = "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
    return record | {"sha256": hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
