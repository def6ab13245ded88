"""Cases of malformed input, and checks that they are refused at once, in one line, without writing."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import signal
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from pfitre_jax import cli

#: Bytes that one command may allocate for any of these files, and seconds that it may take.
MEMORY, SECONDS = 300 * 2**20, 30
MARK = "executed"


class Bomb:
    """An object that creates a file when it is unpickled."""

    def __reduce__(self):
        return Path.write_text, (Path(MARK), "")


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@functools.cache
def import_library() -> None:
    """Imports the library, so that the seconds that this takes do not count for the first case."""
    for module in ("pfitre_jax.priors.network", "pfitre_jax.reconstruction.resumable_run"):
        importlib.import_module(module)


@contextlib.contextmanager
def limits():
    """Limits the time to :data:`SECONDS` and allocated or requested memory to :data:`MEMORY`."""

    def stop(signum, frame):
        raise TimeoutError(f"not done in {SECONDS} s")

    import_library()
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    tracemalloc.start(1)
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert peak < MEMORY


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Names, sizes and times of all files in a folder, and names of its folders; links are not followed."""
    entries = {}
    for parent, folders, names in os.walk(folder):
        for name in folders + names:
            stat = os.lstat(os.path.join(parent, name))
            # The lock of a run changes the time of the folder that it lies in.
            size_and_time = (0, 0) if name in folders else (stat.st_size, stat.st_mtime_ns)
            entries[os.path.relpath(os.path.join(parent, name), folder)] = size_and_time
    return entries


def pfitre(*args):
    return CliRunner().invoke(cli.app, [str(arg) for arg in args])


def check_refused(done, message: str) -> None:
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr) < 2000
    assert message in done.stderr, done.stderr


class Cases(dict[str, tuple[Callable[[Path], list], str]]):
    """By name: a function that writes a file and returns the arguments of recon, and part of the message."""

    def case(self, name: str, message: str):
        """Decorator that registers the function that writes the input of a case."""

        def register(make):
            assert name not in self
            self[name] = make, message
            return make

        return register


def check_recon_refuses(cases: Cases, name: str, folder: Path, *, kept: bool) -> None:
    """Checks that ``pfitre recon`` refuses a case at once and changes no file.

    Args:
        cases: The cases.
        name: Name of the case.
        folder: Working folder.
        kept: Whether the output folder holds an earlier result.
    """
    make, message = cases[name]
    args = make(folder)
    if "--method" not in args:
        args += ["--method", "cgls"]
    out = "kept" if kept else "new"
    if kept:
        (folder / out).mkdir()
        # Of an earlier run of the program, which may replace it.
        (folder / out / "recon.h5").write_text("pfitre_jax")
    before = contents(folder)
    with limits():
        done = pfitre("recon", *args, "--out", out)
    check_refused(done, message)
    assert not Path(MARK).exists() and contents(folder) == before


def check_inspect_refuses(cases: Cases, name: str, folder: Path) -> None:
    """Checks that ``pfitre inspect`` refuses a case at once and changes no file."""
    make, message = cases[name]
    args = make(folder)
    before = contents(folder)
    with limits():
        done = pfitre("inspect", *args, "--out", "picture.png")
    check_refused(done, message)
    assert not Path(MARK).exists() and contents(folder) == before
