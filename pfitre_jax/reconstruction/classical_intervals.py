"""Calibrated tables of the intervals of methods without a prior."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.priors.interval_table import IntervalTable, tables_from_record

#: Tables of the methods without a prior, by method and kind.
CLASSICAL = Path(__file__).with_name("intervals.json")


@functools.cache
def classical_tables() -> dict[str, dict[str, IntervalTable]]:
    """The tables of the methods without a prior, by method and kind."""
    content = json.loads(CLASSICAL.read_text(encoding="utf-8")) if CLASSICAL.is_file() else {}
    return {method: tables_from_record(record) for method, record in content.items()}


def save_classical_table(method: str, table: IntervalTable, path: Path = CLASSICAL) -> None:
    """Writes the bootstrap table of a method without a prior; another one of this method is replaced.

    Args:
        method: Name in :data:`pfitre_jax.reconstruction.METHODS`.
        table: The table.
        path: The file; by default that of the package.
    """
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    text = json.dumps(content | {method: {"bootstrap": table.record()}}, indent=1) + "\n"
    write_files(path.parent, {path.name: lambda partial: partial.write_text(text, encoding="utf-8")})
    classical_tables.cache_clear()
