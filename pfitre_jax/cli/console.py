"""Output of the commands: results on stdout; notes, warnings and progress bars on stderr."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text


class MoveBar(Protocol):
    """Moves a progress bar; ``description`` replaces its text."""

    def __call__(
        self, done: int | None = None, total: int | None = None, description: str | None = None
    ) -> None:
        """Moves the bar to ``done`` of ``total``."""
        ...


def print_line(text: object) -> None:
    """Prints a line on stdout, without wrapping or markup."""
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    console.print(text if isinstance(text, Text) else str(text), markup=False)


def print_paths(paths: Iterable[Path]) -> None:
    """Prints the paths of written files on stdout, one per line."""
    for path in paths:
        print_line(path)


def print_facts(facts: Mapping[str, str]) -> None:
    """Prints names and values on stdout in two columns."""
    width = max(map(len, facts))
    for name, text in facts.items():
        print_line(Text.assemble((name.ljust(width), "bold"), "  ", text))


def print_note(text: str | Text, style: str | None = None) -> None:
    """Prints a line on stderr; it is not wrapped, so that programs can read it."""
    Console(stderr=True, soft_wrap=True, highlight=False, emoji=False).print(text, style=style, markup=False)


def print_warnings(messages: Iterable[str]) -> None:
    """Prints warnings on stderr, one per line."""
    for text in messages:
        print_note(Text.assemble(("warning: ", "bold yellow"), text))


@contextlib.contextmanager
def progress_bar(description: str, unit: str = "rows", transient: bool = False) -> Iterator[MoveBar]:
    """Progress bar on stderr.

    Args:
        description: Text in front of the bar.
        unit: Unit of the counted steps.
        transient: Whether the bar appears only with the first step and disappears at the end.

    Yields:
        Function that moves the bar.
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
    times = (TextColumn(unit), TimeElapsedColumn(), TextColumn("remaining"), TimeRemainingColumn())
    console = Console(stderr=True)
    disabled = transient and not console.is_terminal
    bar = Progress(*columns, *times, console=console, transient=transient, disable=disabled)
    task = bar.add_task(description, total=None)

    def move(done: int | None = None, total: int | None = None, description: str | None = None) -> None:
        bar.start()
        bar.update(task, completed=done, total=total, description=description)

    if not transient:
        bar.start()
    try:
        yield move
    finally:
        if bar.live.is_started:
            bar.stop()


def describe_scan(scan: Any) -> str:
    """Returns shape, missing wedge, centre, roll and air level of a scan in one line."""
    wedge = scan.wedge
    center = scan.provenance.get("center", f"{scan.center:g}")
    roll = scan.provenance.get("roll", f"{scan.roll_deg:g} degrees")
    air = f"; air level {scan.provenance['air']}, subtracted" if "air" in scan.provenance else ""
    element = f"; element {scan.provenance['element']}" if "element" in scan.provenance else ""
    return (
        f"{scan.views} views x {scan.rows} rows x {scan.columns} columns, missing wedge "
        f"{wedge.width_deg:.0f} degrees wide at {wedge.center_deg:.0f} degrees; center {center}; "
        f"roll {roll}{air}{element}"
    )
