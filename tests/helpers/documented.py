"""The examples of the documentation: every Python block that has a title is code that runs."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_BLOCK = re.compile(r'^```python title="(?P<title>[^"]+)"\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)


def examples(page: str) -> dict[str, str]:
    """Title -> code of the blocks of a page, such as ``add/solver.md``, in their order."""
    return {match["title"]: match["code"] for match in _BLOCK.finditer((DOCS / page).read_text())}


def run(page: str, *titles: str) -> dict:
    """Runs the blocks ``titles`` of a page, by default all, in one namespace, and returns it."""
    # Dataclasses resolve their annotations in the module of the class.
    module = sys.modules[page] = types.ModuleType(page)
    names = module.__dict__
    blocks = examples(page)
    for title in titles or blocks:
        exec(compile(blocks[title], f"{page}: {title}", "exec", dont_inherit=True), names)
    return names
