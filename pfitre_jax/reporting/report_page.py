"""The report of one run as a page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pfitre_jax.plotting.result_checks import format_resolution
from pfitre_jax.reconstruction.result import UNKNOWN, Result
from pfitre_jax.reporting.assessment import assess
from pfitre_jax.reporting.checks import checks_of
from pfitre_jax.reporting.figures import report_figures
from pfitre_jax.reporting.finished_run import FinishedRun
from pfitre_jax.reporting.page import render_page, write_page
from pfitre_jax.reporting.residual_patterns import pattern_table
from pfitre_jax.reporting.viewer import run_viewer
from pfitre_jax.solvers.loop import Status

#: States of checks in words, with a sign that does not depend on colour.
STATES = {
    "good": "✓ good",
    "caution": "⚠ attention",
    "bad": "✗ fails",
    "open": "○ not checked",
    "note": "· note",
}
#: What the right image of the viewer can show, in this order.
MODES = {
    "supplied": "supplied component (shaded)",
    "measured": "measured component alone",
    "interval": "width of the interval (shaded)",
}


def write_report(run: FinishedRun, path: str | os.PathLike, phrase: Callable[[str], str] = str) -> Path:
    """Writes the report of a run and returns its path; see :func:`report_page`.

    Args:
        run: The run.
        path: The file.
        phrase: Applied to every sentence that names arguments of the library.
    """
    return write_page(path, report_page(run, phrase))


def report_page(run: FinishedRun, phrase: Callable[[str], str] = str) -> str:
    """The report of a run as one HTML page.

    Args:
        run: The run.
        phrase: Applied to every sentence that names arguments of the library; the command line replaces
            them by its options.
    """
    result = run.result
    checks = checks_of(run)
    viewer = run_viewer(run)
    low, high = viewer.limits
    modes = {mode: text for mode, text in MODES.items() if mode in viewer.layers}
    chi_square = result.residual_statistics.get("chi_square")
    content = {
        "phrase": phrase,
        "name": run.name,
        "subtitle": element_text(result)
        + f"{result.label or 'method not recorded'}, {describe_rows(result.rows)}, {result.views} "
        f"views, {result.wedge.width_deg:.0f} degrees missing",
        "assessment": assess(run, checks.values()),
        "warnings": result.warnings,
        "viewer": viewer,
        "modes": modes,
        "first": next(iter(modes), ""),
        "gray": f"Black is {low:.3g}, white is {high:.3g} {unit(result)}, in all rows. The image is "
        f"{width_text(result)} wide.",
        "checks": checks,
        "states": STATES,
        "figures": report_figures(run),
        "patterns": pattern_table(result.residual_statistics),
        "chi_square": "unknown" if chi_square is None else f"{chi_square:.3g}",
        "held_out": _held_out(result),
        "resolution": _resolution(result),
        "settings": _settings(result),
        "command": run.command,
        "inputs": run.summary.get("inputs", {}),
        "scan": result.provenance,
        "card": _card(result.prior_card),
        "environment": _environment(run),
        "table": _table(result),
    }
    return render_page("report.html.j2", f"{run.name}: report", content)


def describe_rows(rows: np.ndarray) -> str:
    """Number and range of neighbouring rows (rows,)."""
    return f"row {rows[0]}" if len(rows) == 1 else f"{len(rows)} rows ({rows[0]} to {rows[-1]})"


def element_text(result: Result) -> str:
    """The element of a fluorescence scan, as the start of a list; empty for other scans."""
    element = result.provenance.get("element")
    return "" if element is None else f"element {element}, "


def unit(result: Result) -> str:
    """Unit of the slices."""
    return result.units.replace("um", "µm")


def width_text(result: Result) -> str:
    """Width of a slice in pixels and, where the size of a pixel is known, in micrometres."""
    columns = result.volume.shape[2]
    micrometres = "" if result.pixel_size is None else f" ({columns * result.pixel_size:.3g} µm)"
    return f"{columns} pixels{micrometres}"


def number(value: float | None) -> str:
    """A value with three digits; "unknown" for None and NaN."""
    return "unknown" if value is None or not np.isfinite(value) else f"{value:.3g}"


def _held_out(result: Result) -> dict[str, Any] | None:
    validation = result.validation
    if validation is None:
        return None
    reference = validation["extrapolating"]["fista_tv"] is not None
    keys = {"error": result.method} | ({"fista_tv": "fista-tv"} if reference else {})
    keys |= {"noise_floor": "noise alone"}
    rows = [
        {
            "label": f"{len(validation[kind]['views'])} {kind}",
            "errors": [f"{validation[kind][key]:.4f}" for key in keys],
        }
        for kind in ("interpolating", "extrapolating")
    ]
    return {"columns": list(keys.values()), "rows": rows, "verdict": validation["verdict"]}


def _resolution(result: Result) -> list[dict[str, str]]:
    resolution = result.resolution
    if resolution is None:
        return []
    rows = [{"label": "all directions", "text": format_resolution(resolution["rings"])}]
    for sector in resolution["sectors"]:
        low, high = sector["angle_to_wedge_deg"]
        place = "" if sector["measured"] else " (missing: no resolution, but agreement of what is supplied)"
        label = f"{low:.0f} to {high:.0f} degrees from the middle of the wedge{place}"
        rows.append({"label": label, "text": format_resolution(sector)})
    if resolution["shells"] is not None:
        rows.append({"label": "volume (shells)", "text": format_resolution(resolution["shells"])})
    return rows


def _settings(result: Result) -> dict[str, str]:
    wedge = result.wedge
    size = "unknown" if result.pixel_size is None else f"{result.pixel_size:.4g} µm"
    facts = {
        "method": result.label,
        **{name: _text(value) for name, value in result.parameters.items()},
        "views": f"{result.views}",
        "missing wedge": f"{wedge.width_deg:.1f} degrees wide at {wedge.center_deg:.1f} degrees",
        "rotation axis": f"center {result.center:.5g} of {result.columns} columns, "
        f"roll {result.roll_deg:.3g} degrees",
        "slice": f"{result.volume.shape[2]} x {result.volume.shape[1]} pixels, pixel size {size}",
        "support": f"{result.support_text or 'unknown'}, {result.support.mean():.0%} of the pixels",
        "scale": f"{number(result.scale)} per pixel",
    }
    for name, correction in result.corrections().items():
        unit_of_correction = "columns" if name == "stripes" else "views"
        mean = np.mean(correction[unit_of_correction])
        facts[name] = f"{mean:.1f} {unit_of_correction} per row on average"
    return facts


def _card(card: Mapping[str, Any] | None) -> dict[str, str]:
    if card is None:
        return {}
    hidden = ("gain", "disagreement")
    facts = {name.replace("_", " "): _text(value) for name, value in card.items() if name not in hidden}
    if "gain" in card:
        gain = card["gain"]
        facts["gain over FISTA-TV in its evaluation"] = (
            f"{gain['mean']:+.1f} dB in the mean, {gain['smallest']:+.1f} to {gain['largest']:+.1f}"
        )
    return facts


def _environment(run: FinishedRun) -> dict[str, str]:
    result, times = run.result, run.result.timings
    facts = {"folder": str(run.folder.resolve())}
    if result.device:
        facts["device"] = result.device
    if "seconds_run" in times:
        facts["time"] = (
            f"{times['seconds_run']:.1f} s ({times['seconds_run'] / len(result.rows):.2f} s per row); "
            + ", ".join(
                f"{label} {times[name]:.1f} s"
                for name, label in (
                    ("seconds_prepare", "preparation"),
                    ("seconds_compile", "compiling"),
                    ("seconds_checks", "checks"),
                )
                if name in times
            )
        )
    if result.versions:
        facts["versions"] = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return facts


def _table(result: Result) -> list[dict[str, Any]]:
    return [
        {
            "row": int(result.rows[k]),
            "residual": number(result.residual[k]),
            "supplied": f"{result.supplied[k]:.0%}" if np.isfinite(result.supplied[k]) else "unknown",
            "iterations": int(result.iterations[k]),
            "status": "unknown" if result.status[k] == UNKNOWN else Status(int(result.status[k])).text,
        }
        for k in range(len(result.rows))
    ]


def _text(value: Any) -> str:
    """A recorded value as text: numbers shortened, ranges as "a to b", entries of a mapping in a row."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return (" to " if len(value) == 2 else ", ").join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
