"""Runs notebooks at full size and saves them with reduced pictures.

python notebooks/execute.py [NAME.ipynb ...]    # default: all; the real chip needs PFITRE_DATA
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parent
#: Bytes above which a picture is reduced in size.
LARGE = 30_000
sys.path.insert(0, str(FOLDER.parent))

from experiments.common.record import palette_image  # noqa: E402


def run(path: Path) -> nbformat.NotebookNode:
    """Notebook after all its cells ran in its own folder; a cell that fails raises."""
    notebook = nbformat.read(path, as_version=4)
    paths = [str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]
    # The kernel starts in the folder of the notebooks.
    data = {k: str(Path(v).resolve()) for k, v in os.environ.items() if k == "PFITRE_DATA"}
    resources = {"metadata": {"path": str(FOLDER)}}
    client = NotebookClient(notebook, timeout=7200, resources=resources, coalesce_streams=True)
    client.execute(env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | data)
    # The version of Python would change the file from machine to machine.
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        # The times of a run would change the file every time.
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = reduce_png(output.data["image/png"])
    return notebook


def reduce_png(png: str) -> str:
    """Base64 PNG with a small palette, and with 3/4 or 3/5 of its size if it is large."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    for scale in (1.0, 0.75, 0.6):
        size = round(scale * image.width), round(scale * image.height)
        file = io.BytesIO()
        palette_image(image.resize(size, Image.Resampling.LANCZOS), grays=64).save(file, "PNG", optimize=True)
        if file.tell() <= LARGE:
            break
    return base64.b64encode(file.getvalue()).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="*", metavar="NAME.ipynb", help="default: all")
    names = parser.parse_args().notebooks
    if os.environ.get("PFITRE_SMALL"):
        parser.error("PFITRE_SMALL is set; unset it: saved notebooks must run at full size")
    data = os.environ.get("PFITRE_DATA")
    if not data or not Path(data).is_dir():
        parser.error("PFITRE_DATA does not name a folder; set it to the folder of the real scans")
    for path in [FOLDER / Path(name).name for name in names] or sorted(FOLDER.glob("*.ipynb")):
        if not path.exists():
            parser.error(f"{path.name}: no such notebook in {FOLDER}")
        print(f"{path.name} ...", flush=True)
        notebook = run(path)
        unfinished = path.with_suffix(".partial")
        nbformat.write(notebook, unfinished)
        unfinished.replace(path)


if __name__ == "__main__":
    main()
