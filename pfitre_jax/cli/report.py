"""``pfitre report``: a finished run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pfitre_jax.cli.app import RECONSTRUCTION_PANEL, command
from pfitre_jax.cli.console import print_paths
from pfitre_jax.cli.errors import computation, in_options
from pfitre_jax.cli.options.declaration import argument, option
from pfitre_jax.cli.options.panels import OUTPUT


@command(RECONSTRUCTION_PANEL)
def report(
    folder: Annotated[Path, argument("DIR", "Output folder of 'pfitre recon'.")],
    *,
    out: Annotated[
        Path | None,
        option("--out", "HTML", "File for the report, a name that ends in .html.", OUTPUT, "DIR/report.html"),
    ] = None,
) -> None:
    """Write the report of a result: one HTML page that needs no network.

    The page says first whether the result is good, where not to trust it,
    and what to do. It shows the slices with a slider, what was measured and
    what was supplied, the residual, held-out views, resolution, alignment,
    and the origin of the result. It can be sent, kept and printed.

    Example: pfitre report out
    """
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable
    from pfitre_jax.reconstruction.file_names import REPORT, RESULT_FILES

    path = folder / REPORT if out is None else out
    check_page(path)
    check_output_folder(path.parent, [path.name])
    check_replaceable(path.parent, [path.name], inputs=[folder / name for name in RESULT_FILES])
    print_paths([write_run_report(folder, path)])


def write_run_report(folder: Path, path: Path | None = None) -> Path:
    """Writes the report of the run in a folder, by default into that folder; returns its path."""
    from pfitre_jax.reconstruction.file_names import REPORT
    from pfitre_jax.reporting import read_run, write_report

    run = read_run(folder)
    with computation():
        return write_report(run, folder / REPORT if path is None else path, in_options)


def has_report(folder: Path) -> bool:
    """Whether a folder holds a report, which a new result in it makes obsolete."""
    from pfitre_jax.reconstruction.file_names import REPORT
    from pfitre_jax.runtime.file_mark import has_mark

    return has_mark(folder / REPORT)


def check_page(path: Path) -> None:
    """Checks that a path is the name of an HTML file.

    Raises:
        ValueError: It has another ending.
        IsADirectoryError: It is a folder.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out is {path}; expected an HTML file, a name that ends in .html")
    if path.is_dir():
        raise IsADirectoryError(f"--out is {path}, a folder; expected the name of an HTML file")
