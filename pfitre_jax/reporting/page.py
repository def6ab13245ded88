"""Pages from templates: escaping, the style and the script inside the page, and what it may load."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.reconstruction.methods import METHODS
from pfitre_jax.runtime.file_mark import MARK

_TEMPLATES = Path(__file__).resolve().parent / "templates"


@functools.cache
def _environment() -> jinja2.Environment:
    # Names of files and texts of the user are escaped everywhere; an unknown variable is an error.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sentence"] = sentence
    return environment


def sentence(text: str) -> Markup:
    """A text with a capital letter at its start and a full stop at its end; options appear as code.

    The name of a method at the start keeps its spelling.

    >>> sentence("use --align <now>")
    Markup('Use <code>--align</code> &lt;now&gt;.')
    """
    if text.split(" ")[0] not in METHODS:
        text = text[:1].upper() + text[1:]
    ended = text if text.endswith((".", "!", "?")) or not text else f"{text}."
    return Markup(re.sub(r"--[a-z][a-z-]*", r"<code>\g<0></code>", str(escape(ended))))


def render_page(template: str, title: str, content: Mapping[str, Any]) -> str:
    """A page that holds all that it shows.

    The policy in its head allows images inside the page and its own script only: a text of the user that got
    past the escaping would not run, and nothing is loaded from the network.

    Args:
        template: Name of the template.
        title: Title of the page.
        content: Variables of the template.
    """
    script = (_TEMPLATES / "viewer.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = (
        _environment()
        .get_template(template)
        .render(
            mark=MARK,
            title=title,
            version=metadata.version("pfitre_jax"),
            style=Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash=f"sha256-{digest}",
            **content,
        )
    )
    # Names of files may hold bytes that are not UTF-8.
    return text.encode(errors="surrogateescape").decode(errors="replace")


def write_page(path: str | os.PathLike, page: str) -> Path:
    """Writes a page, atomically; returns its path."""
    path = Path(path)
    [written] = write_files(path.parent, {path.name: lambda file: file.write_text(page, encoding="utf-8")})
    return written
