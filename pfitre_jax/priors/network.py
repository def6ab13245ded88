"""Learned prior: a network that restores images and is conditioned on the missing wedge."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Card, Prior, PriorInfo
from pfitre_jax.models.engines import engine_of
from pfitre_jax.models.networks import NetworkConfig, find_network
from pfitre_jax.priors import wedge_frame as frame

#: Length of :func:`condition` by whether images are rotated into the frame of the wedge.
CONDITION_LENGTH = {True: 2, False: 4}
#: Range of the expected error, for images of about [0, 1].
ERROR_RANGE = (1e-4, 10.0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NetworkPrior(Prior):
    """``v + R^-1 f(R v, R correction; wedge, rho)``: a restoration by a network ``f``, not a proximal map.

    ``R`` rotates the images into the frame of the wedge, where its centre is at 0, so that the network learns
    a single orientation. Only the network's update is rotated back; the image keeps its full resolution.

    A network with more than two input channels also receives the neighbouring rows of a volume, and a 3D
    network passes features from row to row. Any network works on volumes; a 2D network treats their rows
    separately. The prior is a pytree whose leaves are the parameters.

    Attributes:
        params: Parameters of the network, a nested dict of arrays.
        config: Configuration of the network; static.
        card: Model card of the weights; static.
        symmetric: Test-time symmetrisation; static. The proposal is the mean over the image, its two mirror
            images and its half turn, which keep the wedge (over the image and its half turn where images are
            not rotated). It costs four passes, and :meth:`at` spreads them over the iterations. Training does
            without it.
        mirror: (), index of the one mirror image that is used instead of their mean, or ``None``.
    """

    params: Any
    config: NetworkConfig = dataclasses.field(metadata={"static": True})
    card: Card = dataclasses.field(default_factory=Card, metadata={"static": True})
    symmetric: bool = dataclasses.field(default=True, metadata={"static": True})
    mirror: Any = None

    def __post_init__(self):
        object.__setattr__(self, "card", Card(self.card))

    @classmethod
    def create(cls, config: NetworkConfig, key: Array, card: dict | None = None) -> NetworkPrior:
        """Returns a prior with random parameters, which starts as the identity.

        Raises:
            ValueError: For a network whose inputs are not those of :meth:`denoise`.
        """
        check_config(config)
        return cls(find_network(config.network).init(config, key), config, Card(card or {}))

    @property
    def info(self) -> PriorInfo:
        """Reach along the rows, mirror images, initial iterations and model card."""
        return PriorInfo(
            reach=self._neighbours + find_network(self.config.network).reach(self.config),
            alternates=self.symmetric and self.mirror is None,
            initial_iterations=_initial_iterations(self.card),
            card=self.card,
        )

    def at(self, iteration: Array | int) -> NetworkPrior:
        """The prior of one iteration: with ``symmetric`` the next mirror image at each iteration.

        As many iterations as there are mirror images have their mean at the cost of one pass each.
        """
        return dataclasses.replace(self, mirror=iteration) if self.symmetric else self

    @property
    def network(self) -> NetworkPrior:
        """The prior itself; an unrolled prior returns the one that it repeats."""
        return self

    def with_card(self, card: dict) -> NetworkPrior:
        """Returns the same prior with another model card."""
        return dataclasses.replace(self, card=Card(card))

    def extend(self, config: NetworkConfig) -> NetworkPrior:
        """Returns the same prior with a larger network, as a start of its training.

        The weights of the additional input channels, or of the layers along the rows, are zero. The output of
        the expected error is untrained.

        Raises:
            ValueError: Where ``config`` differs from the prior's in anything else, or is smaller.
        """
        params = find_network(config.network).extend(self.config, self.params, config)
        return dataclasses.replace(self, config=config, params=params)

    @property
    def _neighbours(self) -> int:
        # Number of neighbouring rows on each side among the input channels.
        return max(self.config.in_channels - 2, 0) // 2

    def denoise(
        self,
        v: Float[Array, "*rows ny nx"],
        *,
        correction: Float[Array, "*rows ny nx"],
        wedge: Wedge,
        rho: Array | float,
    ) -> Float[Array, "*rows ny nx"]:
        """The image or volume that the network proposes.

        Where images are rotated into the frame of the wedge, it commutes exactly with quarter turns of image
        and wedge, and with ``symmetric`` also with reflections.

        Args:
            v: (ny, nx) or (rows, ny, nx), values of about [0, 1]. Beyond the first and the last row of a
                volume these are repeated, and so is a single image.
            correction: As ``v``, the data correction ``A^T M W (y - A v) / (rho ||A||^2)``.
            wedge: The missing wedge; may be traced.
            rho: (), prior strength, relative to ``||A||^2 = 1``.
        """
        if v.ndim == 2:
            return self.denoise(v[None], correction=correction[None], wedge=wedge, rho=rho)[0]
        rotation, images = self._inputs(v, correction, wedge)
        update = self.predict_update(images, wedge, rho)
        return v + frame.rotate_back(rotation, update, v.shape[1:])

    @property
    def has_expected_error(self) -> bool:
        """Whether it has :meth:`expected_error`."""
        has_output = find_network(self.config.network).predict_log_error is not None
        return has_output and getattr(self.config, "expected_error", False)

    def expected_error(
        self,
        v: Float[Array, "*rows ny nx"],
        *,
        correction: Float[Array, "*rows ny nx"],
        wedge: Wedge,
        rho: Array | float,
    ) -> Float[Array, "*rows ny nx"]:
        """The absolute error to expect in each pixel of an image, such as the result of the loop.

        ``R^-1 exp(g(R v, R correction; wedge, rho))`` with the network's second output ``g``, within
        :data:`ERROR_RANGE`. Only the layers of ``g`` receive a gradient. The arguments are those of
        :meth:`denoise`, and so are the symmetries.

        Raises:
            ValueError: For a network without this output.
        """
        predict = find_network(self.config.network).predict_log_error
        if predict is None or not self.has_expected_error:
            name = self.card.get("name", "")
            raise ValueError(
                f"the prior {name or '(no name)'} predicts no expected error; expected a prior that was "
                "trained with expected_error = true in [network]"
            )
        if v.ndim == 2:
            return self.expected_error(v[None], correction=correction[None], wedge=wedge, rho=rho)[0]
        rotation, images = self._inputs(v, correction, wedge)
        # The logarithm would be rotated with a frame of zeros, the error 1, around it.
        limits = jnp.log(jnp.asarray(ERROR_RANGE, images.dtype))
        error = self._predict(lambda *at: jnp.exp(jnp.clip(predict(*at), *limits)), images, wedge, rho)
        return jnp.clip(frame.rotate_back(rotation, error, v.shape[1:]), *ERROR_RANGE)

    def _inputs(
        self, v: Float[Array, "rows ny nx"], correction: Float[Array, "rows ny nx"], wedge: Wedge
    ) -> tuple[tuple, Float[Array, "rows n n channels"]]:
        """The rotation into the network's frame, and the network's input in that frame."""
        rotation = frame.rotation_to_wedge(wedge) if self.config.turned else (0, 0.0)
        rotated = [frame.rotate_into(rotation, c) for c in (v, correction)[: self.config.in_channels]]
        return rotation, jnp.stack([*rotated, *_neighbouring_rows(rotated[0], self._neighbours)], axis=-1)

    def predict_update(
        self, images: Float[Array, "rows ny nx channels"], wedge: Wedge, rho: Array | float
    ) -> Float[Array, "rows ny nx"]:
        """The network's update of images in its frame, by one mirror image or the mean over them.

        Args:
            images: (rows, ny, nx, in_channels), see :func:`pfitre_jax.models.unet.predict_update`.
            wedge: The missing wedge; may be traced.
            rho: (), prior strength.
        """
        return self._predict(find_network(self.config.network).predict_update, images, wedge, rho)

    def _predict(
        self,
        output: Callable[[Any, Any, Array, Array], Array],
        images: Float[Array, "rows ny nx channels"],
        wedge: Wedge,
        rho: Array | float,
    ) -> Float[Array, "rows ny nx"]:
        inputs = condition(wedge.width_rad, rho, None if self.config.turned else wedge.center_rad)
        inputs = self.config.conditioned * inputs.astype(images.dtype)
        predict = lambda images: output(self.config, self.params, images, inputs)  # noqa: E731
        if self.mirror is not None:
            mirror = jax.vmap(functools.partial(_mirror, self.mirror, reflections=self.config.turned))
            return mirror(predict(mirror(images)))
        return _mean_over_mirrors(predict, images, self.config.turned) if self.symmetric else predict(images)


def find_network_prior(prior: Prior | None) -> NetworkPrior | None:
    """The network prior that a prior is or contains; None without one."""
    while prior is not None and not isinstance(prior, NetworkPrior):
        prior = getattr(prior, "prior", None)
    return prior


def network_engine(prior: Prior | None) -> str | None:
    """The engine that computes the network of a prior on float32 images; None without such a network."""
    network = find_network_prior(prior)
    if network is None:
        return None
    return engine_of(network.config.network, getattr(network.config, "compute_dtype", None))


def _initial_iterations(card: Card) -> int:
    trained_on = card.get("trained_on", {})
    # Cards written before version 0.3, those of the shipped weights among them, name it `first_iterations`.
    return int(trained_on.get("initial_iterations", trained_on.get("first_iterations", 0)))


def _neighbouring_rows(volume: Float[Array, "rows n n"], reach: int) -> list[Float[Array, "rows n n"]]:
    """For every row its neighbours 1 below, 1 above, 2 below, ...; the outermost rows are repeated."""
    rows = jnp.arange(len(volume))
    steps = [sign * k for k in range(1, reach + 1) for sign in (-1, 1)]
    return [volume[jnp.clip(rows + step, 0, len(volume) - 1)] for step in steps]


def _mean_over_mirrors(
    function: Callable, images: Float[Array, "m n n channels"], reflections: bool
) -> Float[Array, "m n n"]:
    """The mean of ``function`` over the mirror images of a volume's rows, each mirrored back."""
    mirrors = [lambda a: a, lambda a: a[:, ::-1, ::-1]]
    if reflections:
        mirrors += [lambda a: a[:, ::-1], lambda a: a[:, :, ::-1]]
    results = jax.vmap(function)(jnp.stack([mirror(images) for mirror in mirrors]))
    return sum(mirror(result) for mirror, result in zip(mirrors, results, strict=True)) / len(mirrors)


def _mirror(index, image: Array, reflections: bool) -> Array:
    """Mirror image of an index, modulo their number: 0 the image, 1 its half turn, 2 up-down, 3 left-right.

    Without ``reflections`` there are the first two. Each is its own inverse.
    """
    index = index % (4 if reflections else 2)
    image = jnp.where((index == 1) | (index == 2), image[::-1], image)
    return jnp.where((index == 1) | (index == 3), image[:, ::-1], image)


def condition(
    width_rad: Array | float, rho: Array | float, center_rad: Array | float | None = None
) -> Float[Array, " conditions"]:
    """Condition vector ``((width - 75 deg) / 45 deg, log10(rho) + 2, sin 2c, cos 2c)`` of the network.

    The last two entries are left out where no centre ``c`` is passed. All are of order one for wedges of 30
    to 120 degrees and rho from 0.001 to 0.1.

    Args:
        width_rad: (), width of the missing wedge, rad.
        rho: (), prior strength, relative to ``||A||^2 = 1``.
        center_rad: (), centre ``c`` of the missing wedge, rad.
    """
    width = (jnp.rad2deg(jnp.asarray(width_rad, jnp.result_type(float))) - 75) / 45
    entries = [width, jnp.log10(jnp.asarray(rho, width.dtype)) + 2]
    if center_rad is not None:
        double = 2 * jnp.asarray(center_rad, width.dtype)
        entries += [jnp.sin(double), jnp.cos(double)]
    return jnp.stack(entries)


def check_config(config: NetworkConfig) -> None:
    """Checks that the inputs of a network are those of :meth:`NetworkPrior.denoise`.

    Raises:
        ValueError: Where they are not.
    """
    conditions, channels = CONDITION_LENGTH[config.turned], config.in_channels
    if (channels != 1 and channels % 2) or config.condition != conditions:
        raise ValueError(
            f"the network takes {channels} channels and {config.condition} conditions; expected 1 channel "
            "(image), 2 (image, data correction) or 2 more for each neighbouring row on either side, and "
            f"{conditions} conditions (turned = {str(config.turned).lower()})"
        )
