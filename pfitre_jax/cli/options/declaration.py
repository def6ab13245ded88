"""Declaration of an argument or option of a command."""

from __future__ import annotations

from typing import Any

import typer


def argument(metavar: str, help: str, default: str | None = None) -> Any:
    """Returns a positional argument.

    Args:
        metavar: Name that ``--help`` shows.
        help: Full sentence.
        default: Text for a default that is None; without it no default is stated.
    """
    return typer.Argument(metavar=metavar, help=help, show_default=default or False)


def option(name: str, metavar: str, help: str, panel: str, default: str | None = None) -> Any:
    """Returns an option with a value.

    Args:
        name: Name as it is typed.
        metavar: Placeholder or unit of the value.
        help: Full sentence.
        panel: Panel of ``--help``.
        default: Text for a default that is None; any other default is stated as it is.
    """
    return typer.Option(name, metavar=metavar, help=help, rich_help_panel=panel, show_default=default or True)


def flag(name: str, help: str, panel: str) -> Any:
    """Returns an option without a value; see :func:`option`."""
    return typer.Option(name, metavar="", help=help, rich_help_panel=panel, show_default=False)
