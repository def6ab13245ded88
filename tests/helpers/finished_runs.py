"""Folders of finished runs, made from known numbers without a reconstruction."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from pfitre_jax.data.motion import Motion
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.reporting import figures
from pfitre_jax.solvers.loop import Status
from pfitre_jax.trust.held_out_verdict import HeldOutErrors, HeldOutVerdict
from pfitre_jax.trust.residuals import residual_statistics
from pfitre_jax.trust.resolution import estimate_resolution

ROWS, SIZE, VIEWS = 5, 32, 24
#: Views from 0 to 90 degrees: the wedge is 90 degrees wide, its middle is at 135 degrees.
THETA = np.deg2rad(np.linspace(0, 90, VIEWS))
NOISE = 0.1


def volume(seed: int = 0, rows: int = ROWS, size: int = SIZE) -> np.ndarray:
    """Discs with noise (rows, size, size); row ``k`` has a disc of the value ``k + 1``."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    disc = (x**2 + y**2 < (size / 3) ** 2).astype(float)
    noise = 0.05 * np.random.default_rng(seed).standard_normal((rows, size, size))
    return ((np.arange(rows) + 1)[:, None, None] * disc + noise).astype(np.float32)


def _held_out(error: float, reference: float | None) -> HeldOutVerdict:
    power, views = np.full(4, 100.0), np.arange(4)

    def errors(kind):
        squares = error**2 * power
        other = None if reference is None else reference**2 * power
        return HeldOutErrors(kind, views, squares, other, power, 0.05**2 * power)

    return HeldOutVerdict("pfitre", errors("interpolating"), errors("extrapolating"), np.arange(2))


def validation(error: float, reference: float | None) -> dict:
    """Record of held-out views that are predicted with these relative errors."""
    return _held_out(error, reference).record()


def statistics(stripe: float = 0.0) -> dict:
    """Record of the statistics of a residual of white noise, and of a constant in one column."""
    residual = NOISE * np.random.default_rng(1).standard_normal((4, VIEWS, SIZE))
    residual[:, :, 12] += stripe
    predicted = np.ones_like(residual) * np.hanning(SIZE)
    return residual_statistics(residual, predicted, np.ones_like(residual), NOISE, THETA).record()


def make_result(**changes) -> Result:
    """A complete result without a fault; ``changes`` replace its attributes."""
    images = volume()
    halves = volume(1), volume(2)
    result = Result.of_volume(
        images,
        THETA,
        center=16.0,
        columns=SIZE,
        row0=10,
        raw_rows=40,
        pixel_size=0.5,
        method="pfitre",
        parameters={"iterations": 3, "rho": 0.005, "prior": "circuits 0123456789ab"},
        measured=0.75 * images,
        status=np.full(ROWS, int(Status.ITERATIONS)),
        iterations=np.full(ROWS, 3),
        residual=np.linspace(0.02, 0.03, ROWS).astype(np.float32),
        supplied=np.linspace(0.2, 0.3, ROWS).astype(np.float32),
        residual_history=np.geomspace(1, 0.02, 3 * ROWS).reshape(3, ROWS).T.astype(np.float32),
        change_history=np.full((ROWS, 3), 0.1, np.float32),
        sinogram=np.ones((VIEWS, SIZE), np.float32),
        residual_sinogram=np.random.default_rng(3).normal(0, NOISE, (VIEWS, SIZE)).astype(np.float32),
        support_text="disc of the field of view",
        scale=1.0,
        domain_score=0.5,
        residual_statistics=statistics(),
        timings={"seconds_prepare": 1.0, "seconds_compile": 2.0, "seconds_run": 5.0},
        provenance={"file": "/beamline/scan.h5", "format": "DXchange"},
        device="cpu: cpu",
        versions={"python": "3.12", "pfitre_jax": "0.3.0"},
        prior_card={"name": "circuits", "sha256": "0123456789ab", "trained_on": {"views": [32, 80]}},
    )
    wedge = result.wedge
    recorded = {
        "resolution": estimate_resolution(*halves, wedge, 0.5).record(),
        "validation": validation(0.1, 0.2),
    }
    return dataclasses.replace(result, **(recorded | changes))


def write_run(
    folder: Path, result: Result | None = None, *, sha256: str = "a" * 64, motion: bool = False, **summary
) -> Path:
    """Writes a result as ``pfitre recon`` does; returns the folder."""
    result = make_result() if result is None else result
    inputs = {"scan": {"path": "/beamline/scan.h5", "files": 1, "bytes": 1234, "sha256": sha256}}
    extra = {"command": "pfitre recon scan.h5 --out out", "complete": True, "inputs": inputs}
    extra |= {"alignment": {}} if motion else {}
    result.save(folder, command=extra["command"], extra=extra | summary)
    if motion:
        shifts = np.sin(np.arange(VIEWS))
        known = dataclasses.replace(Motion.none(THETA, 16.0, 0.5), shifts=shifts)
        known.save(folder / "alignment.csv")
    return folder


def without_figures(monkeypatch) -> None:
    """Leaves the pictures of plots out of reports, which takes most of their time."""
    monkeypatch.setattr(figures, "embed_figure", lambda figure, alt: figures.EmbeddedFigure("data:,", alt))


def with_interval(result: Result, half_width: float, *reasons: str) -> Result:
    """The result with intervals of this half width, which do not hold for these reasons."""
    record = {
        "level": 0.9,
        "holds": not reasons,
        "reasons": list(reasons),
        "wider_than_contrast": 0.25,
        "median_half_width": half_width,
    }
    images = result.volume
    return dataclasses.replace(result, lower=images - half_width, upper=images + half_width, intervals=record)
