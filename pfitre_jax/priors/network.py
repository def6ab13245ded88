"""The learned prior: a U-Net that knows the missing wedge."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.contrib import unet3d
from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Card, Prior, PriorInfo
from pfitre_jax.models import unet
from pfitre_jax.models.batching import correct_many
from pfitre_jax.models.unet import UNetConfig
from pfitre_jax.priors import wedge_frame as frame

#: Length of :func:`condition`: of a network whose images are turned into the frame of the wedge, and else.
CONDITIONS = {True: 2, False: 4}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NetworkPrior(Prior):
    """A U-Net as the prior of half-quadratic splitting; a pytree whose leaves are the parameters.

    It is a restoration, not the prox of a function. It works in the frame of the wedge: the image is
    turned so that the wedge's centre is at 0, and what the network adds is turned back; one orientation to
    learn.

    A network of more than two input channels also sees the neighbouring rows of a volume, and one
    ``along_rows`` carries what it finds from row to row: :attr:`reach` of them on each side. Any network
    works on volumes, the others row by row.

    params: nested dict of arrays
    config: layout of the network, static
    card: what is known of the weights, a JSON-able dict, static
    symmetric: the mean over the image, its two mirror images and its half turn, which leave the wedge as it
        is (not turned: over image and half turn); static. Four times the cost; training does without
    mirror: (), the number of the one image that it sees instead, see :meth:`mirrored`; ``None``: as
        ``symmetric`` says
    """

    params: Any
    config: UNetConfig = dataclasses.field(metadata={"static": True})
    card: Card = dataclasses.field(default_factory=Card, metadata={"static": True})
    symmetric: bool = dataclasses.field(default=True, metadata={"static": True})
    mirror: Any = None

    def __post_init__(self):
        object.__setattr__(self, "card", Card(self.card))

    @classmethod
    def create(cls, config: UNetConfig, key: Array, card: dict | None = None) -> NetworkPrior:
        """A prior with random parameters, which starts as the identity.

        Raises ``ValueError`` for a layout whose inputs are not those of :meth:`denoise`.
        """
        check_config(config)
        return cls(parameters(config, key), config, Card(card or {}))

    @property
    def info(self) -> PriorInfo:
        """Reach, mirror images, initial iterations and model card."""
        return PriorInfo(
            reach=self.reach,
            alternates=self.symmetric and self.mirror is None,
            initial_iterations=_initial_iterations(self.card),
            card=self.card,
        )

    def at(self, iteration: Array | int) -> NetworkPrior:
        """The prior of one iteration: of one mirror image, the next one at each iteration, if ``symmetric``.

        As many iterations as there are mirror images approximate their mean at the cost of one pass each.
        """
        return dataclasses.replace(self, mirror=iteration) if self.symmetric else self

    @property
    def first_iterations(self) -> int:
        return self.info.initial_iterations

    def mirrored(self, k) -> NetworkPrior:
        return dataclasses.replace(self, mirror=k)

    @property
    def reach(self) -> int:
        """Neighbouring rows that the network sees on each side of its own."""
        return self._given + unet3d.reach(self.config)

    @property
    def _given(self) -> int:
        # Neighbours on each side among the input channels.
        return max(self.config.in_channels - 2, 0) // 2

    def denoise(
        self, v: Float[Array, "*rows ny nx"], *, correction: Float[Array, "*rows ny nx"], wedge: Wedge, rho
    ) -> Float[Array, "*rows ny nx"]:
        """The image, or the volume, that the network proposes for ``v``.

        v: (ny, nx) or (rows, ny, nx), values of about [0, 1]; beyond the first and the last row of a volume
            these go on unchanged, and so does a single image
        correction: as ``v``, the data correction ``A^T M (y - A v) / (norm(A)^2 rho)``, in the units of ``v``
        wedge: the missing wedge; may be traced
        rho: (), relative to ``norm(A)^2 = 1``

        Where images are turned it commutes exactly with the quarter turns, and with ``symmetric`` also with
        the reflections, that carry one wedge to another.
        """
        if v.ndim == 2:
            return self.denoise(v[None], correction=correction[None], wedge=wedge, rho=rho)[0]
        turn = frame.turn_to_wedge(wedge) if self.config.turned else (0, 0.0)
        turned = [frame.into(turn, c) for c in (v, correction)[: self.config.in_channels]]
        images = jnp.stack([*turned, *_neighbours(turned[0], self._given)], axis=-1)
        # Only what is added is turned back: what it is added to keeps its finest detail.
        return v + frame.back(turn, self.added(images, wedge, rho), v.shape[1:])

    def added(
        self, images: Float[Array, "rows ny nx channels"], wedge: Wedge, rho
    ) -> Float[Array, "rows ny nx"]:
        """What the network adds to images in its frame: by its one mirror image, or the mean over them.

        images: (rows, ny, nx, in_channels), see :func:`pfitre_jax.models.unet.correct`; other arguments of
            :meth:`denoise`
        """
        told = condition(wedge.width_rad, rho, None if self.config.turned else wedge.center_rad)
        told = self.config.conditioned * told.astype(images.dtype)
        network = unet3d.correct if self.config.along_rows else correct_many
        correct = functools.partial(network, self.config, self.params, condition=told)
        if self.mirror is not None:
            mirror = jax.vmap(functools.partial(_mirror, self.mirror, turned=self.config.turned))
            return mirror(correct(mirror(images)))
        return _mean_over_mirrors(correct, images, self.config.turned) if self.symmetric else correct(images)


def _initial_iterations(card: Card) -> int:
    trained_on = card.get("trained_on", {})
    # Cards written before version 0.3, those of the shipped weights among them, name it `first_iterations`.
    return int(trained_on.get("initial_iterations", trained_on.get("first_iterations", 0)))


def _neighbours(volume: Float[Array, "rows n n"], reach: int) -> list[Float[Array, "rows n n"]]:
    """For every row the rows 1 below and above it, then 2, and so on; the outermost rows go on."""
    rows = jnp.arange(len(volume))
    steps = [sign * k for k in range(1, reach + 1) for sign in (-1, 1)]
    return [volume[jnp.clip(rows + step, 0, len(volume) - 1)] for step in steps]


def _mean_over_mirrors(
    function, images: Float[Array, "m n n channels"], turned: bool
) -> Float[Array, "m n n"]:
    """The mean of ``function``, of the rows of a volume, over their mirror images, each mirrored back."""
    mirrors = [lambda a: a, lambda a: a[:, ::-1, ::-1]]
    if turned:
        mirrors += [lambda a: a[:, ::-1], lambda a: a[:, :, ::-1]]
    results = jax.vmap(function)(jnp.stack([mirror(images) for mirror in mirrors]))
    return sum(mirror(result) for mirror, result in zip(mirrors, results, strict=True)) / len(mirrors)


def _mirror(number, image, turned: bool):
    """The mirror image of this number: 0 the image itself, 1 its half turn, and turned images also 2, up and
    down, and 3, left and right; which twice is the image again."""
    number = number % (4 if turned else 2)
    image = jnp.where((number == 1) | (number == 2), image[::-1], image)
    return jnp.where((number == 1) | (number == 3), image[:, ::-1], image)


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


def check_config(config: UNetConfig) -> None:
    """``ValueError`` for a layout whose inputs are not those of :meth:`NetworkPrior.denoise`."""
    conditions, channels = CONDITIONS[config.turned], config.in_channels
    if (channels != 1 and channels % 2) or config.condition != conditions:
        raise ValueError(
            f"the network takes {channels} channels and {config.condition} conditions; expected 1 channel "
            "(image), 2 (image, data correction) or 2 more for each neighbouring row on either side, and "
            f"{conditions} conditions ({'turned into' if config.turned else 'not in'} the frame of the wedge)"
        )


def parameters(config: UNetConfig, key: Array) -> dict:
    """Random parameters of the network of a layout, which starts as the identity."""
    return (unet3d if config.along_rows else unet).init(config, key)


def widened(prior: NetworkPrior, config: UNetConfig) -> NetworkPrior:
    """The same prior in a layout of more input channels, or with layers along the rows, which count for
    nothing yet: to be trained on.

    Raises ``ValueError`` where ``config`` differs in anything else, or has fewer of them.
    """
    had, params = prior.config, prior.params
    more, inflate = config.in_channels - had.in_channels, config.along_rows > had.along_rows
    same = dataclasses.replace(had, in_channels=config.in_channels, along_rows=config.along_rows) == config
    if more < 0 or had.along_rows > config.along_rows or not same:
        raise ValueError(
            f"the weights are of a network {had}; expected the configuration's, {config}, or one that "
            "differs by fewer in_channels, or by no layers along_rows"
        )
    if had.along_rows:
        params = params | {"plane": unet.widen(params["plane"], more)}
    else:
        params = unet.widen(params, more)
    return dataclasses.replace(
        prior, config=config, params=unet3d.inflated(config, params) if inflate else params
    )
