"""``pfitre info`` and ``pfitre priors``: what this installation has."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from pfitre_jax.cli.app import app
from pfitre_jax.cli.console import print_facts
from pfitre_jax.cli.samples import SAMPLES


@app.command()
def info() -> None:
    """Versions, devices, shipped priors and samples."""
    import jax

    from pfitre_jax.data.results import versions
    from pfitre_jax.priors.files import available
    from pfitre_jax.reconstruction.methods import METHODS

    facts = {
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "devices": ", ".join(f"{d.platform}: {d.device_kind}" for d in jax.devices()),
    }
    for name, recipe in METHODS.items():
        settings = ", ".join(f"{key} {value}" for key, value in recipe.defaults.items())
        facts[f"method {name}"] = recipe.summary + (f" ({settings})" if settings else "")
    for name in available():
        facts[f"prior {name}"] = _describe_prior(name)
    for path in sorted(SAMPLES.glob("*.npz")):
        facts[f"sample {path.stem}"] = str(path)
    facts["data"] = os.environ.get("PFITRE_DATA", "set PFITRE_DATA to the folder of the test scans")
    print_facts(facts)


@app.command()
def priors(
    prior: Annotated[
        str | None, typer.Argument(metavar="NAME|PATH", help="Check this one and show its whole card.")
    ] = None,
) -> None:
    """The shipped priors; or the model card of one, or of a weights file, once it has passed its checks."""
    from pfitre_jax.priors.files import available, pretrained

    if prior is None:
        print_facts({name: _describe_prior(name) for name in available()} or {"priors": "none is shipped"})
    else:
        Console(soft_wrap=True, highlight=False, emoji=False).print_json(data=dict(pretrained(prior).card))


def _describe_prior(name: str) -> str:
    """What `pfitre info` says of a shipped prior: size, range, worth, and the hash of its weights; or why it
    is refused."""
    from pfitre_jax.priors.files import pretrained

    try:
        card = pretrained(name).card
    except ValueError as error:
        return f"refused: {error}"
    said = [f"{card['parameters'] / 1e6:.2f} M parameters", f"{card.get('steps', '?')} steps"]
    for name, (low, high) in ((k, v) for k, v in card.get("trained_on", {}).items() if isinstance(v, list)):
        said.append(f"{name} {low:g} to {high:g}")
    if "scores" in card:
        gain = card["scores"]["gain"]
        spread = f"{gain['smallest']:+.1f} to {gain['largest']:+.1f}"
        said.append(f"{gain['mean']:+.1f} dB ({spread}) over FISTA-TV")
    return ", ".join([*said, f"sha256 {card['sha256']}"])
