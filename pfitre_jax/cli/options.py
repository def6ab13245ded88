"""Options and arguments of all commands, grouped by the panel of ``--help`` that lists them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pfitre_jax.priors.default import DEFAULT_PRIOR

if TYPE_CHECKING:
    import numpy as np

#: Panels of ``--help``.
INPUT = "Input"
GEOMETRY = "Geometry"
METHOD = "Method"
DATA_MODEL = "Data model"
ALIGNMENT = "Alignment"
CHECKS = "Checks of the result"
OUTPUT = "Output"
EXECUTION = "Execution"


def argument(metavar: str, help: str, default: str | None = None) -> Any:
    """Returns a positional argument.

    Args:
        metavar: Name that ``--help`` shows.
        help: Full sentence.
        default: Text for a default that is None; without it no default is stated.
    """
    return typer.Argument(metavar=metavar, help=help, show_default=default or False)


def option(name: str, metavar: str, help: str, panel: str, default: str | None = None) -> Any:
    """Returns an option with a value.

    Args:
        name: Name as it is typed.
        metavar: Placeholder or unit of the value.
        help: Full sentence.
        panel: Panel of ``--help``.
        default: Text for a default that is None; any other default is stated as it is.
    """
    return typer.Option(name, metavar=metavar, help=help, rich_help_panel=panel, show_default=default or True)


def flag(name: str, help: str, panel: str) -> Any:
    """Returns an option without a value; see :func:`option`."""
    return typer.Option(name, metavar="", help=help, rich_help_panel=panel, show_default=False)


# Input

ScanPath = Annotated[
    Path,
    argument(
        "SCAN",
        "Scan file, or folder with one file for each view: HDF5 of many beamlines, TIFF, MRC, TXRM, .npz and "
        "others (see the page 'Scan files' of the documentation).",
    ),
]
OptionalScanPath = Annotated[
    Path | None,
    argument(
        "SCAN",
        "Scan file, or folder with one file for each view: HDF5 of many beamlines, TIFF, MRC, TXRM, .npz and "
        "others (see the page 'Scan files' of the documentation).",
    ),
]
Sample = Annotated[
    str | None,
    option("--sample", "NAME", "Use a simulated scan of the package instead of SCAN: chip.", INPUT),
]
Angles = Annotated[
    Path | None,
    option(
        "--angles",
        "CSV",
        "CSV file with the angle of each view, one per line. Required for a TIFF stack.",
        INPUT,
        "angles in the scan file",
    ),
]
AngleUnit = Annotated[
    Literal[
        "deg",
        "rad",
        "mdeg",
        "mrad",
        "udeg",
        "urad",
        "nrad",
        "cdeg",
        "arcmin",
        "arcsec",
        "turn",
        "halfturn",
        "gon",
    ]
    | None,
    option(
        "--angle-unit",
        "UNIT",
        "Unit of the angles, for example deg, rad, mdeg, mrad, urad, arcmin, arcsec, turn or gon.",
        INPUT,
        "unit named in the file, else deg",
    ),
]
Element = Annotated[
    str | None,
    option(
        "--element",
        "NAME",
        "Element or channel to read, for example Cu or Cu_K, of a scan with several elements.",
        INPUT,
        "the only element",
    ),
]
Elements = Annotated[
    str | None,
    option(
        "--element",
        "NAME[,NAME...]|all",
        "Element or channel to reconstruct, for example Cu or Cu_K, of a scan with several elements. Several "
        "names, or 'all', are reconstructed with one rotation axis, roll and alignment, each in a folder of "
        "its own in DIR.",
        INPUT,
        "the only element",
    ),
]
Dataset = Annotated[
    str | None,
    option(
        "--dataset",
        "PATH",
        "Dataset of the projections in an HDF5 file, for example /entry/data.",
        INPUT,
        "dataset of the file format",
    ),
]
ThetaPath = Annotated[
    str | None,
    option(
        "--theta-path",
        "PATH",
        "Place of the angles in the scan file: a dataset (/entry/theta), an attribute (/entry@theta), or the "
        "name of a process variable or motor.",
        INPUT,
        "place of the file format",
    ),
]
AxisOrder = Annotated[
    str | None,
    option(
        "--axis-order",
        "A,B,C",
        "Names of the axes of the stored projections, in their order: view, row and column, for example "
        "row,column,view.",
        INPUT,
        "order named in the file, else view,row,column",
    ),
]
Data = Annotated[
    Literal["counts", "transmission", "absorption"] | None,
    option(
        "--data",
        "KIND",
        "Kind of data: 'counts' (detector counts with flat and dark frames), 'transmission' (counts divided "
        "by the flat field) or 'absorption' (line integrals).",
        INPUT,
        "counts if the file has flat frames, else absorption",
    ),
]
Rows = Annotated[
    str | None,
    option(
        "--rows",
        "A:B",
        "Detector rows A to B-1, counted from 0; each row gives one slice.",
        INPUT,
        "all rows",
    ),
]
Views = Annotated[
    str | None,
    option("--views", "A:B[:S]", "Views to use: A to B-1 in steps of S, counted from 0.", INPUT, "all views"),
]
ExcludeViews = Annotated[
    str | None,
    option(
        "--exclude-views",
        "A:B[:S]",
        "Views to leave out, for example to predict them afterwards with 'pfitre project'.",
        INPUT,
        "none",
    ),
]
MaskNan = Annotated[
    bool,
    flag("--mask-nan", "Ignore bins that are NaN or infinite. By default such a scan is rejected.", INPUT),
]

# Geometry

Center = Annotated[
    str,
    option(
        "--center",
        "BIN|auto",
        "Position of the rotation axis: detector column index, counted from 0, fractions allowed. 'auto' "
        "reads it from the file or, if absent there, estimates it from the data.",
        GEOMETRY,
    ),
]
Roll = Annotated[
    str,
    option(
        "--roll",
        "DEG|auto",
        "In-plane angle between rotation axis and detector columns, in degrees; the projections are rotated "
        "by this angle before reconstruction. 'auto' estimates it from the data.",
        GEOMETRY,
    ),
]
PixelSize = Annotated[
    float | None,
    option(
        "--pixel-size",
        "UM",
        "Width of a detector bin in micrometres. Image values then have the unit 1/um.",
        GEOMETRY,
        "width named in the file, else unknown, with image values in 1/pixel",
    ),
]

# Method

Method = Annotated[
    str,
    option(
        "--method",
        "NAME",
        "Reconstruction method: pfitre (learned prior); fista-tv, admm-tv (total variation); fista-dtv "
        "(directional total variation); fbp, sirt, cgls (no prior); pfitre-original (published algorithm).",
        METHOD,
    ),
]
Prior = Annotated[
    str | None,
    option(
        "--prior",
        "NAME|PATH|auto",
        "Learned prior: the name of a shipped one (listed by 'pfitre priors'), an .npz file from "
        "'pfitre train' or 'pfitre adapt', or a .pth checkpoint of the published network. auto: held-out "
        "views of the scan choose a shipped one, or total variation if none helps.",
        METHOD,
        f"{DEFAULT_PRIOR}; with --joint: volume",
    ),
]
Iterations = Annotated[
    int | None,
    option(
        "--iterations",
        "N",
        "Number of iterations; for total variation, the maximum number. Without it, held-out views select "
        "between 1 and 24 for the method pfitre.",
        METHOD,
        "set by the method, see 'pfitre info'",
    ),
]
Rho = Annotated[
    str | None,
    option(
        "--rho",
        "R|auto",
        "Prior strength relative to ||A||^2 = 1: a larger value follows the prior more and the data less. "
        "'auto' derives it from the noise in the scan.",
        METHOD,
        "value stored with the prior, else auto",
    ),
]
TVWeight = Annotated[
    str | None,
    option(
        "--tv-weight",
        "W|auto",
        "Weight of total variation, for images scaled to about [0, 1]: a larger value gives smoother slices. "
        "'auto' selects the weight that predicts held-out views best; 'pfitre watch' computes it from the "
        "noise.",
        METHOD,
        "auto",
    ),
]
Joint = Annotated[
    bool,
    flag(
        "--joint",
        "Reconstruct all rows together as one volume, so that the prior uses neighbouring rows.",
        METHOD,
    ),
]
Adapt = Annotated[
    bool,
    flag(
        "--adapt",
        "Adapt the learned prior to this scan first (self-supervised), which takes minutes. Slices that it "
        "is not trained on and held-out views decide whether it is used. It learns from rows of the whole "
        "scan, whatever --rows. Writes it as prior.npz, with adaptation.png.",
        METHOD,
    ),
]
AdaptMinutes = Annotated[
    float | None,
    option(
        "--adapt-minutes",
        "M",
        "With --adapt: time limit of the adaptation, in minutes, without compilation. No round is started "
        "that would end later, except for the first one, whose duration is unknown.",
        METHOD,
        "no limit; at most 6 rounds",
    ),
]

# Data model

Air = Annotated[
    str,
    option(
        "--air",
        "VALUE|auto|none",
        "Line integral of the air beside the sample, subtracted from all bins. 'auto' estimates it where the "
        "edges of all views agree on a level other than 0; 'none' subtracts nothing.",
        DATA_MODEL,
    ),
]
Support = Annotated[
    str,
    option(
        "--support",
        "auto|disc|extended|faces:LOW,HIGH|FILE",
        "Where the slices may differ from 0. 'auto' estimates the sample's outline from its shadows and uses "
        "it or another shape, whichever predicts held-out views best; 'disc' is the disc that every view "
        "sees; 'extended' reaches beyond the field of view; 'faces:LOW,HIGH' is the outline between the "
        "known faces of a flat sample, in columns from the rotation axis along the middle of the missing "
        "directions; FILE is a TIFF or .npy image that is not 0 where the sample may be.",
        DATA_MODEL,
    ),
]
Robust = Annotated[
    Literal["huber", "student-t", "views"] | None,
    option(
        "--robust",
        "KIND",
        "Robust data term, which down-weights outliers: 'huber' (single bins), 'student-t' (single bins, "
        "more strongly) or 'views' (whole views).",
        DATA_MODEL,
        "least squares",
    ),
]
Photons = Annotated[
    float | None,
    option(
        "--photons",
        "N",
        "Photons per bin in the flat beam; weights bins by Poisson statistics.",
        DATA_MODEL,
        "all bins weighted equally",
    ),
]
Stripes = Annotated[
    bool,
    flag("--stripes", "Estimate and correct constant offsets of detector columns (stripes).", DATA_MODEL),
]
Gains = Annotated[
    bool,
    flag("--gains", "Estimate and correct one intensity factor per view (gain).", DATA_MODEL),
]

# Alignment

Align = Annotated[
    bool,
    flag(
        "--align",
        "Estimate the shifts and gain of every view and the roll, and correct them before "
        "reconstruction. Reads the whole scan into memory.",
        ALIGNMENT,
    ),
]
Drift = Annotated[
    bool,
    flag(
        "--drift",
        "With --align: estimate a slow drift instead of a separate shift for each view. "
        "For scans whose views are too noisy to align one by one.",
        ALIGNMENT,
    ),
]
AlignmentFile = Annotated[
    Path | None,
    option(
        "--alignment",
        "FILE",
        "Alignment to apply: alignment.csv of an earlier run, an .xf file of IMOD, or an .aln file of "
        "AreTomo. With --align: the initial estimate.",
        ALIGNMENT,
        "none",
    ),
]

AlignOn = Annotated[
    str | None,
    option(
        "--align-on",
        "NAME[+NAME...]|sum",
        "Element whose rotation axis, roll and alignment are estimated and used for all elements of "
        "--element. Several names, or 'sum' for all of --element, are added, each divided by its noise.",
        ALIGNMENT,
        "of several elements the one with the largest signal-to-noise ratio",
    ),
]

# Checks of the result

Validate = Annotated[
    bool,
    flag(
        "--validate",
        "Leave views out, predict them by the method and by fista-tv from the other views, and state which "
        "one predicts better. Costs two reconstructions of at most 8 rows by each of them. The result "
        "still uses all views.",
        CHECKS,
    ),
]
Resolution = Annotated[
    bool,
    flag(
        "--resolution",
        "Estimate the resolution from two reconstructions of half of the views each (Fourier ring and shell "
        "correlation). Costs about one reconstruction of at most 32 rows.",
        CHECKS,
    ),
]

Intervals = Annotated[
    Literal["quick", "full", "off"],
    option(
        "--intervals",
        "quick|full|off",
        "Write the limits between which the true value of a pixel lies in 9 of 10 pixels. quick: from the "
        "error that the prior expects, where it has been calibrated. full: also from 20 reconstructions "
        "of the rotated result (25 times slower), for classical methods from these alone.",
        CHECKS,
    ),
]

# Output

Report = Annotated[
    bool,
    flag(
        "--report",
        "Write the report of the result as well, report.html: one page with all slices and checks, which "
        "needs no network.",
        OUTPUT,
    ),
]
OutFolder = Annotated[
    Path, option("--out", "DIR", "Folder for the results; created if it does not exist.", OUTPUT)
]
Formats = Annotated[
    list[str] | None,
    option(
        "--format",
        "NAME,...",
        "Formats of the slices: hdf5 (recon.h5, always written), tiff (ImageJ), ome-zarr (napari and other "
        "viewers of large images), mrc (electron tomography). May be repeated.",
        OUTPUT,
        "hdf5,tiff",
    ),
]
Overwrite = Annotated[bool, flag("--overwrite", "Discard any previous run in DIR and start over.", OUTPUT)]
Quiet = Annotated[bool, flag("--quiet", "Print only warnings and errors.", OUTPUT)]
JsonLog = Annotated[
    bool,
    flag("--json", "Print progress and messages to stderr as JSON, one object per line.", OUTPUT),
]

# Execution

Memory = Annotated[
    float | None,
    option("--memory", "GIB", "Memory limit in GiB (CPU only).", EXECUTION, "free memory"),
]
MemoryCheck = Annotated[
    bool,
    flag(
        "--memory-check",
        "Print the required and the available memory and disk space, and exit without reconstructing.",
        EXECUTION,
    ),
]
Coordinator = Annotated[
    str | None,
    option(
        "--coordinator",
        "HOST:PORT",
        "Address of process 0 when several processes share the rows. Not needed under srun and mpirun.",
        EXECUTION,
        "single process",
    ),
]
NumProcesses = Annotated[
    int | None,
    option("--num-processes", "N", "Number of processes that share the rows.", EXECUTION, "1"),
]
ProcessId = Annotated[
    int | None,
    option("--process-id", "I", "Index of this process, counted from 0.", EXECUTION, "0"),
]


def parse_number(text: str | None, name: str, auto: Any) -> Any:
    """Returns the number in ``text``, or ``auto`` for the word "auto", or None for None.

    Args:
        text: Value as it was typed.
        name: Option, for the message.
        auto: Value that stands for "auto".

    Raises:
        ValueError: For any other text.
    """
    if text is None:
        return None
    if text.strip().lower() == "auto":
        return auto
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}; expected a number or 'auto'") from None


def parse_names(words: Sequence[str]) -> tuple[str, ...]:
    """Returns the names in the values of an option that may be repeated, and that takes lists.

    >>> parse_names(["tiff, mrc", "ome-zarr"])
    ('tiff', 'mrc', 'ome-zarr')
    """
    return tuple(name.strip().lower() for word in words for name in word.split(",") if name.strip())


def parse_air(text: str) -> float | str:
    """Returns the number in ``text``, or the word "auto" or "none".

    Raises:
        ValueError: For any other text.
    """
    word = text.strip().lower()
    if word in ("auto", "none"):
        return word
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not math.isfinite(level):
        raise ValueError(f"--air is {text!r}; expected a line integral (a finite number), 'auto' or 'none'")
    return level


def parse_values(text: str) -> np.ndarray:
    """Returns the numbers A, A+S, ... up to and including B of ``"A:B:S"``.

    Args:
        text: Value as it was typed.

    Raises:
        ValueError: The text is not such a range, or has more than 100 values.

    >>> parse_values("74:75:0.5")
    array([74. , 74.5, 75. ])
    """
    import numpy as np

    expected = "expected A:B:S, three numbers with A at most B and S above 0, such as 70:80:1"
    try:
        start, stop, step = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a range of values; {expected}") from error
    if not np.all(np.isfinite([start, stop, step])) or step <= 0 or stop < start:
        raise ValueError(f"{text!r} is not a range of values; {expected}")
    count = int(np.floor((stop - start) / step + 1e-9)) + 1
    if count > 100:
        raise ValueError(f"{text!r} are {count} values; expected at most 100: use a larger step")
    return start + step * np.arange(count)
