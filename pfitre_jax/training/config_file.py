"""Training configurations in TOML files.

What a configuration leaves out is as in the one that it comes ``after``, and what a stage leaves out of its
``instrument``, ``scenes`` and ``losses`` is as in the stage before it.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cattrs
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from pfitre_jax.training.config import INHERITED, TrainingConfig

#: Folder of the configurations that the package ships.
CONFIGS = Path(__file__).parent / "configs"


def load_config(path_or_name: str | Path) -> TrainingConfig:
    """Reads a training configuration.

    Args:
        path_or_name: TOML file, or the name of a shipped configuration.

    Raises:
        FileNotFoundError: If there is no such file or configuration.
        ValueError: If the file is not TOML, or has unknown keys or values of the wrong type.
    """
    path, table = _read(path_or_name)
    return structure(_complete_stages(table), path.name)


def structure(table: Mapping[str, Any], source: str, *, unknown_keys: bool = False) -> TrainingConfig:
    """Makes a configuration of nested dictionaries; what they leave out has its default.

    Args:
        table: As TOML or :meth:`TrainingConfig.as_dict` gives it.
        source: Name of the file, for messages.
        unknown_keys: Whether to ignore unknown keys instead of raising.

    Raises:
        ValueError: With the path of every unknown key and every value of the wrong type.
    """
    try:
        return _converter(forbid_extra_keys=not unknown_keys).structure(table, TrainingConfig)
    except (BaseValidationError, TypeError) as error:
        raise ValueError("; ".join(f"{source}: {message}" for message in _messages(error))) from error


def _read(path_or_name: str | Path, later: tuple[Path, ...] = ()) -> tuple[Path, dict[str, Any]]:
    """Path and completed table of a configuration that the configurations ``later`` come after.

    A relative path in a configuration is relative to its folder.
    """
    path = later[-1].parent / path_or_name if later else Path(path_or_name)
    if not path.is_file() and path.suffix == "":
        path = CONFIGS / f"{path.name}.toml"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
        raise FileNotFoundError(
            f"no training configuration at {path_or_name}; expected a TOML file, or one of: {shipped}"
        )
    if path.resolve() in [other.resolve() for other in later]:
        raise ValueError(
            f"{later[-1].name}: after: {str(path_or_name)!r} comes after this configuration itself; expected "
            "another one"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    return path, _append(table, (*later, path))


def _append(table: dict[str, Any], paths: tuple[Path, ...]) -> dict[str, Any]:
    """Completes the table of the last of ``paths`` by the configuration that it comes ``after``."""
    table = dict(table)
    before = table.pop("after", None)
    if before is None:
        return table
    if not isinstance(before, str):
        raise ValueError(f"{paths[-1].name}: after: {before!r}; expected the name of another configuration")
    _, earlier = _read(before, paths)
    both = [name for name in table if isinstance(table[name], dict) and isinstance(earlier.get(name), dict)]
    merged = earlier | table | {name: earlier[name] | table[name] for name in both}
    if isinstance(table.get("stages", []), list):
        merged["stages"] = [*earlier.get("stages", []), *table.get("stages", [])]
    return merged


def _complete_stages(table: dict[str, Any]) -> dict[str, Any]:
    """Completes the tables of each stage by those of the stage before, the first by the configuration's."""
    stages = table.get("stages")
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        return table
    so_far = {name: table[name] for name in INHERITED if isinstance(table.get(name), dict)}
    changed: set[str] = set()
    complete = []
    for stage in stages:
        tables = {name: stage[name] for name in INHERITED if isinstance(stage.get(name), dict)}
        so_far |= {name: so_far.get(name, {}) | values for name, values in tables.items()}
        changed |= set(tables)
        complete.append(
            stage | {name: so_far[name] for name in changed if name not in stage or name in tables}
        )
    return table | {"stages": complete}


def _converter(*, forbid_extra_keys: bool) -> cattrs.Converter:
    """A converter to dataclasses that does not coerce types, except whole numbers to floats."""
    converter = cattrs.Converter()
    for kind, accepted, expected in (
        (bool, bool, "true or false"),
        (int, int, "a whole number"),
        (float, (int, float), "a number"),
        (str, str, "a text in quotes"),
    ):
        converter.register_structure_hook(kind, _scalar(kind, accepted, expected))

    @converter.register_structure_hook_factory(_is_tuple)
    def _(kind: Any, inner: cattrs.Converter) -> Callable[[Any, Any], Any]:
        items = kind.__args__
        many = len(items) == 2 and items[1] is ...

        def convert(value: Any, _: Any) -> tuple[Any, ...]:
            if not isinstance(value, list | tuple):
                raise TypeError(f"{value!r}; expected a list")
            if not many and len(value) != len(items):
                raise TypeError(f"{list(value)}; expected {len(items)} values")
            kinds = [items[0]] * len(value) if many else items
            errors, converted = [], []
            for index, (item, item_kind) in enumerate(zip(value, kinds, strict=True)):
                try:
                    converted.append(inner.structure(item, item_kind))
                except (BaseValidationError, TypeError) as error:
                    error.add_note(IterableValidationNote("", index, item_kind))
                    errors.append(error)
            if errors:
                raise IterableValidationError("list", errors, kind)
            return tuple(converted)

        return convert

    @converter.register_structure_hook_factory(dataclasses.is_dataclass)
    def _(kind: Any, inner: cattrs.Converter) -> Callable[[Any, Any], Any]:
        of_table = make_dict_structure_fn(kind, inner, _cattrs_forbid_extra_keys=forbid_extra_keys)

        def convert(value: Any, _: Any) -> Any:
            if not isinstance(value, Mapping):
                raise TypeError(f"{value!r}; expected a table")
            return of_table(value, kind)

        return convert

    return converter


def _is_tuple(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) is tuple


def _scalar(kind: type, accepted: Any, expected: str) -> Callable[[Any, Any], Any]:
    def convert(value: Any, _: Any) -> Any:
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{value!r}; expected {expected}")
        return kind(value)

    return convert


def _messages(error: BaseException, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields ``path: message`` of every error in a tree of errors."""
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            yield from _messages(inner, _extended(path, inner))
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in dataclasses.fields(error.cl)]
        for name in sorted(error.extra_fields):
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"expected some of {', '.join(sorted(known))}"
            yield f"{', '.join((*path, name))}: unknown; {hint}"
    else:
        yield f"{', '.join(path)}: {error}" if path else str(error)


def _extended(path: tuple[str, ...], error: BaseException) -> tuple[str, ...]:
    """The path of an error: that of the error around it, and the field or the number that its note names."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return (*path, note.name)
        if isinstance(note, IterableValidationNote):
            *outer, last = path
            return (*outer, f"{last} {int(note.index) + 1}")
    return path
