"""What an evaluation leaves: numbers, tables, a figure, and the scores in a prior's card."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.evaluation.cells import EvaluationSettings
from pfitre_jax.evaluation.figure import figure
from pfitre_jax.evaluation.scenes import FAMILIES
from pfitre_jax.evaluation.summary import summarise
from pfitre_jax.evaluation.tables import markdown
from pfitre_jax.priors import files
from pfitre_jax.trust import image_statistics

#: The files of :func:`save`.
NAMES = ("evaluation.json", "evaluation.md", "evaluation.png")


def save(records: list[dict], settings: EvaluationSettings, parameters: dict, folder) -> list[Path]:
    """Write :data:`NAMES` into ``folder``; returns their paths.

    parameters: of the method and the prior, as they are to be told
    """
    summary = summarise(records)
    content = {
        "settings": dataclasses.asdict(settings),
        "parameters": parameters,
        "summary": summary,
        "records": records,
    }
    drawing, tables = figure(records, summary, settings), markdown(summary, settings, parameters)
    writers = {
        "evaluation.json": lambda path: path.write_text(_text(content)),
        "evaluation.md": lambda path: path.write_text(tables),
        "evaluation.png": lambda path: drawing.savefig(path, format="png"),
    }
    return write_files(folder, writers)


def write_card(
    prior_path, prior, records: list[dict], settings, parameters: dict, command: str
) -> list[Path]:
    """Put the scores, and what tells a scan that is unlike those the prior knows, into a prior's file and
    the card beside it.

    prior_path: name or path that ``prior`` was loaded from
    """
    scores = summarise(records)
    del scores["disagreement"]
    card = prior.info.card | _domain(prior.info.card, records, settings.rows > 1)
    told = {"command": command, "settings": dataclasses.asdict(settings), "parameters": parameters}
    path = files.locate(prior_path)
    saved = files.save(path, prior.with_card({**card, "scores": told | scores}))
    beside = path.with_suffix(".json")
    return [path, *write_files(beside.parent, {beside.name: lambda p: p.write_text(_text(saved.info.card))})]


def _domain(card: dict, records: list[dict], volumes: bool) -> dict:
    """``disagreement`` and ``likeness`` of all scans of the kinds of scenes that a prior was trained on,
    without artifacts, of volumes those of circuits; nothing, so that a card keeps what it has, where one of
    these kinds was not scanned."""
    config = card.get("config", {})
    mixtures = [config.get("scenes"), *(stage.get("scenes") for stage in config.get("stages", []))]
    trained = {family for mixture in mixtures for family, weight in (mixture or {}).items() if weight > 0}
    of_files = set() if volumes else trained.intersection(FAMILIES.values())
    known = {"circuits", *of_files}
    scanned = [(FAMILIES.get(r["source"], "circuits"), r) for r in records if not r["artifact"]]
    like = [r for family, r in scanned if family in known]
    if not known <= {family for family, _ in scanned} or len(like) <= image_statistics.NEIGHBOURS:
        return {}
    doubts = [r["disagreement"] for r in like]
    return {
        "disagreement": {"median": float(np.median(doubts)), "limit": float(np.quantile(doubts, 0.95))},
        "likeness": image_statistics.reference_statistics([r["statistics"] for r in like]),
    }


def _text(content: dict) -> str:
    return json.dumps(content, indent=2) + "\n"
