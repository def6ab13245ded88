"""What the site needs beyond MkDocs: results of experiments as pages, and docstrings as Markdown."""

from __future__ import annotations

import re
from pathlib import Path

import griffe
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]

#: A parameter's line in a docstring, and a role of it.
_ITEM = re.compile(r"^((?:[a-z]\w*|[A-Z])(?:, \w+)*): ", re.MULTILINE)
_ROLE = re.compile(r":\w+:`([\w.]+)`")


def on_files(files, config):
    """Results of experiments, and notebooks, lie beside the docs, which link to them."""
    shown = (
        "experiments/*/results/*.*",
        "experiments/*/results/*/*.*",
        "notebooks/*.ipynb",
        "benchmarks/results/*.*",
    )
    for path in sorted(path for pattern in shown for path in ROOT.glob(pattern)):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_) -> str:
    """Links out of the docs lead a folder higher than in the site."""
    return re.sub(r"\]\(((?:\.\./)*)\.\./(experiments|notebooks|benchmarks)/", r"](\1\2/", markdown)


class Docstrings(griffe.Extension):
    """Makes Markdown of every docstring, and shows each object once, where it is defined."""

    def on_package(self, *, pkg: griffe.Module, **_) -> None:
        for item in _walk(pkg):
            if item.docstring:
                blocks = item.docstring.value.split("\n\n")
                item.docstring.value = "\n\n".join(_markdown(block, item) for block in blocks)
            if item.is_module:
                item.exports = None


def _walk(item: griffe.Object):
    yield item
    for member in item.members.values():
        if not member.is_alias:
            yield from _walk(member)


def _markdown(block: str, item: griffe.Object) -> str:
    """A paragraph: as it is, or a list of parameters, or code, an example or a table as they stand."""
    if block.startswith((" ", ">>>", "===")):
        return f"```\n{block}\n```"
    if _ITEM.match(block):
        block = _ITEM.sub(r"* **\1**: ", re.sub(r"\n +", " ", block))
    return _ROLE.sub(lambda role: _reference(role[1], item), re.sub(r"::$", ":", block))


def _reference(name: str, item: griffe.Object) -> str:
    """A name as code, linked to its entry where the site has one."""
    path = name
    for scope in (item, item.parent):
        try:
            path = scope.resolve(name)
            break
        except (griffe.NameResolutionError, AttributeError):
            pass
    return f'<autoref optional identifier="{path}"><code>{name.rpartition(".")[2]}</code></autoref>'
