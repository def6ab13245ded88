"""What a long command tells: lines and a bar for a person, JSON for a program, or only what is wrong."""

from __future__ import annotations

import contextlib
import json
import sys

from pfitre_jax.cli import console


class Telling:
    """quiet: only warnings; as_json: all on stderr as JSON, one object for each line."""

    def __init__(self, quiet: bool = False, as_json: bool = False):
        self.quiet, self.as_json = quiet, as_json
        self._bar = None

    @property
    def shows(self) -> bool:
        """Whether a person reads along."""
        return not (self.quiet or self.as_json)

    def say(self, text: str) -> None:
        """A line."""
        if self.shows:
            console.say(text)
        self.event("note", text=text)

    def warn(self, messages) -> None:
        """A line for each warning."""
        for text in messages:
            if self.as_json:
                self.event("warning", text=text)
            else:
                console.warn([text])

    def event(self, kind: str, **facts) -> None:
        """For programs alone."""
        if self.as_json:
            print(json.dumps({"event": kind, **facts}), file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def bar(self, what: str, brief: bool = False):
        """Gives the function ``(done, total)`` that moves a bar of rows; see :func:`console.progress_bar`."""
        if not self.shows:
            yield lambda done, total: None
            return
        with console.progress_bar(what, brief=brief) as move:
            self._bar = move
            yield move
        self._bar = None

    def describe(self, what: str) -> None:
        """Another name for the bar that is there."""
        if self._bar is not None:
            self._bar(what=what)
