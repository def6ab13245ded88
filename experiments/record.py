"""What a run leaves behind, and its command line: the same for every experiment.

A record is NAME.json (configuration with its seed, commit, results), NAME.md and NAME.png in one folder,
written whole after every cell. Beside it, in NAME.npz, lie the images that the picture shows: they are for
going on with a run, and not for the repository.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import io
import json
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import pfitre_jax as pf
from pfitre_jax.data import jsonable, write_files
from pfitre_jax.reconstruction import find_method

HERE = Path(__file__).resolve().parent

#: Where a result lies: names of dictionaries in one another, the outermost first.
Cell = tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """The record of one configuration in a folder; what lies there of another one counts as nothing.

    config: a dataclass
    depends: what else the results depend on, by name, such as :func:`hashes` or :func:`of_learned`
    tables: results -> Markdown
    picture: results and images -> figure; images are named ``"/".join((*cell, label))``
    """

    folder: Path
    name: str
    config: Any
    tables: Callable[[dict], str]
    picture: Callable[[dict, Mapping[str, np.ndarray]], Figure]
    depends: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def results(self) -> dict:
        """What is done so far: dictionaries in one another, a level for each name of a cell."""
        path = self.folder / f"{self.name}.json"
        content = json.loads(path.read_text()) if path.exists() else {}
        told = json.loads(self._told())
        same = (content.get("config"), content.get("depends", {})) == (told["config"], told["depends"])
        return content["results"] if same else {}

    def images(self) -> dict[str, np.ndarray]:
        """Those kept for the picture, of this configuration."""
        path = self.folder / f"{self.name}.npz"
        if not path.exists():
            return {}
        with np.load(path) as archive:
            images = dict(archive)
        return images if str(images.pop("config")) == self._told() else {}

    def _told(self) -> str:
        return json.dumps({"config": dataclasses.asdict(self.config), "depends": dict(self.depends)})

    def fill(
        self,
        cells: Iterable[Cell],
        compute: Callable[..., tuple[dict, dict[str, np.ndarray]]],
        pictured: Collection[Cell] = (),
    ) -> None:
        """Compute the cells that are missing, one after the other, and write the record after each.

        compute: names of a cell -> its results, and its images by label where it is one of ``pictured``
        """
        for cell in cells:
            results, images = self.results(), self.images()
            drawn = any(name.startswith("/".join((*cell, ""))) for name in images)
            if get(results, cell) is not None and (drawn or cell not in pictured):
                continue
            made, shown = compute(*cell)
            print(*cell, json.dumps(jsonable(made)), flush=True)
            put(results, cell, made)
            kept = {"/".join((*cell, label)): image.astype(np.float16) for label, image in shown.items()}
            self._save(results, images | kept)

    def _save(self, results: dict, images: dict[str, np.ndarray]) -> None:
        content = json.loads(self._told()) | {"commit": commit(), "results": jsonable(results)}
        writers = {
            f"{self.name}.json": lambda path: path.write_text(json.dumps(content, indent=1) + "\n"),
            f"{self.name}.md": lambda path: path.write_text(self.tables(results)),
            f"{self.name}.png": lambda path: _write_png(path, self.picture(results, images)),
        }
        if images:
            writers[f"{self.name}.npz"] = lambda path: _write_npz(path, {"config": self._told(), **images})
        write_files(self.folder, writers)

    def show(self) -> None:
        """Print the tables and where the picture is."""
        print(self.tables(self.results()))
        print(self.folder / f"{self.name}.png")


def carry_out(
    name: str,
    options: argparse.Namespace,
    config: Any,
    todo: Collection[Cell],
    measure: Callable[..., tuple[dict, dict[str, np.ndarray]]],
    tables: Callable[[Any, dict], str],
    picture: Callable[[Any, dict, Mapping[str, np.ndarray]], Figure],
    *,
    priors: Collection[str],
    pictured: Collection[Cell] = (),
) -> None:
    """Fill the record of an experiment whose functions take its configuration first, and show it.

    options: of :func:`command_line`; todo, pictured: see :meth:`Record.fill`
    priors: names of those that ``pfitre`` is tried with, if it is
    """
    draw, say = functools.partial(picture, config), functools.partial(tables, config)
    depends = of_learned(*priors) if priors else {}
    record = Record(folder(name, options), name, config, say, draw, depends)
    record.fill(todo, functools.partial(measure, config), pictured)
    record.show()


def get(results: dict, cell: Cell) -> Any:
    """What lies at a cell, or None."""
    for name in cell:
        if not isinstance(results, dict) or name not in results:
            return None
        results = results[name]
    return results


def put(results: dict, cell: Cell, value: Any) -> None:
    """Put ``value`` at a cell, in place."""
    for name in cell[:-1]:
        results = results.setdefault(name, {})
    results[cell[-1]] = value


def hashes(*priors: str) -> dict[str, str]:
    """The hash of each prior's weights, by its name."""
    return {name: pf.priors.pretrained(name).info.card.get("sha256", "") for name in sorted(set(priors))}


def of_learned(*priors: str) -> dict[str, str]:
    """What the results of ``pfitre`` depend on and a user may see change: the weights of its priors and its
    defaults. Not the constants in the code: whoever changes these removes the results."""
    return hashes(*priors) | {"defaults": json.dumps(find_method("pfitre").defaults, sort_keys=True)}


def commit() -> str:
    """Of the repository that the experiments lie in."""
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=HERE
    ).stdout.strip()


def command_line(name: str) -> argparse.ArgumentParser:
    """``--preset`` and ``--out`` of an experiment, which may add its own; the help is its configuration's."""
    config = importlib.import_module(f"experiments.{name}.config")
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{name}",
        description=config.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--preset", choices=config.PRESETS, default="default")
    parser.add_argument("--out", type=Path, help="default: results/ of the experiment; other presets: out/")
    return parser


def folder(name: str, options: argparse.Namespace) -> Path:
    """Where a run writes to: what ``results/`` holds comes from the default preset."""
    if options.out is not None:
        return options.out
    return HERE / name / "results" if options.preset == "default" else Path("out") / name / options.preset


def _write_png(path: Path, figure: Figure) -> None:
    whole = io.BytesIO()
    figure.savefig(whole, dpi=90)
    palette_image(Image.open(whole).convert("RGB")).save(path, format="png", optimize=True)


def palette_image(image: Image.Image) -> Image.Image:
    """An RGB image with a palette, half the size: these files stay in the repository's history.

    Half of the palette are evenly spaced grays: no reconstruction gets steps that look like structure. The
    other half are colours, of the curves.
    """
    pixels = np.asarray(image).astype(int)
    grays = np.linspace(0, 255, 128).round().astype(int)
    levels, few = np.round(pixels.mean(axis=-1) * 127 / 255).astype(np.uint8), np.zeros((0, 3), int)
    colourful = np.ptp(pixels, axis=-1) > 4
    if colourful.any():
        line = Image.fromarray(pixels[colourful].astype(np.uint8)[None])
        # Of all that occur, not of the most frequent ones: curves are thin.
        line = line.quantize(128, method=Image.Quantize.MAXCOVERAGE)
        few = np.reshape(line.getpalette(), (-1, 3))
        levels[colourful] = 128 + np.asarray(line)[0]
    made = Image.fromarray(levels, mode="P")
    made.putpalette(np.concatenate([np.repeat(grays[:, None], 3, axis=1), few]).ravel().tolist())
    return made


def _write_npz(path: Path, arrays: dict) -> None:
    # Given a path, NumPy would add a suffix to its name.
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
