"""Ablation of a prior: inputs, network, loss, optimiser, number of scenes, artifacts in the training.

Command:  python -m experiments.prior_ablation [--only wedge|network|loss|optimiser|scenes|artifacts]
          PFITRE_NETWORK=onednn-bfloat16 taskset -c 0 python -m experiments.prior_ablation --only architecture
Runtime:  about 40 minutes on 2 cores, architecture two hours on one core; resumes (tiny: 2 minutes).
Expected: the frame of the wedge and Muon gain 0.2 dB each, a dense block 0.1 dB, RMS as the loss 0.3 dB; half
          the width costs 0.25 dB. A hundred scenes are enough for so short a training. An artifact that was
          not in the training costs at most a little more than 0.1 dB. At equal time on one core, unshuffled
          pixels, lower resolutions and larger networks lose 0.2 to 0.5 dB, and fewer dilations gain 0.1 dB.

The stages of a training are compared in :mod:`experiments.unrolled_training`.
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.models import UNetConfig

#: Parts of the experiment, by preset; the tiny preset has one part of each kind.
PARTS = {
    "default": ("wedge", "network", "loss", "optimiser", "scenes", "architecture", "artifacts"),
    "tiny": ("wedge", "scenes", "architecture", "artifacts"),
}
#: Artifacts that are left out of a training together.
GROUPS = {
    "shifts": ("shift", "drift", "outliers", "sample_drift", "center_error", "angle_error"),
    "intensity": ("gain", "equalised", "absorption"),
    "columns": ("stripes", "dead", "hot"),
    "zingers": ("zingers",),
    "blur": ("blur",),
    "truncation": ("truncation",),
}

#: Changes of the loss weights.
LOSSES = {
    "with idempotence": {"idempotence": 0.1},
    "with consistency": {"consistency": 0.1},
    "with MS-SSIM": {"ms_ssim": 0.1},
    "L1 only": {"gradient": 0.0},
    "RMS": {"l1": 0.0, "rms": 1.0},
}


@dataclasses.dataclass(frozen=True)
class ArchitectureConfig:
    """Configuration of the comparison of architectures at equal time.

    Attributes:
        network: Network that the others differ from.
        deep: Channels at 1/8 and 1/16 resolution, where a network has these.
        steps: Steps of ``network``; the others are trained for the same time.
        timed_steps: Steps in which the time of a step is measured.
        size: Pixels and detector bins.
        views: Views of a scan.
        scans: Number of test scans, of 8 slices each.
        seeds: Seeds of the trainings.
        names: Names of the architectures to compare; empty for all.
    """

    network: UNetConfig = dataclasses.field(
        default_factory=lambda: UNetConfig((16, 32, 96), blocks=3, growth=48)
    )
    deep: tuple[int, int] = (128, 128)
    steps: int = 765
    timed_steps: int = 15
    size: int = 96
    views: int = 51
    scans: int = 8
    seeds: tuple[int, ...] = (5, 6)
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        network: Network of the priors.
        steps: Steps of each training.
        rate: Learning rate.
        size: Pixels and detector bins.
        views: Views of a scan.
        scans: Number of test scans, of 8 slices each.
        scenes: Numbers of distinct training scenes to compare with an unlimited number.
        groups: Names of the :data:`GROUPS` to compare.
        parent: Training configuration that supplies the scenes and, for the artifacts, the last instrument.
        rho: Prior strength of the test.
        iterations: Iterations of the test.
        seed: Seed of the training and of the test.
        architecture: Comparison of architectures, whose fields replace those above.
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
    architecture: ArchitectureConfig = dataclasses.field(default_factory=ArchitectureConfig)


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
        architecture=ArchitectureConfig(
            UNetConfig(channels=(4, 4, 9), growth=6, blocks=1, dilations=(1,), embedding=4),
            deep=(4, 4),
            steps=4,
            timed_steps=2,
            size=32,
            views=12,
            scans=1,
            names=("base", "unshuffled, 1/8, 1/16"),
        ),
    ),
}
