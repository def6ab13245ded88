"""Writing to folders of the user: nothing is lost, and several files appear together or not at all.

Files are written into a temporary folder inside the output folder and renamed at the end, so that a run that
fails leaves the output folder as it was. The temporary folder is created exclusively, with a name that cannot
be predicted and with access for its owner only, so that nobody can put a link where a file will be written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pfitre_jax.runtime.file_mark import has_mark

#: Start of the names of temporary folders.
TEMPORARY = ".partial-"


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
        IsADirectoryError: If one of the names is a folder that this package did not write.
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
        if (folder / name).is_dir() and not has_mark(folder / name):
            raise IsADirectoryError(
                f"{folder / name} is a folder; expected to write a file there: move it, or use "
                "another output folder"
            )
    return folder


def check_replaceable(
    folder: str | os.PathLike,
    names: Iterable[str],
    *,
    inputs: Iterable[str | os.PathLike | None] = (),
    overwrite: bool | None = None,
) -> None:
    """Checks that writing files loses neither an input nor a file that this package did not write.

    Args:
        folder: Output folder.
        names: Names of the files that will be written.
        inputs: Files that are read, None for an unused one. They are never replaced.
        overwrite: Whether files of other programs are replaced; None where the caller has no such option.

    Raises:
        FileExistsError: If a file would be lost.
    """
    read = [Path(path) for path in inputs if path is not None]
    remedy = " or set overwrite=True" if overwrite is False else ""
    for path in (Path(folder) / name for name in names):
        if not os.path.lexists(path):
            continue
        if path.exists() and any(other.exists() and path.samefile(other) for other in read):
            raise FileExistsError(
                f"{path} is an input of this run and would be replaced by its output; the input is never "
                "overwritten: use another output folder or file name"
            )
        if not overwrite and not has_mark(path):
            raise FileExistsError(
                f"{path} was not written by pfitre; expected to replace only its own files: move it, use "
                f"another output folder or file name,{remedy}".rstrip(",")
            )


def write_files(
    folder: str | os.PathLike,
    writers: Mapping[str, Callable[[Path], object]],
    *,
    obsolete: Iterable[str] = (),
) -> list[Path]:
    """Writes files into ``folder``, all of them or none; creates the folder.

    Existing files are replaced, see :func:`check_replaceable`. A symbolic link is replaced, not followed.

    Args:
        folder: Output folder.
        writers: For each file name, a function that writes that file, or a folder, to the path it is called
            with.
        obsolete: Names of files and folders of an earlier result that are removed.

    Returns:
        The paths of the files, in the order of ``writers``.

    Raises:
        OSError: If the folder cannot be written, see :func:`check_output_folder`.
    """
    folder = check_output_folder(folder, list(writers))
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=folder))
    try:
        for name, write in writers.items():
            write(temporary / name)
        _replace(temporary, folder, list(writers), [name for name in obsolete if name not in writers])
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [folder / name for name in writers]


def _replace(temporary: Path, folder: Path, names: Sequence[str], obsolete: Sequence[str]) -> None:
    """Moves new files into the folder, and old folders and obsolete files out of it.

    If a step fails, the files of all earlier steps are restored.
    """
    old = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=temporary))
    try:
        for name in names:
            _keep(folder / name, old / name, move=(temporary / name).is_dir())
            (temporary / name).replace(folder / name)
        for name in obsolete:
            _keep(folder / name, old / name, move=True)
    except BaseException:
        for name in names:
            if not os.path.lexists(temporary / name) and os.path.lexists(folder / name):
                (folder / name).rename(temporary / name)
        for name in (*names, *obsolete):
            if os.path.lexists(old / name) and not os.path.lexists(folder / name):
                (old / name).rename(folder / name)
        raise


def _keep(path: Path, copy: Path, *, move: bool) -> None:
    """Gives a file, if there is one, a second name, under which it remains when it is replaced.

    A folder or a symbolic link is moved there, and every file with ``move``.
    """
    if not os.path.lexists(path):
        return
    if not (move or path.is_dir() or path.is_symlink()):
        # A file that stays in its place is replaced in one step. Some file systems have no second names.
        with contextlib.suppress(OSError):
            os.link(path, copy)
            return
    path.rename(copy)
