"""The learned prior: a U-Net that knows the missing wedge, and the file that holds its weights.

The file is one ``.npz``: the parameters as ``params/...`` and ``card``, a JSON text with what a user must
know of them (layout, training range, operator, hash, how they were made).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.models import unet
from pfitre_jax.models.unet import UNetConfig
from pfitre_jax.operators.rotation import rotate

#: Of the weights file; another number means another meaning of its contents.
FORMAT = 2
#: The operator and the scaling of the inputs that weights are trained with: Joseph's projector, images with
#: values of about [0, 1], rho relative to norm(A)^2 = 1, the condition of :func:`condition`. Weights made
#: with another are refused.
OPERATOR = "joseph-1"
#: Length of :func:`condition`: of a network whose images are turned into the frame of the wedge, and else.
CONDITIONS = {True: 2, False: 4}

_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
_PREFIX = "params/"


class Card(dict):
    """A JSON-able dict that may be a static field: hashed and compared by its content. Not to be changed."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._hash = hash(json.dumps(self, sort_keys=True))

    def __hash__(self):
        return self._hash


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NetworkPrior:
    """A U-Net as the prior of half-quadratic splitting; a pytree whose leaves are the parameters.

    It is a restoration, not the prox of a function. It works in the frame of the wedge: the image is
    turned so that the wedge's centre is at 0, and what the network adds is turned back; one orientation to
    learn.

    params: nested dict of arrays
    config: layout of the network, static
    card: what is known of the weights, a JSON-able dict, static
    symmetric: the mean over the image, its two mirror images and its half turn, which leave the wedge as it
        is (not turned: over image and half turn); static. Four times the cost; training does without
    """

    params: Any
    config: UNetConfig = dataclasses.field(metadata={"static": True})
    card: Card = dataclasses.field(default_factory=Card, metadata={"static": True})
    symmetric: bool = dataclasses.field(default=True, metadata={"static": True})

    def __post_init__(self):
        object.__setattr__(self, "card", Card(self.card))

    @classmethod
    def create(cls, config: UNetConfig, key: Array, card: dict | None = None) -> NetworkPrior:
        """A prior with random parameters, which starts as the identity.

        Raises ``ValueError`` for a layout whose inputs are not those of :meth:`denoise`.
        """
        _check_config(config)
        return cls(unet.init(config, key), config, Card(card or {}))

    @property
    def first_iterations(self) -> int:
        """Of the first reconstruction that the loops of its training started from; 0: there was none."""
        return int(self.card.get("trained_on", {}).get("first_iterations", 0))

    def denoise(
        self, v: Float[Array, "ny nx"], *, gradient: Float[Array, "ny nx"], wedge: Wedge, rho
    ) -> Float[Array, "ny nx"]:
        """The image that the network proposes for ``v``.

        v: (ny, nx), the current image, values of about [0, 1]
        gradient: (ny, nx), the data gradient ``A^T M (y - A v) / (norm(A)^2 rho)``, in the units of ``v``
        wedge: the missing wedge; may be traced
        rho: (), relative to ``norm(A)^2 = 1``

        Where images are turned it commutes exactly with the quarter turns, and with ``symmetric`` also with
        the reflections, that carry one wedge to another.
        """
        turns, angle = turn_to_wedge(wedge) if self.config.turned else (0, 0.0)
        turn = lambda image: rotate(jnp.where(turns > 0, jnp.rot90(image, -1), image), -angle)  # noqa: E731
        image = jnp.stack([turn(_square(c)) for c in (v, gradient)[: self.config.in_channels]], axis=-1)
        told = condition(wedge.width_rad, rho, None if self.config.turned else wedge.center_rad)
        told = self.config.conditioned * told.astype(v.dtype)
        correct = functools.partial(unet.correct, self.config, self.params, condition=told)
        added = _mean_over_mirrors(correct, image, self.config.turned) if self.symmetric else correct(image)
        # Only what is added is turned back: what it is added to keeps its finest detail.
        added = rotate(added, angle)
        return v + _cut(jnp.where(turns > 0, jnp.rot90(added), added), v.shape)


def _mean_over_mirrors(function, image: Float[Array, "n n channels"], turned: bool) -> Float[Array, "n n"]:
    """The mean of ``function`` over the image's mirror images, each mirrored back."""
    mirrors = [lambda a: a, lambda a: a[::-1, ::-1]]
    if turned:
        mirrors += [lambda a: a[::-1], lambda a: a[:, ::-1]]
    results = jax.vmap(function)(jnp.stack([mirror(image) for mirror in mirrors]))
    return sum(mirror(result) for mirror, result in zip(mirrors, results, strict=True)) / len(mirrors)


def condition(width_rad, rho, center_rad=None) -> Float[Array, " conditions"]:
    """What the network is told: ``((width - 75 deg)/45 deg, log10(rho) + 2)``, and ``(sin 2c, cos 2c)`` after
    it where the wedge's centre ``c`` is given.

    width_rad, center_rad: (), of the wedge, radians; rho: (), relative to ``norm(A)^2 = 1``

    Of order one for wedges of 30 to 120 degrees and rho from 0.001 to 0.1.
    """
    width = (jnp.rad2deg(jnp.asarray(width_rad, jnp.result_type(float))) - 75) / 45
    told = [width, jnp.log10(jnp.asarray(rho, width.dtype)) + 2]
    if center_rad is not None:
        double = 2 * jnp.asarray(center_rad, width.dtype)
        told += [jnp.sin(double), jnp.cos(double)]
    return jnp.stack(told)


def turn_to_wedge(wedge: Wedge) -> tuple[Array, Array]:
    """``(turns, angle)``: the centre of the wedge is at ``turns * pi/2 + angle``, modulo pi.

    turns: (), 0 or 1; angle: (), radians in [-pi/4, pi/4]. Works on traced values.
    """
    center = jnp.mod(jnp.asarray(wedge.center_rad, jnp.result_type(float)), jnp.pi)
    quarters = jnp.round(center / (jnp.pi / 2))
    return jnp.mod(quarters, 2).astype(int), center - quarters * (jnp.pi / 2)


def _margins(ny: int, nx: int) -> tuple[int, int]:
    # Rows above and columns to the left that centre the image in the square.
    n = max(ny, nx)
    return (n - ny) // 2, (n - nx) // 2


def _square(image: Float[Array, "ny nx"]) -> Float[Array, "n n"]:
    ny, nx = image.shape
    n = max(ny, nx)
    top, left = _margins(ny, nx)
    return jnp.pad(image, ((top, n - ny - top), (left, n - nx - left)))


def _cut(image: Float[Array, "n n"], shape: tuple[int, int]) -> Float[Array, "ny nx"]:
    top, left = _margins(*shape)
    return image[top : top + shape[0], left : left + shape[1]]


def available() -> list[str]:
    """Names of the priors that the package ships."""
    return sorted(path.stem for path in _WEIGHTS.glob("*.npz"))


def pretrained(name_or_path: str | os.PathLike) -> NetworkPrior:
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


def save(path: str | os.PathLike, prior: NetworkPrior) -> NetworkPrior:
    """Write a prior as one ``.npz`` and return it as :func:`load` will, its card completed.

    Adds ``format``, ``operator``, ``network`` (the layout), ``parameters`` (their number) and ``sha256`` (of
    the arrays) to the card. The file appears whole or not at all. Parameters are stored in their own dtype.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"the weights file is called {path.name}; expected a name that ends in .npz")
    _check_config(prior.config)
    arrays = _flatten(prior.params)
    facts = {
        "format": FORMAT,
        "operator": OPERATOR,
        "network": dataclasses.asdict(prior.config),
        "parameters": sum(array.size for array in arrays.values()),
        "sha256": _digest(arrays),
    }
    # As JSON gives it back: tuples become lists.
    card = json.loads(json.dumps(dict(prior.card) | facts))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, card=np.array(json.dumps(card)), **{_PREFIX + k: v for k, v in arrays.items()})
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return dataclasses.replace(prior, card=Card(card))


def load(path: str | os.PathLike) -> NetworkPrior:
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
        with np.load(path, allow_pickle=False) as content:
            contents = {name: content[name] for name in content.files}
    except (ValueError, OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read ({error}); {remedy}") from error
    try:
        card = json.loads(contents.pop("card").item())
        version, operator = card["format"], card["operator"]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
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
        _check_config(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} has a network that cannot be built ({error}); {remedy}") from error
    params = _unflatten(path, config, contents)
    if card.get("sha256") != _digest(_flatten(params)):
        raise ValueError(f"the arrays in {path} do not match their hash; the file was changed: copy it again")
    return NetworkPrior(params, config, Card(card))


def _check_config(config: UNetConfig) -> None:
    conditions = CONDITIONS[config.turned]
    if config.in_channels not in (1, 2) or config.condition != conditions:
        raise ValueError(
            f"the network takes {config.in_channels} channels and {config.condition} conditions; expected 1 "
            f"(image) or 2 (image, data gradient) channels and {conditions} conditions "
            f"({'turned into' if config.turned else 'not in'} the frame of the wedge)"
        )


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _flatten(params) -> dict[str, np.ndarray]:
    return {_name(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def _unflatten(path: Path, config: UNetConfig, contents: dict[str, np.ndarray]):
    expected = jax.eval_shape(lambda: unet.init(config, jax.random.key(0)))
    names = {_PREFIX + _name(key) for key, _ in jax.tree_util.tree_leaves_with_path(expected)}
    if names != set(contents):
        missing, unknown = sorted(names - set(contents)), sorted(set(contents) - names)
        raise ValueError(
            f"{path} lacks the arrays {missing} and has the unknown arrays {unknown}; expected those of its "
            "network's layout: use a file written by `pfitre train`"
        )

    def take(key, leaf):
        array = contents[_PREFIX + _name(key)]
        if array.shape != leaf.shape or not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                f"{path}: {_name(key)} is {array.dtype} {array.shape}; expected floats of shape {leaf.shape}"
            )
        return jnp.asarray(array)

    return jax.tree_util.tree_map_with_path(take, expected)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
