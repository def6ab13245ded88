"""Several runs of one scan side by side as a page, and their measures as a table."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pfitre_jax.plotting.result_checks import format_resolution
from pfitre_jax.plotting.style import gray_limits
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.reporting.comparison import Comparison, Difference
from pfitre_jax.reporting.finished_run import FinishedRun
from pfitre_jax.reporting.page import render_page, write_page
from pfitre_jax.reporting.report_page import describe_rows, element_text, number, unit, width_text
from pfitre_jax.reporting.slice_images import bin_image, choose_sampling, gray_png, signed_png
from pfitre_jax.reporting.viewer import Viewer, describe_sampling, overview_rows

#: Part of the grey scale that the colours of a difference span on either side of 0.
DIFFERENCE_SPAN = 0.5


@dataclasses.dataclass(frozen=True)
class Measure:
    """One line of the table of a comparison.

    Attributes:
        label: What is measured.
        values: Text for each run.
        best: Index of the best run where the values decide that, else None.
    """

    label: str
    values: Sequence[str]
    best: int | None = None


def write_comparison(
    comparison: Comparison,
    path: str | os.PathLike,
    phrase: Callable[[str], str] = str,
    lines: Sequence[Measure] | None = None,
) -> Path:
    """Writes the page of a comparison and returns its path; see :func:`comparison_page`.

    Args:
        comparison: The runs.
        path: The file.
        phrase: Applied to every sentence that names arguments of the library.
        lines: Its :func:`measures`, if they were computed before.
    """
    return write_page(path, comparison_page(comparison, phrase, lines))


def comparison_page(
    comparison: Comparison, phrase: Callable[[str], str] = str, lines: Sequence[Measure] | None = None
) -> str:
    """A comparison as one HTML page: runs on one grey scale with one slider, and differences to the first.

    Args:
        comparison: The runs.
        phrase: Applied to every sentence that names arguments of the library; the command line replaces
            them by its options.
        lines: Its :func:`measures`, if they were computed before.
    """
    runs, first = comparison.runs, comparison.runs[0].result
    viewer = _viewer(comparison)
    low, high = viewer.limits
    content = {
        "phrase": phrase,
        "name": runs[0].name,
        "subtitle": element_text(first) + f"{len(runs)} runs, {describe_rows(comparison.rows)}",
        "labels": comparison.labels,
        "notes": comparison.notes,
        "viewer": viewer,
        "gray": f"Black is {low:.3g}, white is {high:.3g} {unit(first)}, in all images. A slice is "
        f"{width_text(first)} wide.",
        "span": f"{DIFFERENCE_SPAN * (high - low):.3g} {unit(first)}",
        "measures": measures(comparison) if lines is None else lines,
        "warnings": {
            label: run.result.warnings
            for label, run in zip(comparison.labels, runs, strict=True)
            if run.result.warnings
        },
        "commands": {label: run.command for label, run in zip(comparison.labels, runs, strict=True)},
    }
    return render_page("comparison.html.j2", f"{runs[0].name}: comparison", content)


def measures(comparison: Comparison) -> list[Measure]:
    """The table of a comparison: what each run is, its agreement with the data, and how the runs differ."""
    runs = comparison.runs
    results = [run.result for run in runs]
    differences = [None, *(comparison.difference(k) for k in range(1, len(runs)))]
    units = unit(results[0])

    def line(label: str, value: Callable[[Result], str]) -> Measure:
        return Measure(label, [value(result) for result in results])

    def beside_first(label: str, value: Callable[[Difference], str]) -> Measure:
        return Measure(label, ["" if entry is None else value(entry) for entry in differences])

    return [
        line("method", lambda result: result.label or "unknown"),
        line("prior", lambda result: str(result.parameters.get("prior", "none"))),
        line("iterations, median", lambda result: number(float(np.median(result.iterations)))),
        Measure(
            "relative residual, median of the common rows",
            [number(_median(run, run.result.residual, comparison.rows)) for run in runs],
        ),
        line("residual over the noise", lambda result: _over_noise(result)),
        Measure(
            "supplied component, median of the common rows",
            [_percent(_median(run, run.result.supplied, comparison.rows)) for run in runs],
        ),
        line("out-of-distribution score", _domain_score),
        line("median half width of the intervals", _half_width),
        *(_held_out(results, kind) for kind in ("interpolating", "extrapolating")),
        line("resolution of half sets", _resolution),
        beside_first(f"rms difference to A, {units}", lambda entry: f"{entry.rms:.3g}"),
        beside_first("the same relative to A", lambda entry: _percent(entry.relative)),
        beside_first("correlation with A", lambda entry: f"{entry.correlation:.4f}"),
        beside_first("agrees with A down to a period of", _period),
        line("time for each row", lambda result: _seconds(result, len(result.rows))),
        line("time for all rows", lambda result: _seconds(result, 1)),
        line("warnings", lambda result: str(len(result.warnings))),
    ]


def _median(run: FinishedRun, values: np.ndarray, rows: np.ndarray) -> float:
    chosen = np.asarray(values, float)[np.isin(run.result.rows, rows)]
    return float(np.nanmedian(chosen)) if np.isfinite(chosen).any() else float("nan")


def _domain_score(result: Result) -> str:
    return "no learned prior" if result.domain_score is None else number(result.domain_score)


def _half_width(result: Result) -> str:
    if result.intervals is None:
        return "no intervals"
    return number(result.intervals["median_half_width"]) + (
        "" if result.intervals["holds"] else " (does not hold)"
    )


def _percent(value: float) -> str:
    return f"{value:.1%}" if np.isfinite(value) else "unknown"


def _over_noise(result: Result) -> str:
    chi_square = result.residual_statistics.get("chi_square")
    return "unknown" if chi_square is None else f"{np.sqrt(chi_square):.2g}"


def _held_out(results: Sequence[Result], kind: str) -> Measure:
    """Errors of one set of held-out views; the best run only where all predicted the same views and rows."""
    sets = [None if result.validation is None else result.validation for result in results]
    values = ["not checked" if entry is None else f"{entry[kind]['error']:.4f}" for entry in sets]
    known = [entry for entry in sets if entry is not None]
    same = len(known) == len(sets) and all(
        entry["rows"] == known[0]["rows"] and entry[kind]["views"] == known[0][kind]["views"]
        for entry in known
    )
    best = int(np.argmin([entry[kind]["error"] for entry in known])) if same else None
    return Measure(f"prediction error of {kind} held-out views", values, best)


def _resolution(result: Result) -> str:
    return "not measured" if result.resolution is None else format_resolution(result.resolution["rings"])


def _period(difference: Difference) -> str:
    if difference.period is None:
        return "no agreement"
    return f"{difference.period:.2f} pixels" + (", the limit of the pixels" if difference.period <= 2 else "")


def _seconds(result: Result, share: int) -> str:
    seconds = result.timings.get("seconds_run")
    return "unknown" if seconds is None else f"{seconds / share:.2f} s"


def _viewer(comparison: Comparison) -> Viewer:
    """Layers ``run0``, ``run1``, ... of the runs, and ``difference1``, ... of differences to the first."""
    count, rows = len(comparison.runs), len(comparison.rows)
    sampling = choose_sampling(rows, comparison.shape, 2 * count - 1, rows // 2)
    images: list[list[Any]] = [
        [bin_image(comparison.slice(k, int(row)), sampling.factor) for row in sampling.indices]
        for k in range(count)
    ]
    low, high = gray_limits(np.stack([np.stack(stack) for stack in images]))
    layers: dict[str, Sequence[str]] = {
        f"run{k}": [gray_png(image, low, high) for image in stack] for k, stack in enumerate(images)
    }
    span = DIFFERENCE_SPAN * (high - low)
    for k, stack in enumerate(images[1:], start=1):
        pairs = zip(stack, images[0], strict=True)
        layers[f"difference{k}"] = [signed_png(image - first, span) for image, first in pairs]
    shown = [int(comparison.rows[k]) for k in sampling.indices]
    return Viewer(
        shown,
        [f"row {row}" for row in shown],
        layers,
        int(np.flatnonzero(sampling.indices == rows // 2)[0]),
        (low, high),
        overview_rows(len(shown)),
        describe_sampling(sampling, rows),
    )
