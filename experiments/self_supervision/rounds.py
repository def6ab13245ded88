"""Errors of each round of the adaptation beside the true PSNR, which the stop rule is chosen from.

Command:  python -m experiments.self_supervision.rounds layout:12 circuits:9001:53 rods:1 --out FOLDER
          Kinds: layout and circuits (held-out volumes), slice (held-out), rods (a slice of many discs).
Runtime:  about 3 minutes of one core for each scan (oneDNN, bfloat16), without compilation.
Expected: rounds whose error of turned slices falls while held-out views are predicted as before gain PSNR.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import pfitre_jax as pf
from experiments.common.comparison import crop_center
from experiments.common.simulated_volumes import VolumeScans, psnr, simulate
from pfitre_jax.evaluation import Cell, simulate_cell
from pfitre_jax.training import AdaptationSettings, RoundErrors, select_round
from pfitre_jax.twin import bin_down, project_finely

SIZE, ROWS, ROW_STEP, VIEWS, MISSING_DEG, NOISE = 128, 12, 2, 51, 96.0, 0.01
#: Rods of a slice, and the range of their radii, shares of the field.
RODS, RADII = 60, (0.006, 0.014)


def simulated(kind: str, seed: int, center_deg: float) -> tuple[pf.Scan, np.ndarray]:
    """A scan and its truth (rows, n, n); every other row of a volume of 24, or a single slice."""
    tall = ROWS * ROW_STEP
    if kind == "rods":
        return rods(seed, center_deg)
    if kind == "layout":
        volume = simulate(VolumeScans(SIZE, tall, VIEWS, MISSING_DEG, NOISE), seed, layout=True)
        scan, truth = volume.ideal, volume.truth
    else:
        cell = Cell("orientation", "", (), center_deg, MISSING_DEG, VIEWS, NOISE, "heldout", (seed,))
        _, scans = simulate_cell(cell, tall if kind == "circuits" else 1, SIZE)
        theta = np.asarray(scans.problem.A.geometry.theta_rad, float)
        projections = np.moveaxis(np.asarray(scans.sinograms), 0, 1)
        scan, truth = pf.Scan.create(projections, theta, center=(SIZE - 1) / 2), np.asarray(scans.truth)
    picked = range(ROW_STEP // 2, tall, ROW_STEP) if scan.rows > 1 else range(1)
    return scan.take_rows(picked), truth[np.asarray(picked)]


def rods(seed: int, center_deg: float) -> tuple[pf.Scan, np.ndarray]:
    """Scan of one slice of thin rods, whose cross-sections are discs."""
    rng, fine = np.random.default_rng(seed), 2 * SIZE
    axis = np.arange(fine) - (fine - 1) / 2
    image = np.zeros((fine, fine), np.float32)
    for _ in range(RODS):
        radius, (x, y) = rng.uniform(*RADII) * fine, rng.uniform(-0.3, 0.3, 2) * fine
        image[np.hypot(axis - x, axis[:, None] - y) <= radius] = 1
    half = (180 - MISSING_DEG) / 2
    theta = np.deg2rad(np.linspace(-half, half, VIEWS) + center_deg)
    clean = np.asarray(project_finely(pf.ParallelGeometry.create(theta, SIZE), jnp.asarray(image)))
    noisy = clean + NOISE * clean.max() * rng.standard_normal(clean.shape)
    scan = pf.Scan.create(noisy[:, None].astype(np.float32), theta, center=(SIZE - 1) / 2)
    return scan, np.asarray(bin_down(jnp.asarray(image)))[None]


def measure(name: str, settings: AdaptationSettings) -> list[dict]:
    """PSNR and all errors of each round."""
    kind, seed, *center = name.split(":")
    scan, truth = simulated(kind, int(seed), float(center[0]) if center else 0.0)
    scores: list[float] = []

    def observe(images: np.ndarray) -> None:
        scores.append(psnr(crop_center(images, SIZE), truth, scan.geometry()))
        print(name, scores[-1], flush=True)

    adapted = pf.adapt(scan, rows=slice(0, scan.rows), settings=settings, observe=observe)
    print(name, adapted.record["reason"], flush=True)
    return [{"psnr": p} | errors for p, errors in zip(scores, adapted.record["rounds"], strict=True)]


def table(results: dict[str, list[dict]]) -> str:
    """Markdown: one line a round; errors relative to round 0, and the round that the stop rule keeps."""
    lines = [
        "| scan | steps | PSNR | turned | ends | between | in use | domain | s | kept |",
        "|---" * 10 + "|",
    ]
    for name, rounds in results.items():
        first = rounds[0]
        names = [field.name for field in dataclasses.fields(RoundErrors)]
        errors = [RoundErrors(**{name: r[name] for name in names}) for r in rounds]
        chosen = select_round(errors, AdaptationSettings.margin).index
        for number, r in enumerate(rounds):
            keys = ("equivariance", "extrapolated", "interpolated", "residual")
            ratios = " | ".join(f"{r[key] / first[key]:.3f}" for key in keys)
            domain = "" if r["domain_score"] is None else f"{r['domain_score']:.2f}"
            kept = "yes" if number == chosen else ""
            lines.append(
                f"| {name} | {r['steps']} | {r['psnr']:.2f} | {ratios} | {domain} | {r['seconds']:.0f} | "
                f"{kept} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scans", nargs="+", metavar="KIND:SEED[:CENTER_DEG]")
    parser.add_argument("--out", type=Path, required=True, help="folder for rounds.json and rounds.md")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=AdaptationSettings.rate)
    options = parser.parse_args()
    settings = AdaptationSettings(rounds=options.rounds, patience=options.rounds, rate=options.rate)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "rounds.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    for name in options.scans:
        content[name] = measure(name, settings)
        path.write_text(json.dumps(content, indent=1) + "\n")
        (options.out / "rounds.md").write_text(table(content))
    print(table(content))


if __name__ == "__main__":
    main()
