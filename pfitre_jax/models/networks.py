"""Registry of the networks that a learned prior may use.

A network is one module with a :class:`Network` called ``NETWORK``, and one line in :data:`NETWORKS`. Its
module is imported when the network is first used.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any, Protocol, Self

from jaxtyping import Array

#: Modules of the networks by their names.
NETWORKS = {
    "unet": "pfitre_jax.models.unet",
    "unet3d": "pfitre_jax.contrib.unet3d",
}


class NetworkConfig(Protocol):
    """What a learned prior reads from the configuration of its network; a frozen, hashable dataclass.

    Attributes:
        in_channels: Channels of the input: the image, the data correction, neighbouring rows.
        condition: Length of the condition vector.
        turned: Whether images are rotated into the frame of the wedge.
        conditioned: Whether the network receives the condition; otherwise it receives zeros.
    """

    @property
    def in_channels(self) -> int:
        """Channels of the input: the image, the data correction, neighbouring rows."""
        ...

    @property
    def condition(self) -> int:
        """Length of the condition vector."""
        ...

    @property
    def turned(self) -> bool:
        """Whether images are rotated into the frame of the wedge."""
        ...

    @property
    def conditioned(self) -> bool:
        """Whether the network receives the condition; otherwise it receives zeros."""
        ...

    @property
    def network(self) -> str:
        """Name of the network in :data:`NETWORKS`."""
        ...

    @property
    def least_arrays(self) -> int:
        """Lower bound of the number of parameter arrays, known without building the network."""
        ...

    def to_json(self) -> str:
        """The configuration as JSON text."""
        ...

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The configuration in a text of :meth:`to_json`."""
        ...


@dataclasses.dataclass(frozen=True)
class Network:
    """One kind of network, as pure functions of its configuration and parameters.

    Attributes:
        config: Class of its configuration, a :class:`NetworkConfig`.
        init: ``(config, key) -> params``, random parameters with which the update is 0.
        predict_update: ``(config, params, images, condition) -> update``, the update that the network adds
            to each row: images (rows, ny, nx, in_channels), condition (k,), update (rows, ny, nx).
        reach: ``(config) -> rows``, neighbouring rows on each side that a row depends on, besides those among
            its input channels.
        extend: ``(config, params, wanted) -> params``, parameters with which a larger network predicts the
            same update. Raises ``ValueError`` where ``wanted`` does not extend ``config``.
        predict_log_error: As ``predict_update``: the logarithm of the absolute error to expect in each pixel.
            None for a kind of network without this output; otherwise the field ``expected_error`` of a
            configuration tells whether its network has it.
    """

    config: type[Any]
    init: Callable[[Any, Array], dict]
    predict_update: Callable[[Any, dict, Array, Array], Array]
    reach: Callable[[Any], int]
    extend: Callable[[Any, dict, Any], dict]
    predict_log_error: Callable[[Any, dict, Array, Array], Array] | None = None


def find_network(name: str) -> Network:
    """Returns the network with a name.

    Raises:
        ValueError: For a name that is not in :data:`NETWORKS`.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; expected one of {', '.join(NETWORKS)}")
    return importlib.import_module(NETWORKS[name]).NETWORK
