from . import (
    contrib,
    evaluation,
    interfaces,
    interop,
    metrics,
    priors,
    reporting,
    solvers,
    training,
    trust,
    twin,
)
from .data.motion import Motion
from .data.scan import Scan
from .estimation.air import with_air
from .estimation.alignment import Alignment, align
from .geometry import ParallelGeometry, Wedge
from .operators.fbp import fbp
from .operators.normal import NormalKernel
from .operators.projector import Projector
from .reconstruction.adapt import adapt
from .reconstruction.elements import load_elements
from .reconstruction.in_memory import reconstruct
from .reconstruction.reproject import project_result
from .reconstruction.result import Result, read_result
from .reconstruction.scan_axis import with_center, with_roll
from .reconstruction.scan_loading import load_scan, open_scan
from .solvers.loop import Solution, Status

__version__: str

__all__ = [
    "Alignment",
    "Motion",
    "NormalKernel",
    "ParallelGeometry",
    "Projector",
    "Result",
    "Scan",
    "Solution",
    "Status",
    "Wedge",
    "adapt",
    "align",
    "contrib",
    "evaluation",
    "fbp",
    "interfaces",
    "interop",
    "load_elements",
    "load_scan",
    "metrics",
    "open_scan",
    "priors",
    "project_result",
    "read_result",
    "reconstruct",
    "reporting",
    "solvers",
    "training",
    "trust",
    "twin",
    "with_air",
    "with_center",
    "with_roll",
]
