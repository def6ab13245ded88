"""Import of the packages of the extra ``formats``, which only some formats need."""

from __future__ import annotations

import importlib
import re
from importlib import metadata
from types import ModuleType


def import_optional(package: str, what: str, minimum: str | None = None) -> ModuleType:
    """Imports a package of the extra ``formats``.

    Args:
        package: Name of the package.
        what: What needs it, the subject of the message.
        minimum: Oldest version that can be used; None for any.

    Raises:
        ValueError: If it is not installed, or is too old.
        ImportError: If it is installed and cannot be imported.
    """
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        # A package that lacks one of its own packages is a broken installation.
        if error.name != package:
            raise
        raise ValueError(f"{what} needs the package {package}: {_install(package, minimum)}") from error
    if minimum is not None:
        installed = metadata.version(package)
        if _numbers(installed) < _numbers(minimum):
            raise ValueError(
                f"{what} needs the package {package} {minimum} or newer, and {installed} is installed: "
                f"{_install(package, minimum)}"
            )
    return module


def _install(package: str, minimum: str | None) -> str:
    """Command that installs a package."""
    requirement = package if minimum is None else f"'{package}>={minimum}'"
    return (
        f"pip install {requirement}, or those of all formats with pip install '.[formats]' in a copy of the "
        "repository"
    )


def _numbers(version: str) -> tuple[int, ...]:
    """The first numbers of a version, ``(3, 0, 8)`` for "3.0.8.post1"."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
