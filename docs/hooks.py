"""MkDocs hooks: files of other folders, pages generated from the code, and roles in docstrings.

- Results of experiments and notebooks lie outside of ``docs/``; they are added to the site.
- ``<!-- commands -->`` and ``<!-- configuration -->`` are replaced by tables of the command line and of the
  training configuration.
- Sphinx roles in docstrings become links.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from pathlib import Path

import griffe
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]

#: Files outside of ``docs/`` that pages link to.
LINKED = (
    "experiments/*/results/*.*",
    "experiments/*/results/*/*.*",
    "notebooks/*.ipynb",
    "benchmarks/results/*.*",
)


def on_files(files, config):
    """Adds the files of :data:`LINKED` to the site."""
    for path in sorted(path for pattern in LINKED for path in ROOT.glob(pattern)):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_) -> str:
    """Fills in the generated tables, and shortens links that leave ``docs/`` by the folder it is in."""
    if "<!-- commands -->" in markdown:
        markdown = markdown.replace("<!-- commands -->", commands())
    if "<!-- configuration -->" in markdown:
        markdown = markdown.replace("<!-- configuration -->", configuration())
    return re.sub(r"\]\(((?:\.\./)*)\.\./(experiments|notebooks|benchmarks)/", r"](\1\2/", markdown)


def commands() -> str:
    """Markdown with one section per command and one table per panel of its options."""
    import typer

    from pfitre_jax.cli import app

    sections = []
    for name, command in typer.main.get_command(app).commands.items():
        arguments = [p for p in command.params if not p.opts[0].startswith("--")]
        words = " ".join(["pfitre", name, *(argument.metavar or "" for argument in arguments), "[OPTIONS]"])
        # A line of the help that is a command is shown as code.
        help_text = re.sub(r"^ *(pfitre .*)$", r"`\1`<br>", inspect.cleandoc(command.help or ""), flags=re.M)
        help_text = help_text.replace("\b\n", "")
        lines = [f"## pfitre {name}", "", f"`{words}`", "", help_text, ""]
        panels: dict[str, list[str]] = {}
        for option in command.params:
            if option.hidden or option.name == "help":
                continue
            title = "Arguments" if option in arguments else option.rich_help_panel or "Options"
            spelling = option.metavar if option in arguments else f"{option.opts[0]} {_values(option)}"
            text = (option.help or "").strip()
            if option.required:
                text = f"{text} Required."
            panels.setdefault(title, []).append(f"| `{spelling.strip()}` | {_cell(text)} |")
        for title, rows in panels.items():
            lines += [f"**{title}**", "", "| | |", "|---|---|", *rows, ""]
        sections.append("\n".join(lines))
    return "\n".join(sections)


def _values(option) -> str:
    """The value that an option takes: nothing for a switch, its choices, or its metavar."""
    if option.is_flag:
        return ""
    if option.metavar:
        return option.metavar
    choices = typing.get_args(option.type_descriptor.annotation)
    return "|".join(str(choice) for choice in choices) or "VALUE"


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table; a ``|`` in code needs no escape."""
    text = " ".join(text.split())
    return text if "`" in text else text.replace("|", "\\|")


def configuration() -> str:
    """Markdown with one table per table of a training configuration."""
    from pfitre_jax.training.config import Stage, TrainingConfig

    hints = typing.get_type_hints(TrainingConfig)
    tables = {
        field.name: hints[field.name]
        for field in dataclasses.fields(TrainingConfig)
        if dataclasses.is_dataclass(hints[field.name])
    } | {"stages": Stage}
    parts = []
    for name, cls in tables.items():
        title = "[[stages]]" if name == "stages" else f"[{name}]"
        texts = attributes(cls)
        rows = [
            f"| `{field.name}` | `{_default(field)}` | {_cell(texts.get(field.name, ''))} |"
            for field in dataclasses.fields(cls)
            if field.init
        ]
        parts.append("\n".join([f"## `{title}`", "", "| key | default | meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def attributes(cls: type) -> dict[str, str]:
    """The ``Attributes:`` section of a class's docstring, name -> text."""
    docstring = griffe.Docstring(inspect.cleandoc(cls.__doc__ or ""))
    return {
        item.name: re.sub(r":\w+:`[^`]*?(\w+)`", r"`\1`", item.description)
        for section in docstring.parse("google", warn_missing_types=False)
        if section.kind is griffe.DocstringSectionKind.attributes
        for item in section.value
    }


def _default(field: dataclasses.Field) -> str:
    """The default of a field as TOML has it."""
    if field.default_factory is not dataclasses.MISSING:
        return ""
    value = field.default
    if isinstance(value, tuple):
        return str(list(value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(value).replace("'", '"')


class Docstrings(griffe.Extension):
    """Turns Sphinx roles and ``::`` into Markdown, and shows each object once, where it is defined."""

    def on_package(self, *, pkg: griffe.Module, **_) -> None:
        for item in _walk(pkg):
            if item.docstring:
                text = re.sub(r"::$", ":", item.docstring.value, flags=re.MULTILINE)
                item.docstring.value = re.sub(
                    r":\w+:`~?([\w.]+)`", lambda role, item=item: _reference(role[1], item), text
                )
            if item.is_module:
                item.exports = None


def _walk(item: griffe.Object):
    yield item
    for member in item.members.values():
        if not member.is_alias:
            yield from _walk(member)


def _reference(name: str, item: griffe.Object) -> str:
    """A name as code, linked to its entry if the site has one."""
    path = name
    for scope in (item, item.parent):
        try:
            path = scope.resolve(name)
            break
        except (griffe.NameResolutionError, AttributeError):
            pass
    return f'<autoref optional identifier="{path}"><code>{name.rpartition(".")[2]}</code></autoref>'
