"""Files of an evaluation: numbers, tables, a figure, and the scores in a prior's model card."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.evaluation.cells import EvaluationSettings
from pfitre_jax.evaluation.domain_reference import domain_reference
from pfitre_jax.evaluation.figure import draw_evaluation
from pfitre_jax.evaluation.summary import summarise
from pfitre_jax.evaluation.tables import markdown
from pfitre_jax.plotting.style import save_png
from pfitre_jax.priors import files

#: Files of :func:`write_report`.
REPORT_FILES = ("evaluation.json", "evaluation.md", "evaluation.png")


def write_report(
    records: list[dict], settings: EvaluationSettings, parameters: dict, folder: str | os.PathLike
) -> list[Path]:
    """Writes :data:`REPORT_FILES`.

    Args:
        records: Records of the evaluation.
        settings: Settings of the evaluation.
        parameters: Parameters of the method and name of the prior.
        folder: Folder of the files.

    Returns:
        Paths of the files.
    """
    summary = summarise(records)
    content = {
        "settings": dataclasses.asdict(settings),
        "parameters": parameters,
        "summary": summary,
        "records": records,
    }
    drawing = draw_evaluation(records, summary, settings)
    tables = markdown(summary, settings, parameters)
    writers = {
        "evaluation.json": lambda path: path.write_text(_text(content), encoding="utf-8"),
        "evaluation.md": lambda path: path.write_text(tables, encoding="utf-8"),
        "evaluation.png": lambda path: save_png(drawing, path),
    }
    return write_files(folder, writers)


def write_card(
    prior_path: str | os.PathLike,
    prior: Any,
    records: list[dict],
    settings: EvaluationSettings,
    parameters: dict,
    command: str,
) -> list[Path]:
    """Writes the scores of an evaluation into a prior's file and into the model card beside it.

    The card also gets the reference of the out-of-distribution score, see
    :func:`pfitre_jax.trust.domain.domain_score`.

    Args:
        prior_path: Name or path that ``prior`` was loaded from.
        prior: The prior.
        records: Records of its evaluation.
        settings: Settings of the evaluation.
        parameters: Parameters of the method.
        command: Command line of the evaluation.

    Returns:
        Paths of the prior and of the card.
    """
    scores = summarise(records)
    del scores["disagreement"]
    card = prior.info.card | domain_reference(prior.info.card, records, volumes=settings.rows > 1)
    scored = {"command": command, "settings": dataclasses.asdict(settings), "parameters": parameters}
    path = files.locate(prior_path)
    saved = files.save(path, prior.with_card({**card, "scores": scored | scores}))
    beside = path.with_suffix(".json")
    return [
        path,
        *write_files(
            beside.parent, {beside.name: lambda p: p.write_text(_text(saved.info.card), encoding="utf-8")}
        ),
    ]


def _text(content: dict) -> str:
    return json.dumps(content, indent=2) + "\n"
