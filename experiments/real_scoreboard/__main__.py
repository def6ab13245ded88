"""Scoreboard of real scans; see :mod:`experiments.real_scoreboard.config`."""

from __future__ import annotations

import functools
from pathlib import Path

from experiments.common.missing_data import exit_without_data
from experiments.common.record import Cell, Record, add_priors, command_line, output_folder
from experiments.real_scoreboard.config import PRESETS, Config
from experiments.real_scoreboard.pictures import picture, shown_cut
from experiments.real_scoreboard.samples import Candidate, Sample, available_samples, candidates
from experiments.real_scoreboard.tables import sample_table, scoreboard
from pfitre_jax.data import write_files

NAME = "real_scoreboard"
#: Priors that are scored by default.
PRIORS = ("circuits", "general")


def record_of(config: Config, sample: Sample, folder: Path) -> Record:
    """The record of a sample. It depends on no other sample and on no prior, so that others can be added."""
    name = sample.name
    return Record(
        folder,
        name.replace(" ", "_"),
        config,
        functools.partial(sample_table, config, name),
        functools.partial(picture, config, name),
    )


def cells(config: Config, sample: Sample, scored: list[Candidate], stage: int) -> dict[Cell, Candidate]:
    """The cells (removed views, label) of a stage; each stage is computed for all samples before the next.

    First the baseline and the learned priors in the first orientation, then the other methods, and then the
    same for each other orientation.
    """
    turn, others = divmod(stage, 2)
    chosen = [candidate for candidate in scored if sample.scored(candidate)]
    return {
        (cut, candidate.label): candidate
        for cut in sample.cuts(config, turn)
        for candidate in chosen
        if (candidate.method in config.methods) == bool(others)
    }


def fill(config: Config, sample: Sample, folder: Path, chosen: dict[Cell, Candidate]) -> None:
    """Computes the missing cells of a sample."""
    shown = shown_cut(config, [cut for cut, _ in chosen])
    record_of(config, sample, folder).fill(
        chosen,
        lambda cut, label: sample.measure(config, cut, chosen[cut, label]),
        [cell for cell in chosen if cell[0] == shown and shown in sample.cuts(config, 0)],
    )


def main() -> None:
    parser = command_line(NAME)
    add_priors(parser)
    options = parser.parse_args()
    config, priors = PRESETS[options.preset], options.priors or list(PRIORS)
    folder, samples = output_folder(NAME, options), available_samples(config)
    if not samples:
        exit_without_data("scans of this preset")
    scored, text = candidates(config, priors), ""
    for stage in range(2 * len(config.turns_deg)):
        for sample in samples:
            fill(config, sample, folder, cells(config, sample, scored, stage))
            text = scoreboard(config, {s.name: record_of(config, s, folder).results() for s in samples})
            write_files(folder, {f"{NAME}.md": functools.partial(_write, text)})
    print(text)


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
