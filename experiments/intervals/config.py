"""Calibration and test of the intervals of a prior, or of a method without a prior.

Command:  python -m experiments.intervals [--prior NAME_OR_PATH | --method METHOD] [--intervals quick|full]
          [--preset tiny|small|quick|standard|bootstrap|full] [--all-scenes] [--real] [--write]
          [--reference] [--skip-test | --from-card]
          quick: the error that the prior expects. full: with the bootstrap, too; about 25 times slower.
          --from-card tests the table of the card without a calibration.
          Scenes from files need PFITRE_DATA or ../shared/data; without them the others are used.
Runtime:  --preset quick about 12 minutes on one core, resumes (tiny: 1 minute, standard and bootstrap: half
          an hour, full: hours).
Expected: the intervals contain 90 to 93% of the true values overall and 82 to 98% in each cell of wedge and
          noise, and they are narrower than intervals of one constant width with the same coverage.

Calibration: scans of simulated scenes for each cell of wedge width and noise. The score of a pixel is its
absolute error over the scale of its interval. Their conformal quantiles are the factors of the table, which
``--write`` stores in the model card of the weights (for ``--method``: in the package). Test: scans of other
scenes at fixed wedges and noise levels.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        size: Pixels and detector bins.
        views: Numbers of views, in turn.
        rows: Scenes of a scan, one in each row.
        scans: Calibration scans of each cell.
        wedge_edges: Limits of the cells, degrees.
        simulated_noise: Limits of the noise that is simulated in each cell, sigma over the largest line
            integral.
        noise_edges: Limits of the noise of the cells in the table. The noise that is estimated from a scan
            decides on its cell; it is not below the error of the discretisation.
        scenes: Scenes for the calibration, and as many for the test; they are shared by the cells.
        sources: Sources of the scenes, in turn.
        test_wedges: Wedges of the test, degrees.
        test_noise: Noise levels of the test.
        test_scans: Test scans of each wedge and noise level.
        draws: Bootstrap draws of ``--intervals full``.
        settings: Settings of the method that differ from its defaults, to save time: the support and the
            number of iterations need not be selected for each scan.
        fewest: Smallest number of slices of a cell of the table.
        domain: Whether slices with a domain score above 1, where intervals do not hold, are left out.
        seed: Seed of geometry, noise and scenes.
    """

    size: int = 128
    views: tuple[int, ...] = (51,)
    rows: int = 8
    scans: int = 8
    wedge_edges: tuple[float, ...] = (20.0, 45.0, 75.0, 105.0, 140.0)
    simulated_noise: tuple[float, ...] = (5e-4, 0.006, 0.06)
    noise_edges: tuple[float, ...] = (1e-5, 0.01, 0.06)
    scenes: int = 40
    sources: tuple[str, ...] = ("heldout", "circuits", "ihp", "tile", "images", "battery", "rock")
    test_wedges: tuple[float, ...] = (30.0, 60.0, 90.0, 120.0)
    test_noise: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03)
    test_scans: int = 1
    draws: int = 20
    settings: tuple[tuple[str, object], ...] = (("support", "disc"), ("iterations", 10))
    fewest: int = 20
    domain: bool = True
    seed: int = 1


QUICK = Config()
PRESETS = {
    "default": QUICK,
    "quick": QUICK,
    # The selection of support and iterations takes most of the time of a scan: few scans with many rows.
    "standard": Config(
        views=(36, 51, 90), rows=16, scans=2, scenes=112, test_noise=(0.002, 0.02), settings=()
    ),
    "full": Config(views=(36, 51, 90), scans=12, scenes=120, test_scans=4, settings=(), fewest=40),
    # For the bootstrap, which takes 20 reconstructions of each scan.
    "bootstrap": Config(
        size=96,
        views=(36, 51, 90),
        scans=3,
        simulated_noise=(5e-4, 0.06),
        noise_edges=(1e-5, 0.06),
        scenes=56,
        test_noise=(0.003, 0.02),
        settings=(),
        fewest=24,
    ),
    "small": Config(
        size=64,
        scans=3,
        simulated_noise=(5e-4, 0.06),
        noise_edges=(1e-5, 0.06),
        scenes=28,
        test_noise=(0.003, 0.02),
        fewest=20,
    ),
    "tiny": Config(
        size=48,
        views=(24,),
        rows=4,
        scans=3,
        wedge_edges=(40.0, 120.0),
        simulated_noise=(0.003, 0.03),
        noise_edges=(1e-5, 0.1),
        scenes=4,
        sources=("heldout", "circuits"),
        test_wedges=(60.0, 100.0),
        test_noise=(0.01,),
        draws=2,
        settings=(("support", "disc"), ("iterations", 2)),
        fewest=10,
        domain=False,
    ),
}
