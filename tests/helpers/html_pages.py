"""A page as a tree of elements, and checks of its form."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from html.parser import HTMLParser

import numpy as np
from PIL import Image

VOID = {"meta", "img", "input", "br", "link"}
#: Elements inside a word or a sentence.
INLINE = {"code", "strong", "span"}


@dataclasses.dataclass
class Element:
    """An element of a page: its name, attributes, and the text inside it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


class Page(HTMLParser):
    """A parsed page; an element that is not closed, or closed twice, is an error."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {[element.tag for element in self._open]}"

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open and self._open[-1].tag == tag, f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()
        if tag not in INLINE:
            self.handle_data(" ")

    def handle_data(self, data):
        for element in self._open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Elements with this tag and these attributes (``_`` in a name stands for ``-``)."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [e for e in self.elements if e.tag == tag and wanted.items() <= e.attributes.items()]

    @property
    def text(self) -> str:
        """Text of the page as it is read, without style and scripts."""
        [body] = self.all("body")
        text = body.text
        for script in self.all("script"):
            text = text.replace(script.text, " ")
        return " ".join(text.split())

    @property
    def viewer(self) -> dict:
        """Content of the viewer: ``rows``, ``captions`` and ``layers``."""
        [script] = self.all("script", type="application/json")
        return json.loads(script.text)


def pixels(uri: str) -> np.ndarray:
    """Pixels of an image in a data URI: grey levels, or RGBA for an image in colours."""
    kind, data = uri.split(",", 1)
    assert kind == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    return np.asarray(image if image.mode == "L" else image.convert("RGBA"))
