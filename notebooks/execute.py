"""Run notebooks at full size and save them as they ran, with their pictures made small.

command: python notebooks/execute.py [NAME.ipynb ...]    # default all; the real chip from PFITRE_DATA
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
sys.path.insert(0, str(FOLDER.parent))

from experiments.common.record import palette_image  # noqa: E402


def run(path: Path) -> nbformat.NotebookNode:
    """The notebook after all its cells ran where a user would run it; a cell that fails raises."""
    notebook = nbformat.read(path, as_version=4)
    paths = [str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]
    # The kernel starts in the folder of the notebooks.
    data = {k: str(Path(v).resolve()) for k, v in os.environ.items() if k == "PFITRE_DATA"}
    client = NotebookClient(notebook, timeout=7200, resources={"metadata": {"path": str(FOLDER)}})
    client.execute(env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | data)
    for cell in notebook.cells:
        # When a cell ran changes with every run, and nobody reads it.
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = smaller(output.data["image/png"])
    return notebook


def smaller(png: str) -> str:
    """A picture, base64, with a palette."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    made = io.BytesIO()
    palette_image(image).save(made, "PNG", optimize=True)
    return base64.b64encode(made.getvalue()).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="*", metavar="NAME.ipynb")
    asked = parser.parse_args().notebooks
    if os.environ.get("PFITRE_SMALL"):
        parser.error("PFITRE_SMALL is set; unset it: notebooks are kept as they ran at full size")
    data = os.environ.get("PFITRE_DATA")
    if not data or not Path(data).is_dir():
        parser.error("PFITRE_DATA names no folder; set it to that of the real scans: each ends with one")
    for path in [FOLDER / Path(name).name for name in asked] or sorted(FOLDER.glob("*.ipynb")):
        if not path.exists():
            parser.error(f"there is no notebook {path.name} in {FOLDER}")
        print(f"{path.name} ...", flush=True)
        notebook = run(path)
        unfinished = path.with_suffix(".partial")
        nbformat.write(notebook, unfinished)
        unfinished.replace(path)


if __name__ == "__main__":
    main()
