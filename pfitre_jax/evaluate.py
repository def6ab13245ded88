"""The judge of priors: scans of simulated scenes that nobody trained on, beside FISTA-TV at its best."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.io.results import write_files
from pfitre_jax.loop import run
from pfitre_jax.metrics import psnr
from pfitre_jax.operators.fbp import fbp
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors import likeness, network
from pfitre_jax.solvers.fista import FISTATV
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.scale import reference_scale
from pfitre_jax.trust.domain import disagreement
from pfitre_jax.twin.artifacts import add_noise
from pfitre_jax.twin.instrument import limited_angle_geometry
from pfitre_jax.twin.projecting import bin_down, project_finely
from pfitre_jax.twin.scenes import circuits
from pfitre_jax.twin.scenes.heldout import KINDS, heldout

#: Half decades; FISTA-TV is given the best of them, by PSNR, for every scene on its own.
WEIGHTS = tuple(10.0 ** (-e / 2) for e in range(10, 3, -1))
# What goes from the summary into a model card.
_SCORES = ("scenes", "psnr", "gain", "gain_by_kind", "gain_by_orientation_deg", "residual_over_noise")
_OTHER = ("residual", "noise_residual", "disagreement")


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """missing_deg: width of the wedge; orientations: of it, evenly spread over 180 degrees; scenes: for each
    orientation; size: pixels and bins; views; noise: sigma over the sinogram's maximum; seed: of the scenes.

    source: "heldout", circuits drawn by rules that no prior is trained on, or "circuits", unseen ones of the
    generator that priors are trained on
    """

    missing_deg: float = 96.0
    orientations: int = 8
    scenes: int = 9
    size: int = 128
    views: int = 51
    noise: float = 0.01
    seed: int = 1000
    fista_iterations: int = 300
    source: str = "heldout"


def evaluate(
    prior: Any,
    settings: EvaluationSettings = EvaluationSettings(),
    *,
    rho: float,
    iterations: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict]:
    """A record for each scene: kind, orientation, PSNR (dB, range 1, inside the support) of each method.

    Scenes are drawn and projected on a grid twice as fine, so that no method is judged on its own
    discretisation. ``noise_residual`` is the noise's norm over the data's: what an ideal residual would be.
    """
    solve = jax.jit(functools.partial(_solve_all, settings=settings, iterations=iterations))
    records = []
    for number in range(settings.orientations):
        orientation = np.pi * number / settings.orientations
        seeds = settings.seed + number * settings.scenes + np.arange(settings.scenes)
        fine, kinds = zip(*(_scene(settings, int(seed)) for seed in seeds), strict=True)
        key = jax.random.key(int(seeds[0]))
        scores = jax.tree.map(
            np.asarray, solve(prior, key, jnp.stack(fine), jnp.asarray(orientation), jnp.asarray(rho))
        )
        for i, (seed, kind) in enumerate(zip(seeds, kinds, strict=True)):
            record = {"seed": int(seed), "kind": kind, "wedge_center_deg": float(np.rad2deg(orientation))}
            best = int(np.argmax(scores["fista"][:, i]))
            record |= {"fista_tv": float(scores["fista"][best, i]), "fista_tv_weight": WEIGHTS[best]}
            record |= {"fista_tv_residual": float(scores["fista_residual"][best, i])}
            for name in ("fbp", "first", "network_once", "pfitre", *_OTHER):
                record[name] = float(scores[name][i])
            record["statistics"] = [float(value) for value in scores["statistics"][i]]
            record["gain"] = record["pfitre"] - record["fista_tv"]
            records.append(record)
        progress(number + 1, settings.orientations)
    return records


def _scene(settings: EvaluationSettings, seed: int):
    """The scene of a seed, drawn twice as fine as it is reconstructed, and its kind."""
    n = 2 * settings.size
    if settings.source == "heldout":
        return heldout(seed, n)
    # Training draws its keys from its own seed and step; these are of another stream.
    key = jax.random.fold_in(jax.random.key(20261), seed)
    return circuits.circuits(key, n), list(circuits.KINDS)[int(circuits.kind_of(key))]


def _solve_all(prior, key, fine, orientation, rho, *, settings: EvaluationSettings, iterations: int):
    geometry, wedge = limited_angle_geometry(
        jnp.deg2rad(settings.missing_deg), orientation, settings.views, settings.size
    )
    truth = jax.vmap(bin_down)(fine)
    clean = jax.vmap(functools.partial(project_finely, geometry))(fine)
    keys = jax.random.split(key, len(fine))
    sinograms = jax.vmap(add_noise, in_axes=(0, 0, None))(keys, clean, settings.noise)
    A = Projector(geometry, (settings.size, settings.size))
    problem = Problem.create(A, sinograms[0], wedge=wedge)
    score = jax.vmap(functools.partial(psnr, support=problem.support))
    blank = jnp.zeros(A.shape, sinograms.dtype)

    def fista(weight, sinogram):
        one = problem.with_sinogram(sinogram)
        solution = run(FISTATV(weight), one, blank, iterations=settings.fista_iterations)
        return solution.value, one.residual(solution.value)

    over_scenes = jax.vmap(fista, in_axes=(None, 0))
    best, best_residual = jax.vmap(over_scenes, in_axes=(0, None))(jnp.asarray(WEIGHTS), sinograms)

    loop = HQS(prior, rho)

    def pfitre(sinogram):
        # Every scene is a scan of its own.
        scale = reference_scale(problem, sinogram[None])
        one = problem.with_sinogram(sinogram / scale)
        first = loop.init(one, blank)
        proposed = prior.denoise(first.x, gradient=first.gradient, wedge=wedge, rho=rho)
        solution = run(loop, one, blank, iterations=iterations)
        x = solution.value
        doubt = disagreement(prior, one, x, rho)
        looks = likeness.statistics(x)
        return first.x * scale, proposed * scale, x * scale, one.residual(x), doubt, looks

    first, once, result, residual, doubt, looks = jax.vmap(pfitre)(sinograms)
    noise = sinograms - clean
    return {
        "fista": jax.vmap(lambda images: score(images, truth))(best),
        "fista_residual": best_residual,
        "fbp": score(jax.vmap(functools.partial(fbp, A))(sinograms), truth),
        "first": score(first, truth),
        "network_once": score(once, truth),
        "pfitre": score(result, truth),
        "residual": residual,
        "disagreement": doubt,
        "statistics": looks,
        "noise_residual": jnp.linalg.norm(noise, axis=(1, 2)) / jnp.linalg.norm(sinograms, axis=(1, 2)),
    }


def summarise(records: list[dict]) -> dict:
    """Means over all scenes, the spread of the gain, and the mean gain of each kind and orientation."""
    gains = np.array([r["gain"] for r in records])
    names = ("fbp", "fista_tv", "network_once", "pfitre")
    ratio = np.array([r["residual"] / r["noise_residual"] for r in records])
    mean = lambda key, value: float(np.mean([r["gain"] for r in records if r[key] == value]))  # noqa: E731
    return {
        "scenes": len(records),
        "psnr": {name: float(np.mean([r[name] for r in records])) for name in names},
        "gain": {
            "mean": float(gains.mean()),
            "median": float(np.median(gains)),
            "smallest": float(gains.min()),
            "largest": float(gains.max()),
            "share_below_0": float(np.mean(gains < 0)),
        },
        "gain_by_kind": {kind: mean("kind", kind) for kind in _kinds(records)},
        "gain_by_orientation_deg": {
            f"{angle:g}": mean("wedge_center_deg", angle)
            for angle in sorted({r["wedge_center_deg"] for r in records})
        },
        "disagreement": {
            "median": float(np.median([r["disagreement"] for r in records])),
            "limit": float(np.quantile([r["disagreement"] for r in records], 0.95)),
        },
        "likeness": likeness.reference([r["statistics"] for r in records])
        if len(records) > likeness.NEIGHBOURS
        else None,
        "residual_over_noise": {"mean": float(ratio.mean()), "largest": float(ratio.max())},
    }


def _kinds(records: list[dict]) -> list[str]:
    present = {r["kind"] for r in records}
    order = [*KINDS, *circuits.KINDS]
    return [kind for kind in dict.fromkeys(order) if kind in present]


def figure(records: list[dict], settings: EvaluationSettings) -> Figure:
    """PSNR of each scene against FISTA-TV's, and the gain by kind of scene."""
    drawing = Figure(figsize=(10, 4), layout="constrained")
    left, right = drawing.subplots(1, 2)
    base, ours = [r["fista_tv"] for r in records], [r["pfitre"] for r in records]
    ends = [min(base + ours) - 1, max(base + ours) + 1]
    left.plot(ends, ends, "k-", lw=0.8)
    left.plot(base, ours, "o", ms=4, alpha=0.7)
    left.set(xlabel="FISTA-TV at its best weight, PSNR dB", ylabel="PFITRE, PSNR dB", xlim=ends, ylim=ends)
    left.set_title(
        f"{settings.missing_deg:g} degrees missing, {settings.views} views, {settings.noise:.1%} noise"
    )
    kinds = _kinds(records)
    right.boxplot([[r["gain"] for r in records if r["kind"] == kind] for kind in kinds], tick_labels=kinds)
    right.axhline(0, color="k", lw=0.8)
    right.tick_params(axis="x", rotation=40)
    right.set(title="gain over FISTA-TV by kind of scene", ylabel="dB")
    return drawing


def save(records: list[dict], settings: EvaluationSettings, parameters: dict, folder) -> list[Path]:
    """Write ``evaluation.json`` and ``evaluation.png`` into ``folder``; returns their paths."""
    content = {
        "settings": dataclasses.asdict(settings),
        "parameters": parameters,
        "summary": summarise(records),
        "records": records,
    }
    writers = {
        "evaluation.json": lambda path: path.write_text(_text(content)),
        "evaluation.png": lambda path: figure(records, settings).savefig(path, dpi=110, format="png"),
    }
    return write_files(folder, writers)


def write_card(
    prior_path, prior, records: list[dict], settings, parameters: dict, command: str
) -> list[Path]:
    """Put the scores, the limit of :func:`disagreement` and what the results look like into a prior's file
    and the card beside it.

    prior_path: name or path that ``prior`` was loaded from
    """
    summary = summarise(records)
    card = {
        **prior.card,
        "scores": {
            "command": command,
            "settings": dataclasses.asdict(settings),
            "parameters": parameters,
            **{name: summary[name] for name in _SCORES},
        },
        "disagreement": summary["disagreement"],
        "likeness": summary["likeness"],
    }
    path = network.locate(prior_path)
    saved = network.save(path, dataclasses.replace(prior, card=card))
    beside = path.with_suffix(".json")
    return [path, *write_files(beside.parent, {beside.name: lambda p: p.write_text(_text(saved.card))})]


def _text(content: dict) -> str:
    return json.dumps(content, indent=2) + "\n"
