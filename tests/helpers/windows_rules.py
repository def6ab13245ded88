"""Rules of Windows on Linux, for this process: what a program meets there that it does not meet here.

:func:`apply` is called after other packages are imported and before pfitre_jax is, because only the latter is
under test. Afterwards

- ``sys.platform`` is "win32"; modules and functions that only POSIX has are missing, as are /proc and /sys;
- names with characters that Windows forbids, or that differ from others only by case, cannot be created;
- a file that is open, or mapped into memory, cannot be replaced, renamed or removed, nor can its folder;
- text that is opened without an encoding is an error, because its default encoding differs.
"""

from __future__ import annotations

import builtins
import fcntl
import os
import sys
import types
import warnings
from pathlib import Path

MODULES = ("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog", "posix", "crypt", "nis")
FUNCTIONS = (
    "chown chroot fchmod fchown fork forkpty getgid getgroups getloadavg getpgid getpgrp geteuid getuid "
    "killpg lchown mkfifo mknod nice posix_fallocate posix_spawn pread pwrite sched_getaffinity "
    "sched_setaffinity setsid setuid statvfs sync sysconf uname wait wait3 wait4 O_NOFOLLOW "
    "O_NONBLOCK O_DIRECTORY O_SYNC"
).split()
FORBIDDEN = '<>:"|?*'
RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{k}" for name in ("com", "lpt") for k in range(1, 10))}


def apply() -> None:
    """Applies the rules to this process, for good."""
    lock = fcntl.lockf, fcntl.LOCK_EX | fcntl.LOCK_NB
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    msvcrt = types.ModuleType("msvcrt")
    msvcrt.LK_NBLCK = 2
    msvcrt.locking = lambda descriptor, mode, count: lock[0](
        descriptor, lock[1], count, os.lseek(descriptor, 0, 1)
    )
    sys.modules["msvcrt"] = msvcrt
    # The standard library has another function in its place.
    for name in set(FUNCTIONS) - {"statvfs"}:
        if hasattr(os, name):
            delattr(os, name)
    for name in ("replace", "rename", "unlink", "remove", "rmdir"):
        setattr(os, name, _closed_only(getattr(os, name)))
    sys.addaudithook(_check)
    sys.platform = "win32"


def _closed_only(function):
    def checked(path, *more, **options):
        path = os.fspath(path)
        full = path if options.get("dir_fd") is None else os.path.join(_target(options["dir_fd"]), path)
        used = open_files()
        for name in (full, *(os.fspath(target) for target in more if isinstance(target, str | os.PathLike))):
            name = os.path.realpath(os.fsdecode(name))
            inside = [file for file in used if file == name or file.startswith(name + os.sep)]
            if inside:
                raise PermissionError(13, f"used by this process: {inside[0]}", name)
        return function(path, *more, **options)

    return checked


def open_files() -> set[str]:
    """Files that this process has open or mapped into memory."""
    found = set()
    for descriptor in _listdir("/proc/self/fd"):
        try:
            found.add(_readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            continue
    with _open("/proc/self/maps", encoding="utf-8") as file:
        found |= {line.split(maxsplit=5)[5].rstrip("\n") for line in file if len(line.split(maxsplit=5)) > 5}
    return found


_open, _listdir, _readlink = builtins.open, os.listdir, os.readlink
_own = Path(__file__).resolve()


def _target(descriptor: int) -> str:
    return _readlink(f"/proc/self/fd/{descriptor}")


def _check(event: str, arguments: tuple) -> None:
    if event == "open":
        path, _, flags = arguments
        if not isinstance(path, str | bytes) or sys._getframe(1).f_code.co_filename == str(_own):
            return
        path = os.fsdecode(path)
        if path.startswith(("/proc/", "/sys/")):
            raise FileNotFoundError(2, "no such file on Windows", path)
        if flags is not None and flags & os.O_CREAT:
            _check_name(path)
    elif event in ("os.mkdir", "os.rename"):
        _check_name(os.fsdecode(arguments[0] if event == "os.mkdir" else arguments[1]))


def _check_name(path: str) -> None:
    folder, name = os.path.split(os.path.abspath(path))
    wrong = set(name) & set(FORBIDDEN) or name.endswith((".", " ")) or name.split(".")[0].lower() in RESERVED
    if wrong or len(path) > 259:
        raise OSError(123, "a name that Windows does not allow", path)
    try:
        others = _listdir(folder)
    except OSError:
        return
    if any(other != name and other.lower() == name.lower() for other in others):
        raise OSError(123, "a name that differs only by case", path)


def refuse_default_encodings() -> None:
    """Makes text that pfitre_jax opens without an encoding an error; needs ``-X warn_default_encoding``."""
    assert sys.flags.warn_default_encoding
    warnings.filterwarnings("error", category=EncodingWarning, module=r"pfitre_jax\.")
