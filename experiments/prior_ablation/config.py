"""What a prior needs: what it is told of the wedge, its layout, loss and optimiser, how many scenes, which
imperfections. What a stage of training is worth: :mod:`experiments.unrolled_training`.

command: python -m experiments.prior_ablation [--only wedge|network|loss|optimiser|scenes|imperfections]
runtime: about 40 minutes on 2 cores (tiny: 2 minutes); variants that are done are not trained again
expected: the wedge's frame and Muon are worth 0.2 dB each; a hundred scenes are enough for so short a
    training; a dense block 0.1 dB, half the width -0.25; the root mean square as the loss +0.3; an
    imperfection never seen costs little more than 0.1 dB at most
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.models.unet import UNetConfig

#: What is compared, by preset: tiny has one part of each kind.
PARTS = {
    "default": ("wedge", "network", "loss", "optimiser", "scenes", "imperfections"),
    "tiny": ("wedge", "scenes", "imperfections"),
}
#: What is left out of the training together: imperfections of one cause.
GROUPS = {
    "shifts": ("shift", "drift", "outliers", "sample_drift", "center_error", "angle_error"),
    "intensity": ("gain", "equalised", "absorption"),
    "columns": ("stripes", "dead", "hot"),
    "zingers": ("zingers",),
    "blur": ("blur",),
    "truncation": ("truncation",),
}

#: Changes of the loss's weights.
LOSSES = {
    "and idempotence": {"idempotence": 0.1},
    "and consistency": {"consistency": 0.1},
    "and MS-SSIM": {"ms_ssim": 0.1},
    "L1 alone": {"gradient": 0.0},
    "root mean square": {"l1": 0.0, "rms": 1.0},
}


@dataclasses.dataclass(frozen=True)
class Config:
    """steps, size, views: of each training; scans: of 8 slices, that each result is judged on

    scenes: numbers of distinct training scenes to compare with an unlimited one
    parent: training configuration whose scenes and, for the imperfections, last instrument are used
    rho, iterations: of the loop that is judged
    """

    network: UNetConfig = dataclasses.field(
        default_factory=lambda: UNetConfig((8, 16, 48), blocks=1, growth=24, embedding=16)
    )
    steps: int = 500
    rate: float = 2e-3
    size: int = 64
    views: int = 40
    scans: int = 6
    scenes: tuple[int, ...] = (10, 100, 1000)
    groups: tuple[str, ...] = tuple(GROUPS)
    parent: str = "circuits"
    rho: float = 0.005
    iterations: int = 6
    seed: int = 5


PRESETS = {
    "default": Config(),
    "tiny": Config(
        UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1,), embedding=4),
        steps=4,
        size=32,
        views=12,
        scans=1,
        scenes=(10,),
        groups=("zingers",),
        iterations=2,
    ),
}
