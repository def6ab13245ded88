"""Plug-and-play training against training through the loop, at equal cost.

Command:  python -m experiments.unrolled_training [--preset tiny|default]
Runtime:  about 30 minutes on 2 cores, resumes (tiny: half a minute).
Expected: three iterations trained end to end are as good as ten iterations of a network trained equally long
          on single iterates. The equilibrium variant, whose gradient rarely converges, and the learned
          primal-dual method, trained from scratch, are worse.
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.models import UNetConfig

#: Variants, and the iterations of the loop that one training step differentiates through.
VARIANTS = {
    "plug-and-play, longer": 1,
    "unrolled": 3,
    "unrolled, rho learned": 3,
    "separate weights, rho learned": 4,
    "equilibrium": 8,
    "learned primal-dual": 8,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        network: Network of the prior.
        variants: Names of :data:`VARIANTS`.
        steps: Steps of the plug-and-play training that all variants but learned primal-dual start from.
        rate: Learning rate of those.
        passes: Network passes (forward and backward) of each variant. A variant through K iterations has
            ``passes/K`` steps; the equilibrium has half of that, because its gradient is a series of as many
            terms.
        fine_rate: Learning rate of the variants.
        primal_dual_share: Cost of a pass of the primal-dual networks over a pass of the U-Net.
        size: Pixels and detector bins.
        views: Views of a scan.
        slices: Slices of a scan.
        scans: Number of test scans.
        iterations: Iterations of the loop in the test, unless the variant fixes them.
        rho: Prior strength.
        parent: Training configuration that supplies scenes and instrument.
        seed: Seed of the training and of the test.
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
