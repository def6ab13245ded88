"""Does the adaptation of the prior to the scan itself improve the reconstruction, and where does it fail?

Command:  python -m experiments.self_supervision [--preset tiny|default|ablation]
          Layouts, the real chip and the other measured samples need PFITRE_DATA or ../shared/data.
Runtime:  hours on 2 cores, resumes (tiny: 2 minutes).
Expected: 1 to 4 dB on layouts and rods, up to 1.5 dB on circuits like those of the training, and large or no
          gains on single slices. Where no round predicts held-out views better, the prior and the result stay
          the same.

"ablation" compares settings of the adaptation on other held-out volumes. No setting is chosen on a scan of
the default preset; the stop rule was set on the circuits and slices 5000 to 5015 and the layouts 1 to 8.
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.training import AdaptationSettings


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        prior: Name of the prior.
        settings: Settings of the adaptation, by name; the first are the default.
        circuits: Seeds of the held-out volumes of circuits; each has another orientation of the wedge.
        layouts: Seeds of the pieces of the held-out layout.
        volumes: Seeds of pieces of the held-out layout whose rows are neighbours: ``joint_prior`` and
            ``prior`` are adapted to the same rows.
        joint_prior: Name of the prior of neighbouring rows.
        slices: Seeds of the held-out slices, each a scan of its own.
        rods: Seeds of slices of thin rods, which no prior was trained on.
        reuse: Kind and seeds of two scans: the prior adapted to the first reconstructs the second.
        rows: Rows of a volume that are used.
        row_step: Step between them.
        size: Pixels and detector bins of the simulated scans.
        views: Number of views of the simulated scans.
        missing_deg: Missing wedge of the simulated scans, degrees.
        noise: Sigma over the largest line integral of the simulated scans.
        chip: Held-out views of Cu_23, by name.
        chip_row_step: Step between the rows of Cu_23 that are reconstructed, from row 2 on.
        tv_weights: Weights of FISTA-TV for Cu_23; the best one by the held-out views counts.
        real: Missing wedges, degrees, by the name of the measured sample in
            :func:`experiments.common.real_scans.full_angle_samples`.
    """

    prior: str = "general"
    settings: dict[str, AdaptationSettings] = dataclasses.field(
        default_factory=lambda: {"default": AdaptationSettings()}
    )
    circuits: tuple[int, ...] = tuple(range(6000, 6008))
    layouts: tuple[int, ...] = tuple(range(15, 23))
    volumes: tuple[int, ...] = (15, 16, 17)
    joint_prior: str = "volume"
    slices: tuple[int, ...] = tuple(range(6000, 6016))
    rods: tuple[int, ...] = (2,)
    reuse: tuple[str, ...] = ("layouts 15 16", "layouts 17 18", "circuits 6000 6001")
    rows: int = 8
    row_step: int = 3
    size: int = 128
    views: int = 51
    missing_deg: float = 96.0
    noise: float = 0.01
    chip: dict[str, str] = dataclasses.field(
        default_factory=lambda: {"36-50": "36:51", "28-35": "28:36", "every fourth": "0:51:4"}
    )
    chip_row_step: int = 6
    tv_weights: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3)
    real: dict[str, tuple[float, ...]] = dataclasses.field(
        default_factory=lambda: (
            dict.fromkeys(("heat sink", "walnut", "wood", "disc 04b"), (60.0, 90.0, 120.0))
            | dict.fromkeys(("i13", "tooth"), (90.0,))
        )
    )


SHORT = AdaptationSettings(rounds=3, patience=3)
PRESETS = {
    "default": Config(),
    "ablation": Config(
        settings={
            "rate 2e-4": dataclasses.replace(SHORT, rate=2e-4),
            "rate 1e-4": SHORT,
        },
        circuits=(9001, 9002),
        layouts=(12, 14),
        volumes=(),
        slices=(),
        rods=(),
        reuse=(),
        chip={},
        real={},
    ),
    "tiny": Config(
        settings={
            "default": AdaptationSettings(rounds=1, steps=1, batch=2, iterations=1, predicted_iterations=1)
        },
        circuits=(5000,),
        layouts=(),
        volumes=(),
        slices=(),
        rows=4,
        row_step=1,
        size=40,
        views=20,
        rods=(),
        reuse=(),
        chip={},
        real={},
    ),
}
