"""Configuration of the U-Net of the learned prior, and the checks of what a network is given."""

from __future__ import annotations

import dataclasses
import json

from jaxtyping import Array

_SWITCHES = ("turned", "conditioned", "along_rows", "unshuffled", "expected_error")
_DTYPES = ("bfloat16", "float16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """Configuration of a U-Net; static and hashable.

    It has 0.33 M parameters by default, 0.69 M with channels (16, 32, 96) and growth 48, and 1.30 M with
    channels (32, 64, 128) and growth 64.

    Attributes:
        channels: Channels at full, 1/2 and 1/4 resolution. With ``unshuffled`` there are no features at full
            resolution, and the first number has no effect.
        blocks: Number of residual dense blocks at 1/4 resolution; 0 for a plain U-Net.
        dilations: Dilations of the convolutions in a block.
        growth: Channels that each convolution of a block adds.
        in_channels: Channels of the input; the first is the current image.
        condition: Length of the condition vector.
        embedding: Length of the embedding of the condition.
        turned: Whether the prior rotates images into the frame of the wedge; otherwise the wedge's centre is
            part of the condition, see :func:`pfitre_jax.priors.network.condition`.
        conditioned: Whether the network receives the condition; otherwise it receives zeros.
        along_rows: Whether it is the network of volumes, :mod:`pfitre_jax.contrib.unet3d`.
        compute_dtype: Type that the network computes in, such as ``"bfloat16"``; ``None`` for that of the
            image. The update is added in the image's type.
        deep: Channels at 1/8, 1/16, ... resolution, between the first and the second half of the blocks. They
            carry features across the image at little cost.
        unshuffled: Whether four neighbouring pixels are four channels at 1/2 resolution, in the input and in
            the output, instead of convolutions at full resolution.
        expected_error: Whether there is a second output, see :func:`predict_log_error`.

    Raises:
        ValueError: For a value that no network can have.
    """

    channels: tuple[int, int, int] = (16, 32, 64)
    blocks: int = 2
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    growth: int = 32
    in_channels: int = 2
    condition: int = 2
    embedding: int = 32
    turned: bool = True
    conditioned: bool = True
    along_rows: bool = False
    compute_dtype: str | None = None
    deep: tuple[int, ...] = ()
    unshuffled: bool = False
    expected_error: bool = False

    def __post_init__(self):
        # JSON gives lists, which are not hashable.
        for name in ("channels", "dilations", "deep"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.channels) != 3:
            raise ValueError(
                f"channels is {self.channels}; expected three numbers, for full, 1/2 and 1/4 resolution"
            )
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected true or false")
        if self.compute_dtype not in (None, *_DTYPES):
            raise ValueError(
                f"compute_dtype is {self.compute_dtype!r}; expected none, or one of {', '.join(_DTYPES)}"
            )
        no_sizes = {"compute_dtype", *_SWITCHES}
        sizes = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in no_sizes}
        for name, value in sizes.items():
            numbers = value if isinstance(value, tuple) else (value,)
            least = 0 if name == "blocks" else 1
            if (not numbers and name != "deep") or any(not isinstance(n, int) or n < least for n in numbers):
                raise ValueError(f"{name} is {value!r}; expected whole numbers of at least {least}")
        of_images = [name for name in ("deep", "unshuffled", "expected_error") if getattr(self, name)]
        if self.along_rows and of_images:
            raise ValueError(
                f"along_rows is true, and the network has {', '.join(of_images)}, which networks of volumes "
                "cannot have; expected one or the other"
            )

    @property
    def network(self) -> str:
        """Name in :data:`pfitre_jax.models.networks.NETWORKS`."""
        return "unet3d" if self.along_rows else "unet"

    @property
    def least_arrays(self) -> int:
        """Lower bound of the number of parameter arrays."""
        return self.blocks * len(self.dilations)

    @property
    def multiple(self) -> int:
        """Multiple that the sizes of an image are padded to: the scale of the lowest resolution."""
        return 4 * 2 ** len(self.deep)

    def to_json(self) -> str:
        """Returns the fields as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> UNetConfig:
        """Reads the text of :meth:`to_json`.

        Raises:
            ValueError: For an unknown field or an invalid value.
        """
        fields = json.loads(text)
        known = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or not set(fields) <= known:
            unknown = sorted(set(fields) - known) if isinstance(fields, dict) else fields
            raise ValueError(f"a U-Net configuration has {unknown}; expected fields of {sorted(known)}")
        return cls(**fields)


def check_inputs(config: UNetConfig, inputs: Array, condition: Array) -> None:
    """Checks the shapes of an image (ny, nx, in_channels) or volume, and of a condition (k,).

    Raises:
        ValueError: For a wrong number of axes, channels or conditions.
    """
    kind, axes = ("volume", "rows, ny, nx") if config.along_rows else ("image", "ny, nx")
    if inputs.ndim != 3 + config.along_rows or inputs.shape[-1] != config.in_channels:
        raise ValueError(f"the {kind} has shape {inputs.shape}; expected ({axes}, {config.in_channels})")
    if condition.shape != (config.condition,):
        raise ValueError(f"the condition has shape {condition.shape}; expected ({config.condition},)")


def check_expected_error(config: UNetConfig) -> None:
    """Checks that a network has the expected error as an output.

    Raises:
        ValueError: Where it has not.
    """
    if not config.expected_error:
        raise ValueError(
            "the network has no output for the expected error; expected weights that were trained with "
            "expected_error = true in [network]"
        )
