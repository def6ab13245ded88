"""Resumable record of an experiment's results, and its command line.

A record consists of NAME.json (configuration, commit, results), NAME.md (tables) and NAME.png (figure) in one
folder. It is written after every cell. NAME.npz beside it holds the images of the figure; it is needed to
resume a run and is not in the repository.
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
from pfitre_jax.runtime import drop_programs_near_limit

EXPERIMENTS = Path(__file__).resolve().parents[1]

#: Address of a result: keys of nested dictionaries, the outermost first.
Cell = tuple[str, ...]
#: Computes a cell from its keys: the results, and the images by label.
Compute = Callable[..., tuple[dict, dict[str, np.ndarray]]]


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """Record of one configuration in a folder. A record of any other configuration there is ignored.

    Attributes:
        folder: Folder of the files.
        name: Stem of the file names.
        config: Configuration of the experiment, a dataclass.
        tables: Function from results to Markdown.
        picture: Function from results and images to a figure; the images are named
            ``"/".join((*cell, label))``.
        depends: Other things that the results depend on, by name, such as :func:`weight_hashes` or
            :func:`pfitre_dependencies`.
    """

    folder: Path
    name: str
    config: Any
    tables: Callable[[dict], str]
    picture: Callable[[dict, Mapping[str, np.ndarray]], Figure]
    depends: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def results(self) -> dict:
        """Results stored for this configuration: nested dictionaries, one level per key of a cell."""
        path = self.folder / f"{self.name}.json"
        content = json.loads(path.read_text()) if path.exists() else {}
        expected = json.loads(self._fingerprint())
        matches = (content.get("config"), content.get("depends", {})) == (
            expected["config"],
            expected["depends"],
        )
        return content["results"] if matches else {}

    def images(self) -> dict[str, np.ndarray]:
        """Images stored for the figure of this configuration."""
        path = self.folder / f"{self.name}.npz"
        if not path.exists():
            return {}
        with np.load(path) as archive:
            images = dict(archive)
        return images if str(images.pop("config")) == self._fingerprint() else {}

    def _fingerprint(self) -> str:
        return json.dumps({"config": dataclasses.asdict(self.config), "depends": dict(self.depends)})

    def fill(self, cells: Iterable[Cell], compute: Compute, pictured: Collection[Cell] = ()) -> None:
        """Compute the missing cells one by one, and write the record after each.

        Args:
            cells: Cells that the record should hold.
            compute: Computes one cell.
            pictured: Cells whose images the figure shows; they are computed again where images are missing.
        """
        for cell in cells:
            results, images = self.results(), self.images()
            has_images = any(name.startswith("/".join((*cell, ""))) for name in images)
            if get(results, cell) is not None and (has_images or cell not in pictured):
                continue
            drop_programs_near_limit()
            result, new_images = compute(*cell)
            print(*cell, json.dumps(jsonable(result)), flush=True)
            put(results, cell, result)
            images |= {
                "/".join((*cell, label)): image.astype(np.float16) for label, image in new_images.items()
            }
            self._save(results, images)

    def _save(self, results: dict, images: dict[str, np.ndarray]) -> None:
        content = json.loads(self._fingerprint()) | {"commit": commit(), "results": jsonable(results)}
        writers = {
            f"{self.name}.json": lambda path: path.write_text(json.dumps(content, indent=1) + "\n"),
            f"{self.name}.md": lambda path: path.write_text(self.tables(results)),
            f"{self.name}.png": lambda path: _write_png(path, self.picture(results, images)),
        }
        if images:
            archive = {"config": self._fingerprint(), **images}
            writers[f"{self.name}.npz"] = lambda path: _write_npz(path, archive)
        write_files(self.folder, writers)

    def show(self) -> None:
        """Print the tables and the path of the figure."""
        print(self.tables(self.results()))
        print(self.folder / f"{self.name}.png")


def run_experiment(
    name: str,
    options: argparse.Namespace,
    config: Any,
    cells: Collection[Cell],
    measure: Callable[..., tuple[dict, dict[str, np.ndarray]]],
    tables: Callable[[Any, dict], str],
    picture: Callable[[Any, dict, Mapping[str, np.ndarray]], Figure],
    *,
    priors: Collection[str],
    pictured: Collection[Cell] = (),
) -> None:
    """Fill and show the record of an experiment whose functions take the configuration first.

    Args:
        name: Name of the experiment.
        options: Parsed :func:`command_line`.
        config: Configuration of the experiment.
        cells: Cells to compute.
        measure: ``measure(config, *cell)``, computes one cell.
        tables: ``tables(config, results)``, Markdown.
        picture: ``picture(config, results, images)``.
        priors: Names of the priors that ``pfitre`` uses; empty where it is not used.
        pictured: Cells whose images the figure shows.
    """
    record = Record(
        output_folder(name, options),
        name,
        config,
        functools.partial(tables, config),
        functools.partial(picture, config),
        pfitre_dependencies(*priors) if priors else {},
    )
    record.fill(cells, functools.partial(measure, config), pictured)
    record.show()


def get(results: dict, cell: Cell) -> Any:
    """Value stored at a cell, or None."""
    for name in cell:
        if not isinstance(results, dict) or name not in results:
            return None
        results = results[name]
    return results


def put(results: dict, cell: Cell, value: Any) -> None:
    """Store ``value`` at a cell, in place."""
    for name in cell[:-1]:
        results = results.setdefault(name, {})
    results[cell[-1]] = value


def weight_hashes(*priors: str) -> dict[str, str]:
    """Hash of the weights of each prior, by its name."""
    return {name: pf.priors.pretrained(name).info.card.get("sha256", "") for name in sorted(set(priors))}


def pfitre_dependencies(*priors: str) -> dict[str, str]:
    """Weights and default settings that results of ``pfitre`` depend on.

    Constants in the code are not included: remove the results by hand after changing one.
    """
    return weight_hashes(*priors) | {"defaults": json.dumps(find_method("pfitre").defaults, sort_keys=True)}


def commit() -> str:
    """Current commit of the repository; empty outside of one."""
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=EXPERIMENTS
    ).stdout.strip()


def command_line(name: str) -> argparse.ArgumentParser:
    """Parser with ``--preset`` and ``--out``; its help text is the docstring of the configuration."""
    config = importlib.import_module(f"experiments.{name}.config")
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{name}",
        description=config.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--preset", choices=config.PRESETS, default="default", help="size of the experiment")
    parser.add_argument(
        "--out",
        type=Path,
        help="output folder; default: results/ of the experiment, or out/ for other presets",
    )
    return parser


def add_priors(parser: argparse.ArgumentParser) -> None:
    """Adds ``--prior``, which can be repeated; the names are then ``options.priors``, or None."""
    parser.add_argument(
        "--prior",
        dest="priors",
        action="append",
        metavar="NAME|WEIGHTS",
        type=_known_prior,
        help="name or weights file (.npz) of a prior; can be repeated. Default: the shipped ones",
    )


def _known_prior(name: str) -> str:
    if name not in pf.priors.available() and not Path(name).is_file():
        raise argparse.ArgumentTypeError(
            f"{name}: no such prior; expected a name or the file of its weights (.npz)"
        )
    return name


def prior_label(prior: str) -> str:
    """Name of a prior with its shortened hash, because other weights are another prior."""
    card = pf.priors.pretrained(prior).info.card
    return f"{card['name']} {card['sha256'][:8]}"


def output_folder(name: str, options: argparse.Namespace) -> Path:
    """Output folder of a run. Only the default preset writes to the ``results/`` of the experiment."""
    if options.out is not None:
        return options.out
    return (
        EXPERIMENTS / name / "results" if options.preset == "default" else Path("out") / name / options.preset
    )


def _write_png(path: Path, figure: Figure) -> None:
    whole = io.BytesIO()
    figure.savefig(whole, dpi=90)
    palette_image(Image.open(whole).convert("RGB")).save(path, format="png", optimize=True)


def palette_image(image: Image.Image, grays: int = 128) -> Image.Image:
    """RGB image reduced to a palette of evenly spaced grays and up to as many colours.

    The file has half the size, reconstructions show no false steps, and thin curves keep their colours.
    """
    pixels = np.asarray(image).astype(int)
    shades, colours = np.linspace(0, 255, grays).round().astype(int), np.zeros((0, 3), int)
    levels = np.round(pixels.mean(axis=-1) * (grays - 1) / 255).astype(np.uint8)
    colourful = np.ptp(pixels, axis=-1) > 4
    if colourful.any():
        line = Image.fromarray(pixels[colourful].astype(np.uint8)[None])
        # MAXCOVERAGE spans all colours that occur instead of favouring frequent ones: curves are thin.
        line = line.quantize(grays, method=Image.Quantize.MAXCOVERAGE)
        colours = np.reshape(line.getpalette(), (-1, 3))
        levels[colourful] = grays + np.asarray(line)[0]
    reduced = Image.fromarray(levels, mode="P")
    reduced.putpalette(np.concatenate([np.repeat(shades[:, None], 3, axis=1), colours]).ravel().tolist())
    return reduced


def _write_npz(path: Path, arrays: dict) -> None:
    # np.savez appends ".npz" to a path, but not to an open file.
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
