"""Limited-angle X-ray tomography in JAX: exact physics and a learned prior in one differentiable program.

>>> import pfitre_jax as pf
>>> scan = pf.load_scan("scan.tiff", angles="angles.csv", center=75.0, roll=1.5)  # doctest: +SKIP
>>> result = pf.reconstruct(scan, method="pfitre", rows=slice(40, 41))  # doctest: +SKIP

Names are imported when they are first used: ``import pfitre_jax`` alone does not load JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pfitre_jax import metrics as metrics
    from pfitre_jax import priors as priors
    from pfitre_jax import solvers as solvers
    from pfitre_jax.adapting import adapt as adapt
    from pfitre_jax.api import load_scan as load_scan
    from pfitre_jax.api import open_scan as open_scan
    from pfitre_jax.api import reconstruct as reconstruct
    from pfitre_jax.api import with_center as with_center
    from pfitre_jax.api import with_roll as with_roll
    from pfitre_jax.engine.align import Alignment as Alignment
    from pfitre_jax.engine.align import align as align
    from pfitre_jax.engine.reproject import project_result as project_result
    from pfitre_jax.geometry import ParallelGeometry as ParallelGeometry
    from pfitre_jax.geometry import Wedge as Wedge
    from pfitre_jax.io.results import read_result as read_result
    from pfitre_jax.loop import Solution as Solution
    from pfitre_jax.loop import Status as Status
    from pfitre_jax.motion import Motion as Motion
    from pfitre_jax.operators.fbp import fbp as fbp
    from pfitre_jax.operators.normal import NormalKernel as NormalKernel
    from pfitre_jax.operators.projector import Projector as Projector
    from pfitre_jax.result import Result as Result
    from pfitre_jax.scan import Scan as Scan

_MODULES = ("metrics", "priors", "solvers")
_HOMES = {
    "Alignment": "engine.align",
    "Motion": "motion",
    "NormalKernel": "operators.normal",
    "ParallelGeometry": "geometry",
    "Projector": "operators.projector",
    "Result": "result",
    "Scan": "scan",
    "Solution": "loop",
    "Status": "loop",
    "Wedge": "geometry",
    "adapt": "adapting",
    "align": "engine.align",
    "fbp": "operators.fbp",
    "load_scan": "api",
    "open_scan": "api",
    "project_result": "engine.reproject",
    "read_result": "io.results",
    "reconstruct": "api",
    "with_center": "api",
    "with_roll": "api",
}

__all__ = [*_MODULES, *_HOMES]


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
