"""Weights files of learned priors.

A weights file is one ``.npz``. It holds the parameters as ``params/...``, the strengths of an unrolled prior
as ``rho``, and the model card as ``card``, a JSON text: network, training ranges, operator, hash, scores.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.data.readers.npz import load_arrays
from pfitre_jax.interfaces import Card
from pfitre_jax.models.networks import find_network
from pfitre_jax.priors.card_check import check_card
from pfitre_jax.priors.interval_table import KINDS, IntervalTable
from pfitre_jax.priors.network import NetworkPrior, check_config
from pfitre_jax.priors.unrolled import UnrolledPrior

#: Version of the file format.
FORMAT = 2
#: Identifier of the operator and of the scaling of the inputs in training: Joseph's projector, image values
#: of about [0, 1], rho relative to ``||A||^2 = 1``, and the condition of
#: :func:`pfitre_jax.priors.network.condition`. Weights with another identifier are refused.
OPERATOR = "joseph-1"

_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
_PREFIX = "params/"
_RHO = "rho"


def available() -> list[str]:
    """Returns the names of the priors that the package ships."""
    return sorted(path.stem for path in _WEIGHTS.glob("*.npz"))


def pretrained(name_or_path: str | os.PathLike) -> NetworkPrior | UnrolledPrior:
    """Loads a shipped prior by its name, or one from a weights file.

    Raises:
        ValueError: For an unknown name, or a file that is not a weights file.
    """
    return load(locate(name_or_path))


def locate(name_or_path: str | os.PathLike) -> Path:
    """Returns the path of a shipped prior's weights file, or of an existing file.

    Raises:
        ValueError: Where there is neither.
    """
    if str(name_or_path) in available():
        return _WEIGHTS / f"{name_or_path}.npz"
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    raise ValueError(
        f"no prior {str(name_or_path)!r}; expected the path of a weights file (.npz, from `pfitre train`) or "
        f"one of: {', '.join(available()) or '(none is shipped)'}"
    )


def save(path: str | os.PathLike, prior: NetworkPrior | UnrolledPrior) -> NetworkPrior | UnrolledPrior:
    """Writes a prior as one weights file, atomically.

    The parameters keep their types. The card is completed by ``format``, ``operator``, ``architecture`` and
    ``network`` (name and configuration of the network), ``parameters`` (their number), ``sha256`` (of the
    arrays), and for an unrolled prior ``rho``.

    Returns:
        The prior as :func:`load` reads it, with the completed card.

    Raises:
        ValueError: For a name that does not end in ``.npz``, or a network that :func:`load` would refuse.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"the weights file is named {path.name}; expected a name that ends in .npz")
    network = prior.network
    check_config(network.config)
    arrays = {_PREFIX + name: array for name, array in _flatten(network.params).items()}
    facts = {
        "format": FORMAT,
        "operator": OPERATOR,
        "architecture": network.config.network,
        "network": json.loads(network.config.to_json()),
        "parameters": sum(array.size for array in arrays.values()),
    }
    if prior.info.rho is not None:
        arrays[_RHO] = np.asarray(prior.info.rho)
        facts["rho"] = arrays[_RHO].tolist()
    facts["sha256"] = _digest(arrays)
    # The round trip turns tuples into lists, as in a card that was read.
    card = json.loads(json.dumps(dict(network.card) | facts))

    entries: dict[str, Any] = {"card": np.array(json.dumps(card)), **arrays}

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez(file, **entries)

    write_files(path.parent, {path.name: write})
    return prior.with_card(card)


def save_intervals(
    name_or_path: str | os.PathLike, kind: str, table: IntervalTable, likeness: dict | None = None
) -> list[Path]:
    """Writes a calibrated table of intervals into the card of a weights file, and into a card beside it.

    Args:
        name_or_path: Name or path of the prior, see :func:`locate`.
        kind: Kind of scale, one of :data:`pfitre_jax.priors.interval_table.KINDS`.
        table: The table; another one of the same kind is replaced.
        likeness: A new reference of the domain score, such as that of the results of the calibration; by
            default the card keeps its own.

    Returns:
        The paths of the files.

    Raises:
        ValueError: For an unknown prior or kind.
    """
    if kind not in KINDS:
        raise ValueError(f"the kind of scale is {kind!r}; expected one of {', '.join(KINDS)}")
    path = locate(name_or_path)
    prior = load(path)
    card = dict(prior.info.card)
    changes = {"intervals": card.get("intervals", {}) | {kind: table.record()}}
    changes |= {} if likeness is None else {"likeness": likeness}
    saved = save(path, prior.with_card(card | changes))
    text = json.dumps(saved.info.card, indent=2) + "\n"
    beside = path.with_suffix(".json")
    return [path, *write_files(beside.parent, {beside.name: lambda p: p.write_text(text, encoding="utf-8")})]


def load(path: str | os.PathLike) -> NetworkPrior | UnrolledPrior:
    """Loads a weights file that :func:`save` wrote.

    Raises:
        FileNotFoundError: For a missing file.
        ValueError: For a file that is not a weights file or is pickled, has another format or operator, lacks
            arrays or has unknown ones, or has arrays that do not match its hash.
    """
    path = Path(path)
    remedy = "expected a weights file written by `pfitre train`"
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{path} is not an .npz file; {remedy}")
    try:
        contents = load_arrays(path)
    except (ValueError, MemoryError) as error:
        raise ValueError(f"{path} cannot be read ({error}); {remedy}") from error
    try:
        card = json.loads(contents.pop("card").item())
        version, operator = card["format"], card["operator"]
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} has no readable model card; {remedy}") from error
    try:
        check_card(card)
    except ValueError as error:
        raise ValueError(f"{path}: {error}: copy the file again, or train it again") from error
    if version != FORMAT:
        raise ValueError(
            f"{path} has format {version!r}; this version reads format {FORMAT}: train it again, or use the "
            "version of pfitre_jax that wrote it"
        )
    if operator != OPERATOR:
        raise ValueError(
            f"{path} was trained with operator {operator!r}; expected {OPERATOR!r}: train it again"
        )
    try:
        # Cards written before version 0.3 have no architecture; the configuration of a U-Net tells which one.
        config = find_network(card.get("architecture", "unet")).config.from_json(json.dumps(card["network"]))
        check_config(config)
        # A huge network in a damaged card would take very long to build.
        if config.least_arrays > len(contents):
            raise ValueError(f"at least {config.least_arrays} arrays for the {len(contents)} of the file")
        network = find_network(config.network)
        expected = jax.eval_shape(lambda: network.init(config, jax.random.key(0)))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} has a network that cannot be built ({error}); {remedy}") from error
    arrays = dict(contents)
    rho = contents.pop(_RHO, None)
    if rho is not None and not (rho.ndim == 1 and rho.size and np.issubdtype(rho.dtype, np.floating)):
        raise ValueError(f"{path}: rho is {rho.dtype} {rho.shape}; expected floats, one for each iteration")
    params = _unflatten(path, expected, contents, () if rho is None else rho.shape)
    prior = NetworkPrior(params, config, Card(card))
    if card.get("sha256") != _digest(arrays):
        raise ValueError(f"the arrays in {path} do not match their hash; the file was changed: copy it again")
    return prior if rho is None else UnrolledPrior(prior, jnp.asarray(rho))


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _flatten(params) -> dict[str, np.ndarray]:
    return {_name(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def _unflatten(path: Path, expected, contents: dict[str, np.ndarray], stacked: tuple[int, ...]):
    names = {_PREFIX + _name(key) for key, _ in jax.tree_util.tree_leaves_with_path(expected)}
    if names != set(contents):
        missing, unknown = sorted(names - set(contents)), sorted(set(contents) - names)
        raise ValueError(
            f"{path} lacks the arrays {missing} and has the unknown arrays {unknown}; expected those of its "
            "network's layout: use a file written by `pfitre train`"
        )

    def take(key, leaf):
        array, shape = contents[_PREFIX + _name(key)], stacked + leaf.shape
        if array.shape != shape or not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                f"{path}: {_name(key)} is {array.dtype} {array.shape}; expected floats of shape {shape}"
            )
        return jnp.asarray(array)

    return jax.tree_util.tree_map_with_path(take, expected)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name.removeprefix(_PREFIX)} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
