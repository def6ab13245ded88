"""The part of a model card that is recorded with a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Entries of a model card that are copied: what the prior is, what it was trained on, and its limits.
COPIED = (
    "name",
    "sha256",
    "architecture",
    "parameters",
    "steps",
    "command",
    "trained_on",
    "adapted",
    "disagreement",
)


def summarise_card(card: Mapping[str, Any]) -> dict[str, Any] | None:
    """A model card without the values of single scenes; None for an empty card.

    Args:
        card: Model card, see :mod:`pfitre_jax.priors.files`.

    Returns:
        The entries of :data:`COPIED` that the card has, and ``gain``, the mean, smallest and largest gain
        over FISTA-TV in its evaluation, dB.
    """
    if not card:
        return None
    summary = {name: card[name] for name in COPIED if name in card}
    gain = card.get("scores", {}).get("gain")
    return summary | ({} if gain is None else {"gain": gain})
