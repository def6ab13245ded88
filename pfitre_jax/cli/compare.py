"""``pfitre compare``: several runs of one scan side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pfitre_jax.cli.app import RECONSTRUCTION_PANEL, command
from pfitre_jax.cli.console import print_note, print_paths
from pfitre_jax.cli.errors import computation, in_options
from pfitre_jax.cli.options.declaration import argument, option
from pfitre_jax.cli.options.panels import OUTPUT
from pfitre_jax.cli.report import check_page


@command(RECONSTRUCTION_PANEL)
def compare(
    folders: Annotated[list[Path], argument("DIR...", "Output folders of 'pfitre recon', two to six.")],
    *,
    out: Annotated[
        Path, option("--out", "HTML", "File for the page, a name that ends in .html.", OUTPUT)
    ] = Path("comparison.html"),
) -> None:
    """Compare runs of one scan: slices, differences and measures on one page.

    All runs have one grey scale and one slider; differences are to the
    first run. Rows that all runs have are compared. Runs of different scans
    are refused.

    Example: pfitre compare learned classical --out comparison.html
    """
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable
    from pfitre_jax.reconstruction.file_names import RESULT_FILES
    from pfitre_jax.reporting import compare_runs, measures, read_run, write_comparison

    check_page(out)
    check_output_folder(out.parent, [out.name])
    check_replaceable(
        out.parent, [out.name], inputs=[folder / name for folder in folders for name in RESULT_FILES]
    )
    comparison = compare_runs([read_run(folder) for folder in folders])
    with computation():
        lines = measures(comparison)
        path = write_comparison(comparison, out, in_options, lines)
    for note in comparison.notes:
        print_note(note)
    table = Table()
    for column in ("", *comparison.labels):
        table.add_column(Text(column), justify="right" if column else "left")
    for line in lines:
        cells = [Text(value, "bold" if k == line.best else "") for k, value in enumerate(line.values)]
        table.add_row(line.label, *cells)
    Console(soft_wrap=True, highlight=False, emoji=False).print(table)
    print_paths([path])
