"""``pfitre evaluate``: judge a prior."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from pfitre_jax.cli.app import COMMAND, app
from pfitre_jax.cli.console import progress_bar, warn, work
from pfitre_jax.cli.options import Rho, number


@app.command()
def evaluate(
    ctx: typer.Context,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Tables, figure, numbers; cells that are done, to go on from.")
    ],
    prior: Annotated[str, typer.Option(metavar="NAME|PATH", help="Learned prior to judge.")] = "circuits",
    quick: Annotated[
        bool, typer.Option("--quick", help="Every factor with few scenes: minutes, not hours.")
    ] = False,
    only: Annotated[
        Literal["orientation", "wedge", "noise", "views", "artifacts", "sources"] | None,
        typer.Option(help="The base case and this factor; orientation: the base case alone. Default all."),
    ] = None,
    missing: Annotated[
        float, typer.Option(metavar="DEG", help="Width of the missing wedge in the base case.")
    ] = 96.0,
    scenes: Annotated[
        Literal["heldout", "circuits", "ihp", "tile", "images", "battery", "rock"],
        typer.Option(
            help="Of the base case: circuits by other rules than the training's, unseen ones by the same "
            "rules, or held-out files."
        ),
    ] = "heldout",
    iterations: Annotated[int | None, typer.Option(metavar="N")] = None,
    rho: Rho = None,
    baselines: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The --out for another prior: total variation is taken from there, not run again.",
        ),
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Write the scores into the prior's card.")] = False,
) -> None:
    """Judge a prior on scans of scenes nobody trained on, beside total variation at its best weight.

    One of volumes is judged on volumes of 12 rows, also beside the same rows one by one. A run that was
    stopped goes on in the same DIR.
    """
    import dataclasses

    from pfitre_jax import evaluation as judge
    from pfitre_jax.data.results import check_folder
    from pfitre_jax.evaluation import worst
    from pfitre_jax.evaluation.results import NAMES
    from pfitre_jax.evaluation.scenes import VOLUMES, absent, check_source
    from pfitre_jax.priors.files import pretrained
    from pfitre_jax.reconstruction import methods

    check_folder(out, (*NAMES, worst.NAME))
    if not 0 < missing < 180:
        raise ValueError(f"--missing is {missing:g}; expected degrees between 0 and 180")
    if card and only not in (None, "orientation"):
        raise ValueError(
            f"both --card and --only {only} were given; expected the whole evaluation for a card, or its "
            "base case (--only orientation)"
        )
    loaded = pretrained(prior)
    joint = getattr(loaded, "reach", 0) > 0
    asked = methods.settings(
        "pfitre", joint=joint, prior=loaded, iterations=iterations, rho=number(rho, "--rho", "auto")
    )
    parameters = {"rho": asked["rho"], "iterations": asked["iterations"]}
    settings = judge.QUICK if quick else judge.FULL
    if joint:
        if scenes not in VOLUMES:
            raise ValueError(
                f"{prior} is a prior of volumes, which {scenes} has none of; expected --scenes "
                f"{' or '.join(VOLUMES)}"
            )
        settings = settings.of_volumes(rows=4, scenes=1) if quick else settings.of_volumes()
    check_source(scenes)
    missed = absent(settings.sources)
    if only == "sources" and len(missed) == len(settings.sources):
        check_source(missed[0])
    there = tuple(source for source in settings.sources if source not in missed)
    settings = dataclasses.replace(settings, missing_deg=missing, source=scenes, sources=there)
    if only in (None, "sources"):
        warn(f"left out, the held-out files are not there: {source}" for source in missed)
    where = {"only": only, "folder": out, "baselines": baselines}
    judge.check(loaded, settings, **parameters, **where)
    with work(), progress_bar("evaluating", "cells") as progress:
        records = judge.evaluate(loaded, settings, **parameters, **where, progress=progress)
    command = ctx.find_root().meta[COMMAND]
    with work():
        told = {**parameters, "prior": loaded.card.get("name")}
        paths = judge.save(records, settings, told, out)
        if card:
            paths += judge.write_card(prior, loaded, records, settings, parameters, command)
    with work(), progress_bar("drawing the worst", "scans") as progress:
        paths += worst.save(loaded, records, settings, out, **parameters, progress=progress)
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    console.print(judge.markdown(judge.summarise(records), settings, told), markup=False)
    for path in paths:
        console.print(str(path), markup=False)
