"""Calibration and test of intervals; see :mod:`experiments.intervals.config`."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.common.record import command_line, commit
from experiments.intervals.config import PRESETS, Config
from experiments.intervals.real import real_coverage, real_table
from experiments.intervals.scans import (
    Draw,
    available_sources,
    calibration_draws,
    score,
    test_draws,
)
from pfitre_jax.data import jsonable, write_files
from pfitre_jax.priors import DEFAULT_PRIOR, IntervalTable, save_intervals
from pfitre_jax.reconstruction import Intervals, save_classical_table
from pfitre_jax.trust import calibrate_cells, domain_scores, reference_statistics

NAME = "intervals"
#: Share of the true values that the intervals contain.
LEVEL = 0.9

Slices = dict[str, np.ndarray]


def scored(
    config: Config, draws: list[Draw], folder: Path, method: str, prior: Any, intervals: Intervals
) -> Slices:
    """Scores of all draws, one array per quantity; finished scans are read from the folder.

    The domain score is not stored: an evaluation of the prior changes the reference in its card.
    """
    sources, parts = available_sources(config), []
    for number, draw in enumerate(draws):
        path, start = folder / f"{draw.name}.npz", time.perf_counter()
        if not path.exists():
            arrays = score(config, draw, sources, method, prior, intervals)
            write_files(folder, {path.name: functools.partial(_write_arrays, arrays)})
            seconds = time.perf_counter() - start
            print(f"{number + 1}/{len(draws)} {draw.name} {seconds:.1f} s", flush=True)
        with np.load(path) as content:
            parts.append({name: content[name] for name in content.files})
    slices = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    reference = {} if prior is None else prior.info.card.get("likeness", {})
    return with_domain_scores(slices, reference)


def with_domain_scores(slices: Slices, reference: dict) -> Slices:
    """The slices with their domain scores, NaN without a reference."""
    unknown = np.full(len(slices["kind"]), np.nan)
    scores = domain_scores(reference, slices["statistics"]) if reference else unknown
    return slices | {"domain_score": scores}


def _write_arrays(arrays: Slices, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


def in_domain(config: Config, slices: Slices) -> np.ndarray:
    """(slices,), whether the prior knows such images; all without a reference in its card."""
    return ~(slices["domain_score"] > 1) | (not config.domain)


def calibrate(config: Config, slices: Slices, intervals: Intervals, command: str) -> IntervalTable:
    """The table from the calibration slices that are in the domain of the prior, where intervals hold."""
    used, total = np.flatnonzero(in_domain(config, slices)), len(slices["kind"])
    if len(used) < max(config.fewest, total / 4):
        raise SystemExit(
            f"{len(used)} of {total} calibration slices have a domain score of at most 1; expected more: "
            "evaluate the prior first (pfitre evaluate --card), or use --all-scenes"
        )
    cells = calibrate_cells(
        [slices["scores"][k] for k in used],
        slices["wedge_deg"][used],
        slices["estimated_noise"][used],
        wedge_edges=config.wedge_edges,
        noise_edges=config.noise_edges,
        level=LEVEL,
        fewest=config.fewest,
    )
    kinds, counts = np.unique(slices["kind"][used], return_counts=True)
    about = {
        "command": command,
        "commit": commit(),
        "size": config.size,
        "views": list(config.views),
        "settings": dict(config.settings),
        "slices": len(used),
        "scenes": dict(zip(kinds.tolist(), counts.tolist(), strict=True)),
    }
    about = json.loads(json.dumps(about))
    return IntervalTable(LEVEL, intervals.draws, tuple(cells), about, intervals.gradient_weight)


def coverage(table: IntervalTable, slices: Slices) -> tuple[np.ndarray, np.ndarray]:
    """Share of the pixels of each slice whose interval holds the truth, and the factors, (slices,) each."""
    at = zip(slices["wedge_deg"], slices["estimated_noise"], strict=True)
    factors = np.array([table.find(float(w), float(n)).factor for w, n in at])
    return np.mean(slices["scores"] <= factors[:, None], axis=1), factors


def measures(table: IntervalTable, slices: Slices, which: np.ndarray) -> dict[str, float] | None:
    """Coverage, area under the curve, and width of some slices; None where there are none."""
    if not which.any():
        return None
    part = {name: values[which] for name, values in slices.items()}
    covered, factors = coverage(table, part)
    # The constant half width that contains as many true values of these slices.
    constant = np.quantile(part["errors"], covered.mean())
    return {
        "slices": int(which.sum()),
        "coverage": float(covered.mean()),
        "lowest_slice": float(covered.min()),
        "area": float(np.nanmean(part["area"])),
        "width_ratio": float(np.mean(factors * part["mean_scale"]) / constant),
        "half_width": float(np.mean(factors * part["mean_scale"])),
        "estimated_noise": float(np.median(part["estimated_noise"])),
    }


def report(config: Config, table: IntervalTable, slices: Slices) -> dict[str, Any]:
    """Measures of the test: in all, for each wedge and noise, for each kind of scene, out of domain."""
    known = in_domain(config, slices)
    by_cell = {
        f"{wedge:g}": {
            f"{noise:g}": measures(
                table, slices, known & (slices["wedge_deg"] == wedge) & (slices["noise"] == noise)
            )
            for noise in config.test_noise
        }
        for wedge in config.test_wedges
    }
    kinds = np.unique(slices["kind"]).tolist()
    return {
        "all": measures(table, slices, known),
        "out_of_domain": measures(table, slices, ~known),
        "out_of_domain_share": float(np.mean(~known)),
        "out_of_domain_share_of": {k: float(np.mean(~known[slices["kind"] == k])) for k in kinds},
        "cells": by_cell,
        "kinds": {k: measures(table, slices, known & (slices["kind"] == k)) for k in kinds},
    }


def leave_one_kind_out(
    config: Config, calibration: Slices, slices: Slices, intervals: Intervals
) -> dict[str, Any]:
    """Coverage on each kind of scene with a table that was calibrated on all other kinds."""
    found = {}
    for kind in np.unique(slices["kind"]).tolist():
        others = {name: values[calibration["kind"] != kind] for name, values in calibration.items()}
        try:
            table = calibrate(config, others, intervals, "")
        except (ValueError, SystemExit):
            continue
        part = measures(table, slices, in_domain(config, slices) & (slices["kind"] == kind))
        found[kind] = None if part is None else part["coverage"]
    return found


def tables(results: dict[str, Any]) -> str:
    """Markdown."""
    lines = ["| slices | coverage | lowest of a slice | area under the curve | width / constant width |"]
    lines += ["|---|---|---|---|---|"]
    rows = {"in domain": results["all"], "out of domain": results["out_of_domain"]} | results["kinds"]
    for name, part in rows.items():
        if part is not None:
            lines.append(
                f"| {name}, {part['slices']} | {part['coverage']:.1%} | {part['lowest_slice']:.0%} | "
                f"{part['area']:.3f} | {part['width_ratio']:.2f} |"
            )
    noises = list(next(iter(results["cells"].values())))
    lines += ["", "Coverage by wedge and noise:", "", "| wedge | " + " | ".join(noises) + " |"]
    lines.append("|---" * (len(noises) + 1) + "|")
    for wedge, by_noise in results["cells"].items():
        texts = ["" if part is None else f"{part['coverage']:.1%}" for part in by_noise.values()]
        lines.append(f"| {wedge} | " + " | ".join(texts) + " |")
    shares = ", ".join(f"{k} {share:.0%}" for k, share in results["out_of_domain_share_of"].items())
    lines += ["", f"Out of domain: {results['out_of_domain_share']:.0%} ({shares})."]
    if "leave_one_kind_out" in results:
        left = ", ".join(f"{k} {c:.1%}" for k, c in results["leave_one_kind_out"].items() if c is not None)
        lines += ["", f"Coverage on a kind of scene that the table was not calibrated on: {left}."]
    if results.get("real"):
        lines += ["", "Measured scans, cut down, against the image from all views:", ""]
        lines.append(real_table(results["real"]))
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict[str, Any]) -> Figure:
    """Coverage by wedge, a line for each noise level."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    axis.axhspan(0.82, 0.97, color="0.93")
    axis.axhline(LEVEL, color="0.4", lw=0.8)
    for noise in config.test_noise:
        cells = {w: results["cells"][f"{w:g}"][f"{noise:g}"] for w in config.test_wedges}
        shown = {w: part["coverage"] for w, part in cells.items() if part is not None}
        axis.plot(list(shown), list(shown.values()), "o-", ms=4, label=f"noise {noise:.1%}")
    axis.set(xlabel="missing wedge, degrees", ylabel="share of true values in the interval", ylim=(0.6, 1))
    axis.legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    parser = command_line(NAME)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--prior", default=DEFAULT_PRIOR, help="prior of pfitre: its name or weights file")
    chosen.add_argument("--method", help="a method without a prior; the bootstrap is then the only scale")
    parser.add_argument(
        "--intervals",
        choices=("quick", "full"),
        help="default: quick for a prior that predicts its error, else full",
    )
    parser.add_argument(
        "--all-scenes", action="store_true", help="also use slices whose domain score is above 1"
    )
    parser.add_argument("--write", action="store_true", help="write the table into the card or the package")
    parser.add_argument("--real", action="store_true", help="also test on measured scans that are cut down")
    parser.add_argument(
        "--reference",
        action="store_true",
        help="with --write: the results of all calibration scans become the reference of the domain score",
    )
    half = parser.add_mutually_exclusive_group()
    half.add_argument("--skip-test", action="store_true", help="calibrate without the test")
    half.add_argument(
        "--from-card", action="store_true", help="test the table of the card, without calibration"
    )
    options = parser.parse_args()
    if options.from_card and (options.write or options.reference or options.method):
        parser.error(
            "--from-card only tests the table of a prior; leave out --write, --reference and --method"
        )
    config: Config = PRESETS[options.preset]
    if options.all_scenes or options.reference:
        config = dataclasses.replace(config, domain=False)
    method = options.method or "pfitre"
    prior = None if options.method else pf.priors.pretrained(options.prior)
    expected = prior is not None and prior.has_expected_error
    mode = options.intervals or ("quick" if expected else "full")
    if mode == "quick" and not expected:
        parser.error("--intervals quick needs a prior that predicts its expected error; use --intervals full")
    kind = "expected-error" if mode == "quick" else "combined" if expected else "bootstrap"
    draws = 0 if mode == "quick" else config.draws
    intervals = Intervals(kind, draws)
    card = {} if prior is None else prior.info.card
    scans = dataclasses.replace(config, fewest=0, domain=True)
    identity = json.dumps([dataclasses.asdict(scans), method, intervals.digest, card.get("sha256")])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    out = options.out or Path("out") / NAME
    folder = out / f"{method}-{kind}-{digest}"
    command = " ".join(["python -m experiments.intervals", *map(shlex.quote, sys.argv[1:])])

    score_all = functools.partial(scored, folder=folder, method=method, prior=prior, intervals=intervals)
    if options.from_card:
        records = card.get("intervals", {})
        if kind not in records:
            parser.error(f"--from-card: the card of the prior has no table of the kind {kind}")
        table, calibration = IntervalTable.from_record(records[kind]), None
    else:
        calibration = score_all(config, calibration_draws(config))
        table = calibrate(config, calibration, intervals, command)
    for cell in table.cells:
        print(cell)
    if options.write and prior is None:
        save_classical_table(method, table)
    elif options.write:
        likeness = reference_statistics(calibration["statistics"]) if options.reference else None
        print(*save_intervals(options.prior, kind, table, likeness))
    if options.skip_test:
        return
    slices = score_all(config, test_draws(config))
    if options.reference:
        # Intervals hold for results like those of their calibration.
        reference = reference_statistics(calibration["statistics"])
        calibration, slices = (with_domain_scores(part, reference) for part in (calibration, slices))
        config = dataclasses.replace(config, domain=True)
    results = report(config, table, slices)
    if calibration is not None:
        results["leave_one_kind_out"] = leave_one_kind_out(config, calibration, slices, intervals)
    results["table"] = table.record()
    if options.real and prior is not None:
        results["real"] = real_coverage(prior, kind, mode, table)
    content = {"config": dataclasses.asdict(config), "commit": commit(), "results": jsonable(results)}
    writers = {
        f"{NAME}.json": lambda path: path.write_text(json.dumps(content, indent=1) + "\n"),
        f"{NAME}.md": lambda path: path.write_text(tables(results)),
        f"{NAME}.png": lambda path: picture(config, results).savefig(path, format="png", dpi=90),
    }
    write_files(out, writers)
    print(tables(results))


if __name__ == "__main__":
    main()
