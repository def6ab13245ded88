"""Errors of the command line: exit codes, and option names in place of the library's argument names."""

from __future__ import annotations

import contextlib
import os
import re
import traceback
from collections.abc import Iterator
from typing import NoReturn

import typer
from rich.text import Text

from pfitre_jax.cli.console import print_note

#: Arguments of the library and the options that set them; other names follow ``_option``.
_OPTIONS = {
    "theta_rad": "--angles",
    "weight": "--tv-weight",
    "roll_deg": "--roll",
    "limit": "--memory",
    "missing_deg": "--missing",
    "minutes": "--adapt-minutes",
}
#: Further arguments whose option has the same name, with hyphens.
_SAME_NAME = (
    "adapt align align_on alignment angle_unit angles axis_order center columns coordinator data "
    "dataset drift element exclude_views gains intervals iterations joint mask_nan memory method "
    "num_processes overwrite photons pixel_size prior process_id resolution rho robust roll rows scene "
    "scenes stage stripes support theta_path tv_weight validate views weights"
).split()
_SWITCHES = (
    "adapt",
    "align",
    "drift",
    "gains",
    "joint",
    "mask_nan",
    "overwrite",
    "resolution",
    "stripes",
    "validate",
)
_NAMES = "|".join(sorted([*_OPTIONS, *_SAME_NAME], key=len, reverse=True))


class ComputationError(Exception):
    """A failure after the input was accepted; its cause is the original exception. Exit code 1."""


@contextlib.contextmanager
def computation() -> Iterator[None]:
    """Context of work that follows the validation of the input.

    An exception inside it is a failure (exit code 1), except for a lack of memory or disk space that is
    detected before the work starts (exit code 2).
    """
    try:
        yield
    except Exception as error:
        from pfitre_jax.runtime.memory import DoesNotFit

        if isinstance(error, DoesNotFit):
            raise
        raise ComputationError from error


def one_line(error: BaseException) -> str:
    """Returns the message of an exception in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def describe_error(error: BaseException) -> str:
    """Returns the type and message of an exception in one line."""
    return f"{type(error).__name__}: {one_line(error)}"


def in_options(message: str) -> str:
    """Returns a message of the library with options in place of Python arguments.

    Translates an argument that the message starts with (``rho is -1``), that has a value (``joint=True``),
    that is to be left out (``leave rho out``), or that is in a list of settings (``takes no rho``).

    >>> in_options("pixel_size is -1; expected more than 0")
    '--pixel-size is -1; expected more than 0'
    >>> in_options("the prior needs neighbouring rows; pass joint=True")
    'the prior needs neighbouring rows; pass --joint'
    """
    message = message.replace("another output folder", "another --out").replace("pf.align(scan)", "--align")
    message = re.sub(rf"^({_NAMES}) is\b", lambda match: f"{_option(match[1])} is", message)
    message = re.sub(rf"\bleave ({_NAMES}) out\b", lambda match: f"leave {_option(match[1])} out", message)
    message = re.sub(rf"\btakes (?:no )?(?:{_NAMES})(?:, (?:{_NAMES}))*\b", _in_list, message)
    return re.sub(rf"(?<![\w-])({_NAMES})=([^\s,;:)]+)", _with_value, message)


def _option(argument: str) -> str:
    return _OPTIONS.get(argument) or "--" + argument.replace("_", "-")


def _in_list(match: re.Match[str]) -> str:
    return re.sub(rf"\b(?:{_NAMES})\b", lambda name: _option(name[0]), match[0])


def _with_value(match: re.Match[str]) -> str:
    name, value = match.groups()
    if name in _SWITCHES and value == "True":
        return _option(name)
    return f"{_option(name)} {value.strip(chr(34) + chr(39))}"


def exit_with(error: BaseException, message: str, code: int) -> NoReturn:
    """Prints an error message and exits.

    Args:
        error: The exception; its traceback is printed if ``PFITRE_DEBUG`` is set.
        message: One line.
        code: Exit code.
    """
    if os.environ.get("PFITRE_DEBUG"):
        traceback.print_exception(error)
    print_note(Text.assemble(("error: ", "bold red"), message))
    raise typer.Exit(code) from error
