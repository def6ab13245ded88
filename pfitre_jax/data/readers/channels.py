"""Channels of a scan: one projection stack for each element, and the choice of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pfitre_jax.data.readers.file_checks import format_names

#: Channels of a fit that are not elements: scattered radiation, background and quality of the fit.
NOT_ELEMENTS = (
    *("compton", "elastic", "snip_bkg", "r_factor", "sel_cnt", "total_cnt", "coherent_sct_amplitude"),
    *("compton_amplitude", "num_iter", "fit_residual", "total_fluorescence_yield", "sum_elastic_inelastic"),
)


def choose_channel(names: Sequence[str], requested: str | None, path: Path) -> int:
    """Index of the channel to read.

    A name matches in upper or lower case; "Cu" also matches "Cu_K" if no other line of Cu is there.

    Args:
        names: Names of the channels of the file.
        requested: The name that the caller states; None if the file has one element only.
        path: The file, for messages.

    Raises:
        ValueError: If no channel, or more than one, matches.
    """
    listed = format_names(names, most=24) or "none"
    if requested is None:
        elements = [i for i, name in enumerate(names) if name.lower() not in NOT_ELEMENTS]
        if len(elements) == 1:
            return elements[0]
        example = names[elements[0]] if elements else "Cu"
        raise ValueError(
            f"{path} holds {len(names)} channels ({listed}); expected the one to reconstruct "
            f"(element={example!r})"
        )
    word = requested.strip().lower()
    lower = [name.lower() for name in names]
    matches = [i for i, name in enumerate(lower) if name == word]
    matches = matches or [i for i, name in enumerate(lower) if name.split("_")[0] == word]
    if len(matches) != 1:
        which = "no channel" if not matches else f"{len(matches)} channels"
        raise ValueError(f"{path} has {which} {requested!r}; expected one of {listed} (element='NAME')")
    return matches[0]
