"""Dataclass fields that are declared from a registry."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)


def add_fields(fields: Iterable[tuple[str, str, Any, str]]) -> Callable[[Class], Class]:
    """Returns a decorator that adds fields to a class and documents them; to be put below ``@dataclass``.

    Args:
        fields: Name, annotation, default and description of each field. The class's own fields come first.

    Raises:
        ValueError: If the class has a field of that name already.
    """

    def decorate(cls: Class) -> Class:
        annotations = dict(inspect.get_annotations(cls))
        lines = []
        for name, annotation, default, description in fields:
            if name in annotations:
                raise ValueError(f"{cls.__name__} has a field {name!r} already; expected another name")
            annotations[name] = annotation
            setattr(cls, name, default)
            lines.append(f"        {name}: {description}")
        cls.__annotations__ = annotations
        documented = (cls.__doc__ or "").rstrip()
        if "Attributes:" not in documented:
            documented += "\n\n    Attributes:"
        cls.__doc__ = "\n".join([documented, *lines, ""])
        return cls

    return decorate
