"""Does the scan itself show which prior suits it, or that none does?

Command:  python -m experiments.prior_selection [--preset tiny|default] [--prior NAME|WEIGHTS ...]
          Needs PFITRE_DATA or ../shared/data for held-out pictures and volumes.
Runtime:  about an hour on 2 cores, resumes (tiny: 2 minutes).
Expected: see README.md.

Simulated scans of several kinds are reconstructed with every prior and by total variation, and every one of
them predicts held-out views. The rule of ``--prior auto`` is then applied to these predictions.
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.evaluation import FILES


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment. The priors are options of the command.

    Attributes:
        sources: Number of scans of each source of held-out scenes.
        scenes: Number of scans of each scene of the twin.
        size: Number of pixels and bins.
        missing_deg: Range of the missing wedge, degrees.
        views: Numbers of views.
        noise: Range of the noise over the sinogram's maximum, log-uniform.
        artifacts: Strength of the artifacts; every third scan has one of them.
        seed: Seed of everything that is drawn.
        iterations: Iterations of total variation; None for the default.
    """

    sources: dict[str, int] = dataclasses.field(
        default_factory=lambda: {"heldout": 8} | dict.fromkeys(FILES, 3)
    )
    scenes: dict[str, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(
            ("packing", "foam", "fibres", "wood", "bone", "membranes", "particles"), 1
        )
    )
    size: int = 96
    missing_deg: tuple[float, float] = (50.0, 120.0)
    views: tuple[int, ...] = (60,)
    noise: tuple[float, float] = (0.002, 0.03)
    artifacts: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"shift": 0.7, "gain": 0.03, "stripes": 0.02, "center_error": 0.7}
    )
    seed: int = 7100
    iterations: int | None = None


PRESETS = {
    "default": Config(),
    "tiny": Config(
        sources={"heldout": 2}, scenes={"packing": 1}, size=48, views=(24,), artifacts={}, iterations=20
    ),
}
