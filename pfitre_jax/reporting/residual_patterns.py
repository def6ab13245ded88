"""Patterns in the residual in words: what each one indicates, and the argument that helps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class PatternText:
    """Description of a pattern.

    Attributes:
        looks: The pattern in the residual.
        indicates: Fault of the scan that causes it.
        unit: Text after the size of the pattern, and the factor by which the size is multiplied for it.
        remedy: Argument that helps.
    """

    looks: str
    indicates: str
    unit: tuple[str, float]
    remedy: str


#: Descriptions by the names of :data:`pfitre_jax.trust.residuals.LIMITS`.
TEXTS = {
    "columns": PatternText(
        "constant along a column",
        "stripes: errors of the flat field, bad columns",
        (" of the residual", 1),
        "stripes=True",
    ),
    "views": PatternText(
        "derivative of the views, a different multiple in each",
        "displaced views: jitter or drift",
        (" bins", 1),
        "pf.align(scan)",
    ),
    "axis": PatternText(
        "derivative of the views, as from one displacement of all",
        "wrong rotation axis, or a slow drift",
        (" bins", 1),
        "center='auto' or pf.align(scan)",
    ),
    "gains": PatternText(
        "multiple of the views that scatters",
        "unsteady beam, normalisation of single views",
        ("%", 100),
        "gains=True",
    ),
    "absorption": PatternText(
        "multiple of the views that varies slowly with the angle",
        "absorption, beam hardening, drift of the beam",
        ("%", 100),
        "gains=True",
    ),
    "outliers": PatternText(
        "single bins far above the noise", "zingers", ("% of the bins", 100), "robust='student-t'"
    ),
    "edges": PatternText(
        "largest at the edges of the detector",
        "sample beyond the field of view",
        (" times the other columns", 1),
        "support='extended'",
    ),
}


def pattern_table(statistics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table of patterns, faults first.

    Args:
        statistics: :meth:`pfitre_jax.trust.ResidualStatistics.record`; may be empty.

    Returns:
        For each pattern ``looks``, ``indicates``, ``size``, ``remedy`` (texts) and ``fault``.
    """
    rows = []
    for name, pattern in statistics.get("patterns", {}).items():
        if name not in TEXTS:
            continue
        text = TEXTS[name]
        unit, factor = text.unit
        rows.append(
            {
                "looks": text.looks,
                "indicates": text.indicates,
                "size": f"{factor * pattern['size']:.2g}{unit}",
                "remedy": text.remedy,
                "fault": bool(pattern["fault"]),
            }
        )
    return sorted(rows, key=lambda row: not row["fault"])
