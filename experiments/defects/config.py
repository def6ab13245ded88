"""Defects of chips: are they seen, or does the reconstruction show a healthy chip with confidence?

Command:  python -m experiments.defects [--preset tiny|quick|adapt|default] [--prior NAME_OR_PATH]
          A prior with calibrated intervals (``expected_error`` and a table in its card) is tested with them.
          Layouts need PFITRE_DATA or ../shared/data; without them the other chips are used. The preset adapt
          has only layouts.
Runtime:  --preset quick about 6 minutes of one core, resumes (tiny: 1 minute; default: hours).
Expected: defects of 3 pixels or more whose edges are measured are seen. Of those that are not seen, the aim
          is that 95% lie where the interval contains their true values; the prior general reached a
          quarter (results/quick).

Chips of the digital twin, of the held-out generator and of held-out layouts, each with and without one
defect, are measured by the same instrument with the same noise, and again with other noise.
"""

from __future__ import annotations

import dataclasses

from pfitre_jax.priors import DEFAULT_PRIOR

#: Methods by the label in the tables: name of the method, and its keyword arguments.
METHODS: dict[str, tuple[str, dict]] = {
    "fista-tv": ("fista-tv", {}),
    "pfitre": ("pfitre", {}),
    "pfitre --adapt": ("pfitre", {"adapt": True}),
}
TV, PFITRE, ADAPT = METHODS


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        size: Pixels and detector bins.
        missing_deg: Width of the missing wedge.
        center_deg: Middle of the missing wedge.
        views: Number of views.
        noise: Sigma over the largest line integral.
        noise_seeds: Seeds of the noise; each defective chip is measured with each of them.
        healthy_seeds: Number of these seeds with which the chip without the defect is measured, too.
        methods: Labels in :data:`METHODS`.
        kinds: Kinds of defects, of :data:`experiments.defects.chips.KINDS`.
        sizes: Sizes of the defects, pixels.
        chips: Chips for each kind and size. The edges of defects with a direction are measured in every other
            chip.
        margin_deg: Smallest distance of the normal of these edges from the ends of the wedge.
        sources: Sources of the chips, in turn, see :func:`pfitre_jax.evaluation.draw_scene`.
        settings: Settings of all methods that differ from their defaults, to save time: a support need not be
            selected for each scan.
        prior: Learned prior of ``pfitre``, its name or weights file.
        first_seed: Seed of the first chip.
    """

    size: int = 96
    missing_deg: float = 96.0
    center_deg: float = 22.5
    views: int = 51
    noise: float = 0.01
    noise_seeds: tuple[int, ...] = (1, 2, 3, 4)
    healthy_seeds: int = 4
    methods: tuple[str, ...] = (TV, PFITRE)
    kinds: tuple[str, ...] = ("broken wire", "short", "void", "missing via", "displaced wire")
    sizes: tuple[float, ...] = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
    chips: int = 8
    margin_deg: float = 10.0
    sources: tuple[str, ...] = ("circuits", "heldout", "tile", "ihp")
    settings: tuple[tuple[str, object], ...] = (("support", "disc"),)
    prior: str = DEFAULT_PRIOR
    first_seed: int = 700_000


PRESETS = {
    "default": Config(),
    "quick": Config(noise_seeds=(1, 2), healthy_seeds=1, sizes=(1.5, 3.0, 6.0), chips=4),
    # Adaptation is slow: few defects, among rows of the same chips without them. Only layouts, because the
    # adapted prior is mostly kept on them.
    "adapt": Config(
        noise_seeds=(1, 2),
        healthy_seeds=2,
        methods=(TV, PFITRE, ADAPT),
        kinds=("broken wire", "displaced wire"),
        sizes=(1.5, 3.0),
        chips=4,
        sources=("tile",),
    ),
    "tiny": Config(
        size=64,
        views=24,
        noise_seeds=(1, 2),
        healthy_seeds=1,
        kinds=("broken wire", "missing via"),
        sizes=(3.0,),
        chips=2,
        sources=("circuits", "heldout"),
        settings=(("support", "disc"), ("iterations", 4)),
    ),
}
