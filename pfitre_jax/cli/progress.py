"""Progress reporting for long commands: notes and a bar for a person, or JSON for a program."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from pfitre_jax.cli import console


class ProgressReporter:
    """Reports notes, warnings, events and progress on stderr.

    Args:
        quiet: Report only warnings.
        as_json: Report everything as JSON, one object per line.
    """

    def __init__(self, quiet: bool = False, as_json: bool = False):
        self.quiet, self.as_json = quiet, as_json
        self._bar: console.MoveBar | None = None

    @property
    def for_person(self) -> bool:
        """Whether notes and progress bars are printed as text."""
        return not (self.quiet or self.as_json)

    def note(self, text: str) -> None:
        """Reports a line of text."""
        if self.for_person:
            console.print_note(text)
        self.event("note", text=text)

    def warn(self, messages: Iterable[str]) -> None:
        """Reports warnings."""
        for text in messages:
            if self.as_json:
                self.event("warning", text=text)
            else:
                console.print_warnings([text])

    def event(self, kind: str, **facts: Any) -> None:
        """Reports an event; printed as JSON only."""
        if self.as_json:
            print(json.dumps({"event": kind, **facts}), file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def bar(self, description: str, transient: bool = False, unit: str = "rows") -> Iterator[console.MoveBar]:
        """Progress bar; see :func:`pfitre_jax.cli.console.progress_bar`."""
        if not self.for_person:
            yield lambda done=None, total=None, description=None: None
            return
        with console.progress_bar(description, unit, transient=transient) as move:
            self._bar = move
            yield move
        self._bar = None

    def rename_bar(self, description: str) -> None:
        """Replaces the text in front of the current bar."""
        if self._bar is not None:
            self._bar(description=description)
