"""What commands say: results on stdout, all else on stderr; and how they fail."""

from __future__ import annotations

import contextlib
import os
import traceback

import typer
from rich.console import Console
from rich.text import Text


class Failure(Exception):
    """What went wrong, its cause, is not the input's fault."""


@contextlib.contextmanager
def work():
    """Solving and writing, once the input is checked: whatever goes wrong here is a failure, exit code 1, but
    for what is refused because it does not fit."""
    try:
        yield
    except Exception as error:
        if getattr(error, "refused", False):
            raise
        raise Failure from error


def message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def named(error: Exception) -> str:
    return f"{type(error).__name__}: {message(error)}"


def fail(error: BaseException, text: str, code: int):
    if os.environ.get("PFITRE_DEBUG"):
        traceback.print_exception(error)
    say(Text.assemble(("error: ", "bold red"), text))
    raise typer.Exit(code) from error


def say(text, style: str | None = None) -> None:
    """A line on stderr, not wrapped: messages are read by programs too."""
    Console(stderr=True, soft_wrap=True, highlight=False, emoji=False).print(text, style=style, markup=False)


def warn(messages) -> None:
    for text in messages:
        say(Text.assemble(("warning: ", "bold yellow"), text))


@contextlib.contextmanager
def progress_bar(what: str, unit: str = "rows", brief: bool = False):
    """A bar on stderr; gives the function ``(done, total)`` that moves it, and with ``what`` renames it.

    brief: is there only between the first move and the end
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TextColumn(unit), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    console = Console(stderr=True)
    hidden = brief and not console.is_terminal
    bar = Progress(*columns, *times, console=console, transient=brief, disable=hidden)
    task = bar.add_task(what, total=None)

    def move(done: int | None = None, total: int | None = None, what: str | None = None) -> None:
        bar.start()
        bar.update(task, completed=done, total=total, description=what)

    if not brief:
        bar.start()
    try:
        yield move
    finally:
        if bar.live.is_started:
            bar.stop()


def describe(scan) -> str:
    wedge = scan.wedge
    center = scan.provenance.get("center", f"{scan.center:g}")
    roll = scan.provenance.get("roll", f"{scan.roll_deg:g} degrees")
    return (
        f"{scan.views} views x {scan.rows} rows x {scan.columns} columns, {wedge.width_deg:.0f} degrees "
        f"missing about {wedge.center_deg:.0f}; center {center}; roll {roll}"
    )


def print_facts(facts: dict[str, str]) -> None:
    """A line for each fact, whole also where it is piped into a file."""
    width = max(map(len, facts))
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    for name, text in facts.items():
        console.print(Text.assemble((name.ljust(width), "bold"), "  ", text))
