"""Plug-and-play against training through the loop, at equal cost: unrolled, with own weights, equilibrium.

command: python -m experiments.unrolled_training [--preset tiny|default]
runtime: about 30 minutes on 2 cores, resumes (tiny: half a minute)
expected: trained through the first three iterations, these are as good as ten of the network that was trained
    as long where the loop stands; the equilibrium, whose gradient seldom holds, and the learned primal-dual
    method, from scratch, stay behind
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.models.unet import UNetConfig

#: What is trained on from the same plug-and-play prior, and iterations of the loop that a step goes through.
VARIANTS = {
    "plug-and-play, longer": 1,
    "unrolled": 3,
    "unrolled, rho learned": 3,
    "own weights, rho learned": 4,
    "equilibrium": 8,
    "learned primal-dual": 8,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """steps, rate: of the plug-and-play training that all but the last variant go on from

    passes: of the network, forward and backward, that each variant then has, so that one through K iterations
        makes ``passes/K`` steps, one at the fixed point, whose gradient is a series of as many terms, half as
        many; fine_rate: of those
    primal_dual_share: cost of a pass of the primal-dual networks over that of the U-Net
    size, views, slices: of the scans; scans: to judge by, of ``slices`` each
    iterations: of the loop when it is judged, of every variant that does not fix them
    """

    network: UNetConfig = dataclasses.field(
        default_factory=lambda: UNetConfig((8, 16, 48), blocks=1, growth=24, embedding=16)
    )
    variants: tuple[str, ...] = tuple(VARIANTS)
    steps: int = 800
    rate: float = 2e-3
    passes: int = 900
    fine_rate: float = 1e-3
    primal_dual_share: float = 0.5
    size: int = 64
    views: int = 40
    slices: int = 8
    scans: int = 6
    iterations: tuple[int, ...] = (2, 3, 4, 6, 10)
    rho: float = 0.005
    parent: str = "circuits"
    seed: int = 5


PRESETS = {
    "default": Config(),
    "tiny": Config(
        UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1,), embedding=4),
        variants=("unrolled", "equilibrium"),
        steps=2,
        passes=8,
        size=32,
        views=12,
        slices=2,
        scans=1,
        iterations=(2,),
    ),
}
