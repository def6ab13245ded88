"""Identity of a run: the inputs and settings that its result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pfitre_jax.data.json_values import jsonable
from pfitre_jax.data.readers.registry import list_files
from pfitre_jax.reconstruction.method_settings import Settings

#: Entry of ``plan.json`` and ``summary.json`` that identifies the run.
IDENTITY = "identity"


def identify(files: Mapping[str, Any], options: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Identity of a run: everything that its result depends on.

    Args:
        files: Input files by role, None for an unused one; identified by path, size and modification time.
        options: Options with which they are read.
        settings: Settings of the method.
    """
    identity = {}
    for name, path in files.items():
        if path is not None:
            identity[name] = _describe_files(Path(path))
    identity |= {name: value for name, value in options.items() if value is not None}
    parameters = {"method": settings.method} | settings.record()
    return jsonable(identity | parameters | {"versions": settings.versions()})


def _describe_files(path: Path) -> str:
    """Path, size and last change of a scan, with all files that belong to it."""
    files = [file.stat() for file in list_files(path)]
    size, change = sum(s.st_size for s in files), max((s.st_mtime_ns for s in files), default=0)
    count = f"{len(files)} files, " if len(files) != 1 else ""
    return f"{path.resolve()}, {count}{size} bytes, changed {change}"


def digest(content: Mapping[str, Any]) -> str:
    """A short hash of the identity or the plan of a run."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def describe_difference(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> str:
    """States in which entries the recorded identity of a run differs from another one, in words."""
    if not old:
        return "its origin is not recorded"
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    value = lambda identity, name: identity.get(name, "not set")  # noqa: E731
    return "; ".join(f"{name} was {value(old, name)}, is {value(new, name)}" for name in names[:4])
