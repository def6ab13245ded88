"""Lock of an output folder: one run at a time writes to it.

The lock is a file in the folder that names its holder. Three means are combined, as each fails somewhere:

* The file is created exclusively, on every file system.
* The holder keeps a lock of the operating system on it, which ends with the process, however that ends. A
  file whose lock is free was left by a run that was killed, and is taken over.
* The holder touches the file every few seconds. Where locks do not reach other machines, which network file
  systems may be configured for, a file of another machine is taken over once nobody touches it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Name of the lock.
LOCK = ".pfitre.lock"
#: Seconds between two touches, and seconds without one after which a lock is taken over.
TOUCH_SECONDS, SILENT_SECONDS = 5.0, 30.0
#: Seconds in which a process that has created the file writes its name into it.
_STARTING_SECONDS = 1.0

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # A byte beyond the end, because locked bytes cannot be read by others.
        os.lseek(descriptor, 2**20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FolderInUse(ValueError):
    """Another run writes to the folder."""


@contextlib.contextmanager
def lock_folder(folder: str | os.PathLike, command: str) -> Iterator[None]:
    """Holds the lock of a folder; creates the folder, and removes it again if it is empty at the end.

    Args:
        folder: Output folder.
        command: Command line, for the message to others.

    Raises:
        FolderInUse: Another run holds the lock.
        OSError: The folder cannot be written.
    """
    path = Path(folder) / LOCK
    created = [parent for parent in path.parents if not parent.exists()]
    descriptor, holder = _acquire(path, command)
    ended = threading.Event()
    touching = threading.Thread(target=_touch, args=(path, holder, ended), name="lock", daemon=True)
    touching.start()
    try:
        yield
    finally:
        ended.set()
        touching.join()
        # A run that was suspended for long may have lost its lock to another one.
        ours = _holder(path) == holder
        # Windows removes only closed files; elsewhere, nobody else must lock the file before it is removed.
        if sys.platform == "win32":
            os.close(descriptor)
        if ours:
            with contextlib.suppress(OSError):
                path.unlink()
        if sys.platform != "win32":
            os.close(descriptor)
        with contextlib.suppress(OSError):
            for parent in created:
                parent.rmdir()


def _acquire(path: Path, command: str) -> tuple[int, dict[str, Any]]:
    """Descriptor of the lock file, which is locked and names this process, and its content."""
    host = socket.gethostname()
    while True:
        descriptor, new = _open(path)
        try:
            local = _try_lock(descriptor)
            holder = _read(descriptor)
            if local is False:
                raise FolderInUse(_message(path, holder))
            if not _is_current(descriptor, path):  # its holder has just removed it
                os.close(descriptor)
                continue
            # The lock of the operating system tells that a holder on this machine has ended; of others, it
            # may not.
            if not new and not (local and holder.get("host") == host):
                if _is_touched(path, SILENT_SECONDS if holder else _STARTING_SECONDS):
                    raise FolderInUse(_message(path, _read(descriptor)))
            started = time.strftime("%Y-%m-%d %H:%M:%S")
            content = {"host": host, "pid": os.getpid(), "started": started, "command": command}
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, json.dumps(content).encode())
            return descriptor, content
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise


def _open(path: Path) -> tuple[int, bool]:
    """Descriptor of the lock file, and whether it was created; a symbolic link is not followed."""
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        for extra, new in ((os.O_CREAT | os.O_EXCL, True), (0, False)):
            # Another run may create or remove file and folder at any time.
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                return os.open(path, flags | extra, 0o644), new


def _try_lock(descriptor: int) -> bool | None:
    """Whether the lock of the operating system was free; None if the file system has no locks."""
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL):
            return None
        return False
    return True


def _is_current(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at its path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _read(descriptor: int) -> dict[str, Any]:
    """The holder; empty if it has not been written yet."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    return _parse(os.read(descriptor, 2**16))


def _holder(path: Path) -> dict[str, Any]:
    """As :func:`_read`, of the file at a path; empty without one."""
    try:
        return _parse(path.read_bytes())
    except OSError:
        return {}


def _parse(content: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _touch(path: Path, holder: dict[str, Any], ended: threading.Event) -> None:
    while not ended.wait(TOUCH_SECONDS):
        with contextlib.suppress(OSError):
            if _holder(path) == holder:
                os.utime(path)


def _is_touched(path: Path, seconds: float) -> bool:
    """Watches the lock file until a running process touches it, or nobody has for some seconds."""
    first, until = _changed(path), time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(seconds / 30)
        if _changed(path) != first:
            return True
    return False


def _changed(path: Path) -> int | None:
    """Time of the last touch; opens the file, because network file systems cache the times of closed ones."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def _message(path: Path, holder: dict[str, Any]) -> str:
    known = "process {pid} on {host}, since {started}: {command}"
    names = ("pid", "host", "started", "command")
    text = known.format(**holder) if all(name in holder for name in names) else "a process that is starting"
    return (
        f"{path.parent} is used by another run ({text}); expected one run for each folder: wait until it has "
        "ended, or use another output folder"
    )
