"""``pfitre priors``: shipped priors and model cards."""

from __future__ import annotations

from typing import Annotated

from rich.console import Console

from pfitre_jax.cli.app import PRIORS_PANEL, command
from pfitre_jax.cli.console import print_facts
from pfitre_jax.cli.options.declaration import argument


@command(PRIORS_PANEL)
def priors(
    prior: Annotated[
        str | None,
        argument(
            "NAME|PATH",
            "Prior to verify; its model card is printed as JSON.",
            "list all shipped priors",
        ),
    ] = None,
) -> None:
    """List the shipped priors, or print the model card of one prior.

    Example: pfitre priors circuits
    """
    from pfitre_jax.priors.files import available, pretrained

    if prior is None:
        print_facts({name: describe_prior(name) for name in available()} or {"priors": "none is installed"})
    else:
        card = dict(pretrained(prior).info.card)
        Console(soft_wrap=True, highlight=False, emoji=False).print_json(data=card)


def describe_prior(name: str) -> str:
    """Returns size, training range, scores and hash of a shipped prior, or why it cannot be loaded."""
    from pfitre_jax.priors.files import pretrained

    try:
        card = pretrained(name).info.card
    except ValueError as error:
        return f"cannot be loaded: {error}"
    parts = [f"{card['parameters'] / 1e6:.2f} M parameters", f"{card.get('steps', '?')} training steps"]
    ranges = {key: value for key, value in card.get("trained_on", {}).items() if isinstance(value, list)}
    parts += [f"{key} {low:g} to {high:g}" for key, (low, high) in ranges.items()]
    if "scores" in card:
        gain = card["scores"]["gain"]
        spread = f"{gain['smallest']:+.1f} to {gain['largest']:+.1f}"
        parts.append(f"{gain['mean']:+.1f} dB ({spread}) over FISTA-TV")
    return ", ".join([*parts, f"sha256 {card['sha256']}"])
