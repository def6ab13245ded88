"""Layers of chip processes and their heights.

Lengths are in micrometres.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike


class Layer(NamedTuple):
    """A layer of a process.

    Attributes:
        name: Its name.
        gds: GDS layer and datatype.
        bottom: Height of its lower surface, um.
        thickness: Its thickness, um.
    """

    name: str
    gds: tuple[int, int]
    bottom: float
    thickness: float


@dataclasses.dataclass(frozen=True)
class Stack:
    """The layers that a process builds above the silicon.

    Attributes:
        name: Name of the process.
        layers: Its layers.
        pitch: Pitch of the finest wires, um.
        row_height: Height of the standard cells, um.
        boundary: GDS layer and datatype of the outlines of the standard cells.
    """

    name: str
    layers: tuple[Layer, ...]
    pitch: float
    row_height: float
    boundary: tuple[int, int]

    def shares(self, edges: ArrayLike) -> Float[np.ndarray, "rows layers"]:
        """Share of each slab between neighbouring ``edges`` (slabs + 1,), um, that each layer fills."""
        bottom = np.array([layer.bottom for layer in self.layers])
        top = bottom + [layer.thickness for layer in self.layers]
        heights = np.asarray(edges, float)
        overlap = np.minimum(heights[1:, None], top) - np.maximum(heights[:-1, None], bottom)
        return np.maximum(overlap, 0.0) / np.diff(heights)[:, None]


def _stack(name, pitch, row_height, boundary, *layers) -> Stack:
    return Stack(name, tuple(Layer(*layer) for layer in layers), pitch, row_height, boundary)


#: Processes. Vias reach from the layer below to the one above. Heights of sky130 are those of
#: iic-jku/klayout-pex and mbalestrini/GDS2glTF. The other heights are approximate: metals of sg13g2 follow a
#: summary of its technology LEF, its poly and contacts and nangate45 follow typical heights of such
#: processes, and asap7, a predictive process without heights, has lines twice as high as wide.
STACKS = {
    stack.name: stack
    for stack in (
        _stack(
            "sky130", 0.46, 2.72, (236, 0),
            ("poly", (66, 20), 0.3262, 0.18),
            ("licon1", (66, 44), 0.3262, 0.6099),
            ("li1", (67, 20), 0.9361, 0.1),
            ("mcon", (67, 44), 1.0361, 0.34),
            ("met1", (68, 20), 1.3761, 0.36),
            ("via", (68, 44), 1.7361, 0.27),
            ("met2", (69, 20), 2.0061, 0.36),
            ("via2", (69, 44), 2.3661, 0.42),
            ("met3", (70, 20), 2.7861, 0.845),
            ("via3", (70, 44), 3.6311, 0.39),
            ("met4", (71, 20), 4.0211, 0.845),
            ("via4", (71, 44), 4.8661, 0.505),
            ("met5", (72, 20), 5.3711, 1.26),
        ),
        _stack(
            "sg13g2", 0.42, 3.78, (189, 4),
            ("gatpoly", (5, 0), 0.29, 0.16),
            ("cont", (6, 0), 0.29, 0.64),
            ("metal1", (8, 0), 0.93, 0.4),
            ("via1", (19, 0), 1.33, 0.55),
            ("metal2", (10, 0), 1.88, 0.45),
            ("via2", (29, 0), 2.33, 0.55),
            ("metal3", (30, 0), 2.88, 0.45),
            ("via3", (49, 0), 3.33, 0.55),
            ("metal4", (50, 0), 3.88, 0.45),
            ("via4", (66, 0), 4.33, 0.55),
            ("metal5", (67, 0), 4.88, 0.45),
        ),
        _stack(
            "nangate45", 0.14, 1.4, (235, 0),
            ("poly", (9, 0), 0.0, 0.085),
            ("contact", (10, 0), 0.0, 0.37),
            ("metal1", (11, 0), 0.37, 0.13),
            ("via1", (12, 0), 0.5, 0.12),
            ("metal2", (13, 0), 0.62, 0.14),
            ("via2", (14, 0), 0.76, 0.12),
            ("metal3", (15, 0), 0.88, 0.14),
        ),
        _stack(
            "asap7", 0.036, 0.27, (100, 0),
            ("gate", (7, 0), 0.0, 0.04),
            ("lisd", (17, 0), 0.0, 0.05),
            ("lig", (16, 0), 0.04, 0.01),
            ("v0", (18, 0), 0.05, 0.036),
            ("m1", (19, 0), 0.086, 0.036),
            ("v1", (21, 0), 0.122, 0.036),
            ("m2", (20, 0), 0.158, 0.036),
        ),
    )
}  # fmt: skip
