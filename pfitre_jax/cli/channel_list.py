"""List of the channels of a scan, such as its elements, with their signal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pfitre_jax.cli.console import print_facts, print_note
from pfitre_jax.cli.errors import in_options, one_line

if TYPE_CHECKING:
    from pfitre_jax.data.scan import Scan


def needs_element(channels: Sequence[str]) -> bool:
    """Whether one of the channels has to be chosen, because not exactly one of them is an element."""
    from pfitre_jax.data.readers.channels import NOT_ELEMENTS

    return bool(channels) and sum(name.lower() not in NOT_ELEMENTS for name in channels) != 1


def print_channels(path: Path, channels: Sequence[str], load: Callable[[str], Scan]) -> None:
    """Prints the signal of each channel, and how to choose one.

    Args:
        path: The scan.
        channels: Names of its channels.
        load: Reads a channel.

    Raises:
        ValueError: No channel can be read.
    """
    from pfitre_jax.data.checks import NoSignal
    from pfitre_jax.data.readers.channels import NOT_ELEMENTS

    facts = {"scan": str(path), "channels": str(len(channels))}
    errors: list[ValueError] = []
    for name in channels:
        try:
            text = _describe_signal(load(name))
        except NoSignal:
            text = "no signal"
        except ValueError as error:
            errors.append(error)
            text = f"cannot be read: {in_options(one_line(error))}"
        facts[name] = text + (", not an element" if name.lower() in NOT_ELEMENTS else "")
    # A fault that all of them share is one of the scan, such as missing angles.
    if len(errors) == len(channels):
        raise errors[0]
    print_facts(facts)
    elements = [name for name in channels if name.lower() not in NOT_ELEMENTS] or channels
    print_note(
        f"choose a channel with --element {elements[0]}; pfitre recon takes several, such as "
        f"--element {','.join(elements[:2])}, or --element all"
    )


def _describe_signal(scan: Scan) -> str:
    """Maximum and sum of the line integrals of the valid bins, and the share of them that is 0."""
    import numpy as np

    from pfitre_jax.data.lazy_scan import BLOCK_BYTES

    count = max(BLOCK_BYTES // (4 * scan.views * scan.columns), 1)
    highest, total, zeros, valid = -np.inf, 0.0, 0, 0
    for start in range(0, scan.rows, count):
        projections, mask = scan.source.read(slice(start, min(start + count, scan.rows)))
        values = projections[mask]
        if values.size:
            highest = max(highest, float(values.max()))
            total += float(values.sum(dtype=float))
        zeros += int(np.sum(values == 0))
        valid += values.size
    return f"maximum {highest:.4g}, sum {total:.4g}, {zeros / valid:.1%} of the bins are 0"
