"""Overview of the results of several elements: one file and one picture of all, and their summaries.

Each element has a complete result in a folder of its own. ``recon.h5`` beside these folders links to their
files, so that ``/<element>/exchange/data`` is the volume of an element and nothing is stored twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py

from pfitre_jax.data.atomic_write import check_replaceable, write_files
from pfitre_jax.data.json_values import jsonable
from pfitre_jax.plotting.elements import ElementPanel, draw_elements
from pfitre_jax.plotting.style import save_png
from pfitre_jax.reconstruction.file_names import ELEMENTS, MEASURED, VOLUME
from pfitre_jax.reconstruction.recon_file import SUPPORT
from pfitre_jax.runtime.file_mark import MARK

#: Entries of the summary of an element that are those of all.
_COMMON = ("creator", "identity", "command", "complete", "alignment")


def save_overview(
    folder: str | os.PathLike,
    folders: Mapping[str, Path],
    *,
    title: str,
    extra: Mapping[str, Any] | None = None,
    writers: Mapping[str, Callable[[Path], None]] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Writes ``recon.h5``, ``preview.png`` and ``summary.json`` about results in folders below ``folder``.

    Args:
        folder: Output folder.
        folders: Folder of the result of each element, by its name.
        title: Title of the picture.
        extra: Additional entries of the summary.
        writers: Functions that write further files, by file name.
        overwrite: Whether files that this package did not write are replaced, too.

    Returns:
        The paths of the files.

    Raises:
        OSError: A result cannot be read, or the folder cannot be written.
    """
    folder = Path(folder)
    places = {name: path.relative_to(folder).as_posix() for name, path in folders.items()}
    summaries = {
        name: {"folder": places[name]}
        | {
            key: value
            for key, value in json.loads((path / "summary.json").read_text(encoding="utf-8")).items()
            if key not in _COMMON
        }
        for name, path in folders.items()
    }
    content = {"creator": MARK, "elements": summaries} | dict(extra or {})
    text = json.dumps(jsonable(content), indent=2) + "\n"
    figure = draw_elements([_panel(name, path) for name, path in folders.items()], title)
    all_writers: dict[str, Callable[[Path], Any]] = {
        "recon.h5": lambda path: _write_links(path, places),
        "preview.png": lambda path: save_png(figure, path),
        **dict(writers or {}),
        # Last, because a complete summary states that the results are complete.
        "summary.json": lambda path: path.write_text(text, encoding="utf-8"),
    }
    check_replaceable(folder, all_writers, overwrite=overwrite)
    return write_files(folder, all_writers)


def _write_links(path: Path, places: Mapping[str, str]) -> None:
    """Writes a file with one group for each element, a link to the ``recon.h5`` in its folder."""
    with h5py.File(path, "w") as file:
        file.attrs["creator"] = MARK
        file.attrs[ELEMENTS] = list(places)
        for place in places.values():
            file[place] = h5py.ExternalLink(f"{place}/recon.h5", "/")


def _panel(name: str, folder: Path) -> ElementPanel:
    """The middle slice of an element."""
    with h5py.File(folder / "recon.h5", "r") as file:
        data = file[VOLUME]
        middle = len(data) // 2
        return ElementPanel(
            name=name,
            row=int(data.attrs["row0"]) + middle,
            image=data[middle],
            measured=file[MEASURED][middle],
            support=file[SUPPORT][()],
            units=str(data.attrs["units"]),
        )
