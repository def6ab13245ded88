"""End of an experiment whose data are missing."""

from __future__ import annotations

import sys
from typing import NoReturn

from pfitre_jax.twin import data_folder


def exit_without_data(missing: str) -> NoReturn:
    """Prints what is missing in the data folder, and exits with code 2.

    Args:
        missing: Subject of the message.
    """
    print(
        f"{missing} not found in {data_folder()}; set PFITRE_DATA to the folder of the data", file=sys.stderr
    )
    raise SystemExit(2)
