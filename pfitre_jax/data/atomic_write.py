"""Atomic writing: several files appear in a folder together, or none of them does.

Files are written under temporary names in the same folder and renamed at the end, so that a run that fails
leaves the folder as it was.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def check_output_folder(folder: str | os.PathLike, names: Sequence[str] = ()) -> Path:
    """Checks that files can be written to ``folder``; to be called before a long computation.

    The folder is not created.

    Args:
        folder: Output folder.
        names: Names of the files that will be written.

    Returns:
        The folder as a path.

    Raises:
        NotADirectoryError: If the folder or a part of its path is a file.
        IsADirectoryError: If one of the names is a folder.
        OSError: If nothing can be written, with the class of the cause, such as ``PermissionError``.
    """
    folder = Path(folder)
    existing = folder
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise NotADirectoryError(
            f"the output folder {folder} cannot be created: {existing} is a file; use another output folder"
        )
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise type(error)(
            f"the output folder {folder} cannot be written ({error.strerror}); expected a folder with write "
            "permission: use another output folder"
        ) from error
    for name in names:
        if (folder / name).is_dir():
            raise IsADirectoryError(
                f"{folder / name} is a folder; expected to write a file there: move it, or use "
                "another output folder"
            )
    return folder


def write_files(folder: str | os.PathLike, writers: Mapping[str, Callable[[Path], object]]) -> list[Path]:
    """Writes files into ``folder``, all of them or none; creates the folder.

    Args:
        folder: Output folder.
        writers: For each file name, a function that writes that file to the path it is called with.

    Returns:
        The paths of the files, in the order of ``writers``.

    Raises:
        OSError: If the folder cannot be written, see :func:`check_output_folder`.
    """
    folder = check_output_folder(folder, list(writers))
    folder.mkdir(parents=True, exist_ok=True)
    partial = {name: folder / f".partial-{os.getpid()}-{name}" for name in writers}
    try:
        for name, write in writers.items():
            write(partial[name])
        for name, path in partial.items():
            path.replace(folder / name)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
    return [folder / name for name in writers]
