"""Import of the packages of the extra ``formats``, which only some formats need."""

from __future__ import annotations

import importlib
from types import ModuleType


def import_optional(package: str, what: str) -> ModuleType:
    """Imports a package of the extra ``formats``.

    Args:
        package: Name of the package.
        what: What needs it, the subject of the message.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ValueError(
            f"{what} needs the package {package}: pip install {package}, or all formats with pip install "
            "'pfitre_jax[formats]'"
        ) from error
