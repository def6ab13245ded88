"""The file that holds the weights of a learned prior.

It is one ``.npz``: the parameters as ``params/...``, of an unrolled prior also ``rho``, and ``card``, a JSON
text with what a user must know of them (layout, training range, operator, hash, how they were made).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.data.readers.npz import load_arrays
from pfitre_jax.models.unet import UNetConfig
from pfitre_jax.priors.network import Card, NetworkPrior, check_config, parameters
from pfitre_jax.priors.unrolled import UnrolledPrior

#: Of the weights file; another number means another meaning of its contents.
FORMAT = 2
#: The operator and the scaling of the inputs that weights are trained with: Joseph's projector, images with
#: values of about [0, 1], rho relative to norm(A)^2 = 1, the condition of
#: :func:`pfitre_jax.priors.network.condition`. Weights made with another are refused.
OPERATOR = "joseph-1"

_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
_PREFIX = "params/"
_RHO = "rho"


def available() -> list[str]:
    """Names of the priors that the package ships."""
    return sorted(path.stem for path in _WEIGHTS.glob("*.npz"))


def pretrained(name_or_path: str | os.PathLike) -> NetworkPrior | UnrolledPrior:
    """A shipped prior by its name, or one from a file that :func:`save` wrote.

    Raises ``ValueError`` for an unknown name or a file that is not a prior.
    """
    return load(locate(name_or_path))


def locate(name_or_path: str | os.PathLike) -> Path:
    """The file of a shipped prior's name, or of a path; ``ValueError`` where there is neither."""
    if str(name_or_path) in available():
        return _WEIGHTS / f"{name_or_path}.npz"
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    raise ValueError(
        f"no prior {str(name_or_path)!r}; expected the path of a weights file (.npz, from `pfitre train`) or "
        f"one of: {', '.join(available()) or '(none is shipped)'}"
    )


def save(path: str | os.PathLike, prior: NetworkPrior | UnrolledPrior) -> NetworkPrior | UnrolledPrior:
    """Write a prior as one ``.npz`` and return it as :func:`load` will, its card completed.

    Adds ``format``, ``operator``, ``network`` (the layout), ``parameters`` (their number) and ``sha256`` (of
    the arrays) to the card, and of an unrolled prior ``rho``. The file appears whole or not at all.
    Parameters are stored in their own dtype.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"the weights file is called {path.name}; expected a name that ends in .npz")
    network = prior.prior if isinstance(prior, UnrolledPrior) else prior
    check_config(network.config)
    arrays = {_PREFIX + name: array for name, array in _flatten(network.params).items()}
    facts = {
        "format": FORMAT,
        "operator": OPERATOR,
        "network": dataclasses.asdict(network.config),
        "parameters": sum(array.size for array in arrays.values()),
    }
    if network is not prior:
        arrays[_RHO] = np.asarray(prior.rho)
        facts["rho"] = arrays[_RHO].tolist()
    facts["sha256"] = _digest(arrays)
    # As JSON gives it back: tuples become lists.
    card = json.loads(json.dumps(dict(prior.card) | facts))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, card=np.array(json.dumps(card)), **arrays)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    network = dataclasses.replace(network, card=Card(card))
    return network if not isinstance(prior, UnrolledPrior) else dataclasses.replace(prior, prior=network)


def load(path: str | os.PathLike) -> NetworkPrior | UnrolledPrior:
    """Read what :func:`save` wrote.

    Raises ``FileNotFoundError`` for no file; ``ValueError``, with the cause and the remedy, for a file that
    is no prior, is pickled, is of another format or operator, lacks arrays or has unknown ones, or whose
    arrays do not match its hash.
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
        raise ValueError(f"{path} has no card that says what it holds; {remedy}") from error
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
        config = UNetConfig.from_json(json.dumps(card["network"]))
        check_config(config)
        if config.blocks * len(config.dilations) > len(contents):  # laying them out could take for ever
            raise ValueError(f"{config.blocks} blocks for {len(contents)} arrays")
        expected = jax.eval_shape(lambda: parameters(config, jax.random.key(0)))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} has a network that cannot be built ({error}); {remedy}") from error
    arrays = dict(contents)
    rho = contents.pop(_RHO, None)
    if rho is not None and not (rho.ndim == 1 and rho.size and np.issubdtype(rho.dtype, np.floating)):
        raise ValueError(f"{path}: rho is {rho.dtype} {rho.shape}; expected floats, one for each iteration")
    params = _unflatten(path, expected, contents, () if rho is None else rho.shape)
    network = NetworkPrior(params, config, card)
    if card.get("sha256") != _digest(arrays):
        raise ValueError(f"the arrays in {path} do not match their hash; the file was changed: copy it again")
    return network if rho is None else UnrolledPrior(network, jnp.asarray(rho))


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
