"""Selection of the prior by held-out views; see :mod:`experiments.prior_selection.config`."""

from __future__ import annotations

import functools
from pathlib import Path

from experiments.common.record import Record, add_priors, command_line, output_folder, prior_label
from experiments.prior_selection.config import PRESETS, Config
from experiments.prior_selection.scans import TV, measure, simulations
from experiments.prior_selection.tables import picture, tables

NAME = "prior_selection"
#: Priors that are compared by default.
PRIORS = ("general", "circuits")


def run(config: Config, priors: list[str], folder: Path) -> None:
    """Computes the missing cells (scan, method), and writes the tables."""
    scans = {simulation.name: simulation for simulation in simulations(config)}
    methods: dict[str, str | None] = {TV: None} | {prior_label(prior): prior for prior in priors}
    record = Record(folder, NAME, config, functools.partial(tables, config), picture)
    record.fill(
        [(name, method) for name in scans for method in methods],
        lambda name, method: (measure(config, scans[name], methods[method]), {}),
    )
    record.show()


def main() -> None:
    parser = command_line(NAME)
    add_priors(parser)
    options = parser.parse_args()
    run(PRESETS[options.preset], options.priors or list(PRIORS), output_folder(NAME, options))


if __name__ == "__main__":
    main()
