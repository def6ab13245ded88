"""``pfitre evaluate``: evaluation of a prior on simulated scans."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pfitre_jax.cli import options
from pfitre_jax.cli.app import PRIORS_PANEL, command, command_line
from pfitre_jax.cli.console import print_line, print_paths, print_warnings, progress_bar
from pfitre_jax.cli.errors import computation
from pfitre_jax.cli.options.declaration import flag, option
from pfitre_jax.cli.options.panels import EXECUTION, GEOMETRY, INPUT, METHOD, OUTPUT
from pfitre_jax.cli.options.parsing import parse_number
from pfitre_jax.priors.default import DEFAULT_PRIOR


@command(PRIORS_PANEL)
def evaluate(
    ctx: typer.Context,
    *,
    scenes: Annotated[
        Literal["heldout", "circuits", "ihp", "tile", "images", "battery", "rock"],
        option(
            "--scenes",
            "NAME",
            "Samples of the base case: 'heldout' (circuits of other kinds than in training), 'circuits' (new "
            "circuits of the kinds in training), or held-out files: ihp, tile, images, battery, rock.",
            INPUT,
        ),
    ] = "heldout",
    only: Annotated[
        Literal["orientation", "wedge", "noise", "views", "artifacts", "sources"] | None,
        option(
            "--only",
            "FACTOR",
            "Evaluate the base case and only this factor: wedge, noise, views, artifacts or sources; "
            "'orientation' is the base case alone.",
            INPUT,
            "all factors",
        ),
    ] = None,
    missing: Annotated[
        float,
        option("--missing", "DEG", "Width of the missing wedge in the base case, in degrees.", GEOMETRY),
    ] = 96.0,
    prior: Annotated[
        str, option("--prior", "NAME|PATH", "Learned prior to evaluate.", METHOD)
    ] = DEFAULT_PRIOR,
    iterations: options.Iterations = None,
    rho: options.Rho = None,
    out: Annotated[
        Path,
        option(
            "--out",
            "DIR",
            "Folder for tables, pictures and numbers; an interrupted evaluation resumes from it.",
            OUTPUT,
        ),
    ],
    card: Annotated[
        bool, flag("--card", "Write the scores into the model card of the prior.", OUTPUT)
    ] = False,
    quick: Annotated[
        bool,
        flag("--quick", "Evaluate every factor on few scans: minutes instead of hours.", EXECUTION),
    ] = False,
    baselines: Annotated[
        Path | None,
        option(
            "--baselines",
            "DIR",
            "Folder of a previous evaluation (--out) whose total-variation results are reused.",
            EXECUTION,
            "computed",
        ),
    ] = None,
) -> None:
    """Evaluate a prior on simulated scans of held-out scenes.

    Compares it with total variation at its best weight, in a base case and
    with one factor varied at a time. Writes evaluation.md, evaluation.json,
    evaluation.png and worst.png to DIR. A prior for volumes is evaluated on
    volumes of 12 rows. An interrupted evaluation resumes when the command is
    repeated.

    Example: pfitre evaluate --prior general --quick --out evaluation
    """
    from pfitre_jax import evaluation
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable
    from pfitre_jax.data.folder_lock import lock_folder
    from pfitre_jax.evaluation.finished_cells import CELLS
    from pfitre_jax.evaluation.scenes import VOLUMES, check_source, missing_sources
    from pfitre_jax.priors.files import pretrained
    from pfitre_jax.reconstruction.method_settings import Settings

    names = (*evaluation.REPORT_FILES, evaluation.WORST_FILE)
    check_output_folder(out, names)
    # The cells of an earlier evaluation are the mark of its folder.
    check_replaceable(out, names, overwrite=(out / CELLS).is_dir() or None)
    if not 0 < missing < 180:
        raise ValueError(f"--missing is {missing:g}; expected degrees between 0 and 180")
    if card and only not in (None, "orientation"):
        raise ValueError(
            f"both --card and --only {only} were set; a model card needs the whole evaluation or its base "
            "case (--only orientation)"
        )
    loaded = pretrained(prior)
    joint = loaded.info.reach > 0
    chosen = Settings.create(
        "pfitre", joint=joint, prior=loaded, iterations=iterations, rho=parse_number(rho, "--rho", "auto")
    )
    parameters: dict[str, Any] = {"rho": chosen.rho, "iterations": chosen.iterations}
    settings = evaluation.QUICK if quick else evaluation.FULL
    if joint:
        if scenes not in VOLUMES:
            raise ValueError(
                f"--prior {prior} is a prior for volumes and --scenes {scenes} has slices; expected --scenes "
                f"{' or '.join(VOLUMES)}"
            )
        settings = settings.of_volumes(rows=4, scenes=1) if quick else settings.of_volumes()
    check_source(scenes)
    unavailable = missing_sources(settings.sources)
    if only == "sources" and len(unavailable) == len(settings.sources):
        check_source(unavailable[0])
    sources = tuple(source for source in settings.sources if source not in unavailable)
    settings = dataclasses.replace(settings, missing_deg=missing, source=scenes, sources=sources)
    if only in (None, "sources"):
        print_warnings(f"skipped, its held-out files are not installed: {source}" for source in unavailable)
    where: dict[str, Any] = {"only": only, "folder": out, "baselines": baselines}
    ctx.with_resource(lock_folder(out, command_line(ctx)))
    evaluation.check_evaluation(loaded, settings, **parameters, **where)
    with computation(), progress_bar("evaluating", "cells") as progress:
        records = evaluation.evaluate(loaded, settings, **parameters, **where, progress=progress)
    recorded = {**parameters, "prior": loaded.info.card.get("name")}
    with computation():
        paths = evaluation.write_report(records, settings, recorded, out)
        if card:
            paths += evaluation.write_card(prior, loaded, records, settings, parameters, command_line(ctx))
    with computation(), progress_bar("drawing the scans with the lowest gain", "scans") as progress:
        paths += evaluation.write_worst(loaded, records, settings, out, **parameters, progress=progress)
    print_line(evaluation.markdown(evaluation.summarise(records), settings, recorded))
    print_paths(paths)
