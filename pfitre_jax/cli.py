"""The ``pfitre`` command: parse, call, save.

Exit codes: 0 done; 2 bad input, in one line that says what came, what was expected and the fix; 1 a failure
that names itself, such as any in :func:`_work` (``PFITRE_DEBUG=1`` shows its traceback); 130 interrupted.

What a command needs is imported inside it, so that ``pfitre --help`` does not wait for JAX.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
import traceback
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

SAMPLES = Path(__file__).resolve().parent / "samples"
_COMMAND = "pfitre.command"
#: What Typer raises for options and arguments that it cannot read; the class has moved between versions.
_UsageError = typer.BadParameter.__mro__[1]


class _Commands(typer.core.TyperGroup):
    """Turns exceptions into exit codes, and remembers the command line."""

    def parse_args(self, ctx, args):
        ctx.meta[_COMMAND] = shlex.join(["pfitre", *args])
        return super().parse_args(ctx, args)

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say("interrupted", "yellow")
            raise typer.Exit(130) from None
        except _UsageError as error:
            where = error.ctx.command_path.split()[-1:] if error.ctx and error.ctx.parent else []
            hint = " ".join(["pfitre", *where, "--help"])
            _fail(error, f"{' '.join(error.format_message().split()).rstrip('.')}; see {hint}", 2)
        except (typer.Exit, typer.Abort):
            raise
        except (ValueError, OSError) as error:
            _fail(error, _message(error), 2)
        except _Failure as failure:
            _fail(failure.__cause__, _named(failure.__cause__), 1)
        except Exception as error:
            _fail(error, _named(error), 1)


class _Failure(Exception):
    """What went wrong, its cause, is not the input's fault."""


@contextlib.contextmanager
def _work():
    """Solving and writing, once the input is checked: whatever goes wrong here is a failure, exit code 1."""
    try:
        yield
    except Exception as error:
        raise _Failure from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Limited-angle X-ray tomography with a learned prior.",
)


def main() -> None:
    """Entry point of the ``pfitre`` command."""
    app()


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {_message(error)}"


def _fail(error: BaseException, message: str, code: int):
    if os.environ.get("PFITRE_DEBUG"):
        traceback.print_exception(error)
    _say(Text.assemble(("error: ", "bold red"), message))
    raise typer.Exit(code) from error


def _say(text, style: str | None = None) -> None:
    """A line on stderr, not wrapped: messages are read by programs too."""
    Console(stderr=True, soft_wrap=True, highlight=False, emoji=False).print(text, style=style, markup=False)


def _warn(messages) -> None:
    for message in messages:
        _say(Text.assemble(("warning: ", "bold yellow"), message))


@contextlib.contextmanager
def _progress(what: str, unit: str = "rows"):
    """A bar on stderr; gives the function ``(done, total)`` that moves it."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TextColumn(unit), TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


# Options that several commands share.
_Scan = Annotated[Path, typer.Argument(metavar="SCAN", help="TIFF stack, HDF5 (DXchange, NXtomo) or .npz")]
_Angles = Annotated[Path | None, typer.Option(metavar="CSV", help="One angle for each view.")]
_AngleUnit = Annotated[Literal["deg", "rad"] | None, typer.Option(help="Default: the file's, else deg.")]
_Data = Annotated[
    Literal["counts", "transmission", "absorption"] | None,
    typer.Option(help="Default: counts where the file holds flats, else absorption (line integrals)."),
]
_Center = Annotated[
    str,
    typer.Option(
        metavar="FLOAT|auto",
        help="Detector index of the rotation axis, bins counted from 0; "
        "auto: what the file says, and where it says nothing, searched for.",
    ),
]
_Roll = Annotated[
    str, typer.Option(metavar="DEG|auto", help="In-plane roll of the rotation axis, mended first.")
]
_MaskNan = Annotated[bool, typer.Option("--mask-nan", help="Leave out NaN and infinite bins.")]
_Views = Annotated[str | None, typer.Option(metavar="A:B[:S]", help="Views to use.")]
_ExcludeViews = Annotated[str | None, typer.Option(metavar="A:B[:S]", help="Views to leave out.")]
_PixelSize = Annotated[
    float | None, typer.Option(metavar="UM", help="Detector bin, micrometres: values become 1/um.")
]


def _number(text: str, option: str, auto):
    """A number, or ``auto`` for the word."""
    if text.strip().lower() == "auto":
        return auto
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{option} is {text!r}; expected a number or 'auto'") from None


@app.command()
def recon(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")],
    scan: Annotated[Path | None, typer.Argument(metavar="[SCAN]", help="TIFF stack, HDF5 or .npz")] = None,
    sample: Annotated[
        str | None, typer.Option(metavar="NAME", help="A scan that the package brings: chip.")
    ] = None,
    angles: _Angles = None,
    angle_unit: _AngleUnit = None,
    data: _Data = None,
    center: _Center = "auto",
    roll: _Roll = "0",
    method: Annotated[
        str, typer.Option(help="fbp, sirt, cgls, fista-tv, fista-dtv, admm-tv, pfitre or pfitre-original.")
    ] = "pfitre",
    prior: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="Learned prior; .pth: the published network's.")
    ] = None,
    iterations: Annotated[int | None, typer.Option(metavar="N")] = None,
    rho: Annotated[float | None, typer.Option(metavar="R", help="Pull towards the prior.")] = None,
    weight: Annotated[str | None, typer.Option(metavar="W|auto", help="Of total variation.")] = None,
    rows: Annotated[str | None, typer.Option(metavar="A:B", help="Rows to reconstruct; default all.")] = None,
    views: _Views = None,
    exclude_views: _ExcludeViews = None,
    pixel_size: _PixelSize = None,
    mask_nan: _MaskNan = False,
) -> None:
    """Reconstruct a scan: recon.h5, recon.tif, preview.png and summary.json in DIR."""
    from pfitre_jax.io.results import NAMES, check_folder

    if (scan is None) == (sample is None):
        raise ValueError("expected either a SCAN or --sample chip: give one of them")
    check_folder(out, [*NAMES, "preview.png"])
    source = _sample_path(sample) if sample else scan
    center_value, roll_value = _number(center, "--center", None), _number(roll, "--roll", "auto")
    weight_value = None if weight is None else _number(weight, "--weight", "auto")

    import numpy as np

    from pfitre_jax import api
    from pfitre_jax.engine import methods
    from pfitre_jax.loop import Status

    settings = dict(prior=prior, iterations=iterations, rho=rho, weight=weight_value)
    settings["prior"] = methods.settings(method, **settings).get("prior")
    began = time.perf_counter()
    loaded = api.load_scan(
        source,
        angles=angles,
        angle_unit=angle_unit,
        data=data,
        center=center_value,
        roll=roll_value,
        pixel_size=pixel_size,
        views=views,
        exclude_views=exclude_views,
        mask_nan=mask_nan,
    )
    if rows is not None:
        loaded.select_rows(rows)
    loaded = api.with_center(loaded)
    seconds = time.perf_counter() - began
    _say(_describe(loaded))
    with _work(), _progress(f"{method}, compiling") as progress:
        result = api.reconstruct(loaded, method, rows=rows, progress=progress, **settings)
    result.timings["seconds_prepare"] += seconds
    truth = _sample_truth(source, result) if sample else None
    compared = None
    if truth is not None and method != "fista-tv":
        middle = int(result.rows[result.middle])
        with _work(), _progress("fista-tv, to compare") as progress:
            compared = api.reconstruct(
                loaded, "fista-tv", rows=slice(middle, middle + 1), scale=result.scale, progress=progress
            )
    command = ctx.find_root().meta[_COMMAND]
    with _work():
        figure = _preview(result, truth, compared, source.name)
        paths = result.save(out, command=command, writers={"preview.png": lambda path: figure.savefig(path)})
    _warn(result.warnings)
    _print_result(result, paths)
    if np.all(result.status == int(Status.DIVERGED)):
        raise _Failure from FloatingPointError("every row diverged; the slices are the last finite iterates")


def _sample_path(name: str) -> Path:
    path = SAMPLES / f"{name}.npz"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in SAMPLES.glob("*.npz"))) or "(none is shipped)"
        raise ValueError(f"no sample {name!r}; expected one of: {there}")
    return path


def _sample_truth(path: Path, result):
    """The true slice (ny, nx) of the result's middle row, or None where the sample does not tell."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        if "truth" not in arrays:
            return None
        return arrays["truth"][int(result.rows[result.middle])]


def _describe(scan) -> str:
    wedge = scan.wedge
    center = scan.provenance.get("center", f"{scan.center:g}")
    roll = scan.provenance.get("roll", f"{scan.roll_deg:g} degrees")
    return (
        f"{scan.views} views x {scan.rows} rows x {scan.columns} columns, {wedge.width_deg:.0f} degrees "
        f"missing about {wedge.center_deg:.0f}; center {center}; roll {roll}"
    )


def _preview(result, truth, compared, name: str):
    import numpy as np

    from pfitre_jax import report

    rows, middle = result.rows, result.middle
    history = lambda r, k: r.stats["residual"][k]  # noqa: E731
    if truth is None:
        shown = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), report.PANELS)).round().astype(int))
        panels = [
            report.Panel(f"row {rows[k]}   residual {result.residual[k]:.3g}", result.volume[k])
            for k in shown
        ]
        curves = {f"row {rows[k]}": history(result, k) for k in shown}
    else:
        # The truth is per pixel, a result in its own unit.
        unit = 1 if result.scan.pixel_size is None else result.scan.pixel_size
        images = {"fista-tv": compared.volume[0]} if compared else {}
        images[result.method] = result.volume[middle]
        panels = [report.Panel("truth", truth / unit)] + [
            report.Panel(f"{label}   PSNR {_psnr(image * unit, truth):.1f} dB", image)
            for label, image in images.items()
        ]
        curves = {"fista-tv": history(compared, 0)} if compared else {}
        curves[result.method] = history(result, middle)
    image = result.volume[middle]
    said = f"row {rows[middle]}   shaded: not measured, {result.supplied[middle]:.0%}"
    panels.append(report.Panel(said, image, image - result.measured[middle]))
    number = lambda value: f"{value:.3g}" if isinstance(value, float) else value  # noqa: E731
    settings = ", ".join(f"{name} {number(value)}" for name, value in result.parameters.items())
    return report.preview(
        panels,
        misfit=result.misfit,
        row=int(rows[middle]),
        curves=curves,
        theta_rad=result.scan.theta_rad,
        wedge=result.scan.wedge,
        title=f"{result.label}: {name}",
        facts=[
            f"center {float(result.geometry.center):.4g}, roll {result.scan.roll_deg:.3g}°",
            settings,
            f"scale {result.scale:.3g}",
            f"{result.timings['seconds_run']:.1f} s, compiling {result.timings['seconds_compile']:.1f} s",
        ],
        units=result.units,
    )


def _psnr(image, truth) -> float:
    """PSNR, range 1, of images cut to the truth's shape, inside its disc."""
    import numpy as np

    from pfitre_jax.metrics import psnr

    n = truth.shape[0]
    margin = (image.shape[0] - n) // 2
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    disc = x**2 + y**2 <= (n / 2) ** 2
    return float(psnr(image[margin : margin + n, margin : margin + n], truth, disc))


def _print_result(result, paths) -> None:
    from pfitre_jax.loop import Status

    table = Table(title=f"{result.label}, {len(result.rows)} rows", title_justify="left")
    for column in ("row", "residual", "status", "iterations"):
        table.add_column(column, justify="left" if column == "status" else "right")
    shown = range(len(result.rows))
    if len(result.rows) > 12:
        shown = [*range(5), None, *range(len(result.rows) - 5, len(result.rows))]
    for k in shown:
        if k is None:
            table.add_row("...", "", "", "")
            continue
        status = Status(int(result.status[k]))
        table.add_row(
            str(result.rows[k]),
            f"{result.residual[k]:.4f}",
            Text(status.text, style="red" if status == Status.DIVERGED else ""),
            str(int(result.stats["iterations"][k])),
        )
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    console.print(table)
    times = result.timings
    running, compiling = times["seconds_run"], times["seconds_compile"]
    per_row = running / len(result.rows)
    console.print(
        f"{running:.1f} s ({per_row:.2f} s a row) after {compiling:.1f} s of compiling and "
        f"{times['seconds_prepare']:.1f} s of preparation"
    )
    for path in paths:
        console.print(str(path), markup=False)


@app.command()
def project(
    recon_h5: Annotated[Path, typer.Argument(metavar="RECON_H5", help="recon.h5 of pfitre recon")],
    out: Annotated[Path, typer.Option(metavar="TIF", help="Sinogram stack (views, rows, columns).")],
    angles: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Angles to project at; default the measured ones.")
    ] = None,
    angle_unit: _AngleUnit = None,
    center: Annotated[float | None, typer.Option(help="Default: the result's.")] = None,
    roll: Annotated[float | None, typer.Option(metavar="DEG", help="Default: the result's.")] = None,
    columns: Annotated[int | None, typer.Option(metavar="N", help="Default: the scan's.")] = None,
) -> None:
    """Forward-project a result at any angles, in the raw frame of the detector."""
    from pfitre_jax.io.results import check_folder, read_result, write_files, write_tiff

    if out.suffix.lower() not in (".tif", ".tiff"):
        raise ValueError(f"--out is {out}; expected a TIFF file, a name that ends in .tif")
    if out.is_dir():
        raise IsADirectoryError(f"--out is {out}, a folder; expected the name of a TIFF file")
    check_folder(out.parent)
    if out.resolve() == recon_h5.resolve().with_name("recon.tif"):
        raise ValueError(f"--out is {out}, the slices of this result; expected another name for the sinogram")
    stored = read_result(recon_h5)

    import numpy as np

    from pfitre_jax.engine.reproject import project_result
    from pfitre_jax.io.angles import read_angles

    theta_rad = None if angles is None else read_angles(angles, angle_unit)
    raw = project_result(stored, theta_rad, center=center, roll_deg=roll, columns=columns)
    known = np.isfinite(raw).mean(axis=(0, 2))
    whole, part = int(np.sum(known == 1)), int(np.sum((known > 0) & (known < 1)))
    with _work():
        [path] = write_files(out.parent, {out.name: lambda path: write_tiff(path, raw)})
    views, rows, bins = raw.shape
    if whole < rows:
        _warn(
            [
                f"of {rows} raw rows {whole} are predicted whole and {part} in part; bins that the "
                f"reconstructed rows {stored.row0}:{stored.row0 + len(stored.volume)} do not reach are NaN"
            ]
        )
    Console(soft_wrap=True, highlight=False, emoji=False).print(
        f"{views} views x {rows} rows x {bins} columns\n{path}", markup=False
    )


#: What the picture of `pfitre inspect` says of a scan.
_PICTURED = ("line integrals", "invalid bins", "truncated views")


@app.command()
def inspect(
    scan: _Scan,
    angles: _Angles = None,
    angle_unit: _AngleUnit = None,
    data: _Data = None,
    mask_nan: _MaskNan = False,
    out: Annotated[Path | None, typer.Option(metavar="PNG", help="Save a picture.")] = None,
) -> None:
    """Say what a scan holds: shape, angles, wedge, masks, truncated views."""
    import numpy as np

    from pfitre_jax import api
    from pfitre_jax.io.results import check_folder, write_files
    from pfitre_jax.preprocess import edge_signal, truncated_views

    if out is not None:
        if out.suffix.lower() != ".png":
            raise ValueError(f"--out is {out}; expected a picture, a name that ends in .png")
        check_folder(out.parent)
    loaded = api.load_scan(scan, angles=angles, angle_unit=angle_unit, data=data, mask_nan=mask_nan)
    theta = np.rad2deg(loaded.theta_rad)
    valid = loaded.projections[loaded.mask]
    truncated = truncated_views(loaded)
    invalid = ~loaded.mask
    wedge = loaded.wedge
    missing = f"{wedge.width_deg:.1f} degrees about {wedge.center_deg:.1f}"
    facts = {
        "scan": str(scan),
        "stack": f"{loaded.views} views x {loaded.rows} rows x {loaded.columns} columns",
        "data": f"{loaded.provenance.get('data', '?')}, {loaded.provenance.get('format', '?')}",
        "angles": f"{theta.min():g} to {theta.max():g} degrees",
        "missing": missing if wedge.width_rad else "none",
        "line integrals": f"{valid.min():.4g} to {valid.max():.4g}, median {np.median(valid):.4g}",
        "center": loaded.provenance.get("center", "not in the file"),
        "invalid bins": f"{int(invalid.sum())} ({100 * invalid.mean():.2f}%), in "
        f"{int(invalid.any(axis=(1, 2)).sum())} views",
        "truncated views": api.ranges(truncated) if truncated.size else "none",
    }
    _print_facts(facts)
    warnings = []
    if truncated.size:
        warnings.append("views run out of the field of view: the reconstruction takes an image wider than it")
    if (valid < 0).mean() > 0.2:
        warnings.append(
            f"{100 * (valid < 0).mean():.0f}% of the line integrals are negative; are these data really "
            f"{loaded.provenance.get('data')}? Say --data counts or transmission where they are"
        )
    _warn(warnings)
    if out is not None:
        from pfitre_jax import report

        with _work():
            figure = report.inspection(
                loaded.projections,
                loaded.mask,
                loaded.theta_rad,
                wedge,
                edge=edge_signal(loaded),
                title=scan.name,
                facts=[f"{name}: {facts[name]}" for name in _PICTURED],
            )
            [path] = write_files(out.parent, {out.name: lambda path: figure.savefig(path)})
        Console(soft_wrap=True, highlight=False, emoji=False).print(str(path), markup=False)


@app.command()
def center(
    scan: _Scan,
    angles: _Angles = None,
    angle_unit: _AngleUnit = None,
    data: _Data = None,
    roll: _Roll = "0",
    center: _Center = "auto",
    try_: Annotated[
        str | None, typer.Option("--try", metavar="A:B:S", help="Picture of these centres.")
    ] = None,
    try_roll: Annotated[str | None, typer.Option(metavar="A:B:S", help="Try these rolls, degrees.")] = None,
    row: Annotated[
        int | None, typer.Option(metavar="R", help="Row of the picture; default the middle.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Of the trials; default cgls.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the trials' picture.")] = None,
    views: _Views = None,
    exclude_views: _ExcludeViews = None,
    mask_nan: _MaskNan = False,
) -> None:
    """Find the rotation axis, or lay reconstructions with several centres or rolls side by side.

    With --center only the roll is looked for.
    """
    from pfitre_jax.io.results import check_folder

    if try_ is not None and try_roll is not None:
        raise ValueError("both --try and --try-roll were given; expected one of them: centres or rolls")
    asked = try_ if try_ is not None else try_roll
    if asked is None:
        trial = {"--out": out, "--row": row, "--method": method}
        stray = ", ".join(name for name, value in trial.items() if value is not None)
        if stray:
            raise ValueError(f"{stray} without trials; expected --try A:B:S or --try-roll A:B:S with it")
    if asked is not None and out is None:
        raise ValueError("no --out for the picture of the trials; expected a folder: give --out DIR")
    if out is not None:
        check_folder(out)
    center_value, roll_value = _number(center, "--center", None), _number(roll, "--roll", "auto")
    if try_ is not None and center_value is not None:
        raise ValueError("both --try and --center were given; expected one of them: centres or a centre")
    if try_roll is not None and roll_value != 0:
        raise ValueError(
            "both --try-roll and --roll were given; expected one of them: rolls to try are of the scan as it "
            "was measured, leave --roll out"
        )

    from pfitre_jax import api
    from pfitre_jax.engine import methods
    from pfitre_jax.engine.center import Undetermined, find_center, find_roll, parse_values

    values = None if asked is None else parse_values(asked)
    method = "cgls" if method is None else method
    methods.settings(method)
    loaded = api.load_scan(
        scan,
        angles=angles,
        angle_unit=angle_unit,
        data=data,
        center=center_value,
        roll=roll_value,
        views=views,
        exclude_views=exclude_views,
        mask_nan=mask_nan,
    )
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    if values is None:
        if center_value is None:
            found = find_center(loaded)
            console.print(f"center {found.value:.2f} +- {found.uncertainty:.2g}, from {found.method}")
            loaded = loaded.with_center(found.value)
        else:
            console.print(f"center {center_value:g}, given")
        try:
            tilt = find_roll(loaded)
            value = loaded.roll_deg + tilt.value
            console.print(f"roll {value:.2f} +- {tilt.uncertainty:.2g} degrees, from {tilt.method}")
        except Undetermined as error:
            console.print(f"roll unknown: {error}", markup=False)
        return
    what = "center" if try_roll is None else "roll"
    shown = api.check_trials(loaded, what, values, row)
    loaded = api.with_center(loaded) if what == "roll" else loaded
    with _work(), _progress(f"{method}, {len(values)} values of the {what}", "values") as progress:
        tiles = api.try_values(loaded, what, values, row=shown, method=method, progress=progress)
    with _work():
        paths = _write_trials(out, tiles, what, f"{scan.name}, row {shown}, {method}")
    best = min(tiles, key=lambda tile: tile.residual)
    console.print(f"least residual {best.residual:.4g} at {what} {best.value:g}; the picture decides")
    for path in paths:
        console.print(str(path), markup=False)


def _write_trials(out: Path, tiles, what: str, title: str) -> list[Path]:
    from pfitre_jax import report
    from pfitre_jax.io.results import write_files

    figure = report.strip(tiles, name=what, title=title)
    lines = [f"{what},residual", *(f"{report.label(tile.value)},{tile.residual:.8g}" for tile in tiles)]
    return write_files(
        out,
        {
            f"{what}.png": lambda path: figure.savefig(path),
            f"{what}.csv": lambda path: path.write_text("\n".join(lines) + "\n"),
        },
    )


@app.command()
def simulate(
    ctx: typer.Context,
    out: Annotated[Path | None, typer.Option(metavar="H5", help="DXchange file of the scan.")] = None,
    scene: Annotated[str, typer.Option(metavar="NAME", help="What is scanned; an unknown one lists all.")] = (
        "circuits"
    ),
    config: Annotated[
        str,
        typer.Option(
            metavar="NAME|TOML", help="File with an [instrument], such as a training configuration."
        ),
    ] = "circuits",
    files: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="For --scene layouts, images or volumes: file, folder or glob to cut scenes from, any "
            "number of times. Default: those of the configuration's [banks].",
        ),
    ] = None,
    rows: Annotated[int, typer.Option(metavar="N", help="Of one volume (circuits3d), or independent.")] = 4,
    columns: Annotated[int, typer.Option(metavar="N", help="Detector bins.")] = 128,
    views: Annotated[int, typer.Option(metavar="N")] = 51,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed, the same scan.")] = 0,
    gallery: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Pictures of every scene and every imperfection instead."),
    ] = None,
) -> None:
    """Simulate a scan with its truth, or draw what the digital twin can do."""
    from pfitre_jax.io.results import check_folder, write_files

    if (out is None) == (gallery is None):
        raise ValueError("expected either --out scan.h5 or --gallery DIR: give one of them")
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    if gallery is not None:
        check_folder(gallery, ["scenes.png", "artifacts.png"])
        from pfitre_jax.gallery import draw_artifacts, draw_scenes, find_banks

        with _work():
            banks = find_banks(seed)
            writers = {
                "scenes.png": lambda path: draw_scenes(columns, seed, banks).savefig(path),
                "artifacts.png": lambda path: draw_artifacts(columns, views, seed).savefig(path),
            }
            for path in write_files(gallery, writers):
                console.print(str(path), markup=False)
        return
    if out.suffix.lower() not in (".h5", ".hdf5"):
        raise ValueError(f"--out is {out}; expected an HDF5 file, a name that ends in .h5")
    check_folder(out.parent, [out.name])
    from pfitre_jax.io.hdf5 import write_dxchange
    from pfitre_jax.training.config import load_config
    from pfitre_jax.twin.simulate import simulate_scan

    configuration = load_config(config)
    bank = _bank(scene, files, configuration, rows, seed)
    made = simulate_scan(
        scene, configuration.instrument, bank=bank, rows=rows, columns=columns, views=views, seed=seed
    )
    facts = {"center": made.center, "command": ctx.find_root().meta[_COMMAND]}
    with _work():
        [path] = write_files(
            out.parent,
            {
                out.name: lambda path: write_dxchange(
                    path, made.projections, made.theta_rad, truth=made.truth, attributes=facts
                )
            },
        )
    console.print(
        f"{views} views x {rows} rows x {columns} columns, center {made.center:.2f}\n{path}", markup=False
    )


def _bank(scene: str, files: list[str] | None, configuration, rows: int, seed: int):
    """The bank that a scene is drawn from, or None for one that needs none."""
    from pfitre_jax.twin.scenes.files import find, make_banks
    from pfitre_jax.twin.scenes.mixture import BANKED

    if scene not in BANKED:
        if files:
            raise ValueError(f"--files with --scene {scene}; expected one of {', '.join(BANKED)} with them")
        return None
    # What is there is meant before what the data folder has.
    here = [str(Path(name).absolute()) if Path(name).exists() else name for name in files or ()]
    patterns = here or getattr(configuration.banks, scene)
    if not patterns:
        raise ValueError(
            f"--scene {scene} is cut from files; expected some in --files, or in the configuration's [banks]"
        )
    return make_banks({scene: find(scene, patterns)}, 4 * max(rows, 1), seed=seed)[scene]


@app.command()
def train(
    ctx: typer.Context,
    config: Annotated[str, typer.Option(metavar="NAME|TOML", help="Training configuration.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Checkpoints, log, pictures, weights.")],
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Stop after N of the configured steps, to go on later.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Where DIR holds no checkpoint: take the run up from the prior that it left.",
        ),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only this stage of the configuration, from --weights or the shipped prior of its name.",
        ),
    ] = None,
) -> None:
    """Train a prior; goes on from the last checkpoint in DIR."""
    from pfitre_jax.io.results import check_folder
    from pfitre_jax.priors.files import available, pretrained
    from pfitre_jax.training.config import load_config
    from pfitre_jax.training.run import check_weights, claim
    from pfitre_jax.training.run import train as run_training

    check_folder(out)
    if steps is not None and steps < 1:
        raise ValueError(f"--steps is {steps}; expected a whole number of at least 1")
    configuration = load_config(config)
    if stage is not None:
        configuration.span(stage)
        if weights is None and configuration.name in available():
            weights = configuration.name
    prior = None if weights is None else pretrained(weights)
    if prior is not None:
        check_weights(configuration, prior, steps, stage)
    configuration.check()
    claim(configuration, out)
    with _work(), _progress("compiling", "steps") as progress:

        def show(record: dict) -> None:
            progress(record["step"], record["steps"])

        path = run_training(
            configuration,
            out,
            command=ctx.find_root().meta[_COMMAND],
            steps=steps,
            weights=prior,
            stage=stage,
            report=show,
        )
    Console(soft_wrap=True, highlight=False, emoji=False).print(str(path), markup=False)


@app.command()
def adapt(
    ctx: typer.Context,
    scan: _Scan,
    out: Annotated[Path, typer.Option(metavar="NPZ", help="The adapted prior; beside it a picture, .png.")],
    prior: Annotated[str, typer.Option(metavar="NAME|PATH", help="Prior to start from.")] = "circuits",
    angles: _Angles = None,
    angle_unit: _AngleUnit = None,
    data: _Data = None,
    center: _Center = "auto",
    roll: _Roll = "0",
    rows: Annotated[
        str | None, typer.Option(metavar="A:B", help="Rows to learn from; default 8, evenly spread.")
    ] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="At most.")] = None,
    views: _Views = None,
    exclude_views: _ExcludeViews = None,
    mask_nan: _MaskNan = False,
) -> None:
    """Adapt a prior to a scan by predicting views left out; then: pfitre recon SCAN --prior NPZ."""
    from pfitre_jax.io.results import check_folder, write_files
    from pfitre_jax.priors import files

    if out.suffix != ".npz":
        raise ValueError(f"--out is {out}; expected a file that ends in .npz")
    if steps is not None and steps < 1:
        raise ValueError(f"--steps is {steps}; expected a whole number of at least 1")
    picture = out.with_suffix(".png")
    check_folder(out.parent, [out.name, picture.name])
    center_value, roll_value = _number(center, "--center", None), _number(roll, "--roll", "auto")

    import dataclasses

    from pfitre_jax import adapting, api
    from pfitre_jax.training import pictures
    from pfitre_jax.training.adaptation import AdaptationSettings, make_splits

    given = adapting.load_prior(prior)
    loaded = api.load_scan(
        scan,
        angles=angles,
        angle_unit=angle_unit,
        data=data,
        center=center_value,
        roll=roll_value,
        views=views,
        exclude_views=exclude_views,
        mask_nan=mask_nan,
    )
    if rows is not None:
        loaded.select_rows(rows)
    settings = AdaptationSettings()
    settings = settings if steps is None else dataclasses.replace(settings, steps=steps)
    make_splits(loaded.theta_rad, settings)
    loaded = api.with_center(loaded)
    _say(_describe(loaded))
    with _work():
        with _progress("adapting, compiling", "steps") as progress:
            adapted = adapting.adapt(loaded, given, rows=rows, settings=settings, progress=progress)
        card = dict(adapted.prior.card) | {"name": out.stem, "command": ctx.find_root().meta[_COMMAND]}
        made = dataclasses.replace(adapted.prior, card=card)
        figure = pictures.adaptation(adapted)
        writers = {
            out.name: lambda path: files.save(path, made),
            picture.name: lambda path: figure.savefig(path, dpi=110, format="png"),
        }
        write_files(out.parent, writers)
    before, after = adapted.errors[0], adapted.error
    _say(
        f"error on {len(adapted.judged)} views that no step saw: {before:.4f} before, {after:.4f} after "
        f"{adapted.step} steps"
    )
    if adapted.step == 0:
        _warn(["no step predicted those views better: the prior is written as it was"])
    Console(soft_wrap=True, highlight=False, emoji=False).print(str(out), markup=False)


@app.command()
def evaluate(
    ctx: typer.Context,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Tables, figure, numbers; cells that are done, to go on from.")
    ],
    prior: Annotated[str, typer.Option(metavar="NAME|PATH", help="Learned prior to judge.")] = "circuits",
    quick: Annotated[
        bool, typer.Option("--quick", help="Every factor with few scenes: minutes, not hours.")
    ] = False,
    only: Annotated[
        Literal["orientation", "wedge", "noise", "views", "artifacts", "sources"] | None,
        typer.Option(help="The base case and this factor; orientation: the base case alone. Default all."),
    ] = None,
    missing: Annotated[
        float, typer.Option(metavar="DEG", help="Width of the missing wedge in the base case.")
    ] = 96.0,
    scenes: Annotated[
        Literal["heldout", "circuits", "ihp", "tile", "images", "battery", "rock"],
        typer.Option(
            help="Of the base case: circuits by other rules than the training's, unseen ones by the same "
            "rules, or held-out files."
        ),
    ] = "heldout",
    iterations: Annotated[int | None, typer.Option(metavar="N")] = None,
    rho: Annotated[float | None, typer.Option(metavar="R")] = None,
    baselines: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The --out for another prior: total variation is taken from there, not run again.",
        ),
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Write the scores into the prior's card.")] = False,
) -> None:
    """Judge a prior on scans of scenes nobody trained on, beside total variation at its best weight.

    A run that was stopped goes on in the same DIR.
    """
    import dataclasses

    from pfitre_jax import evaluate as judge
    from pfitre_jax.engine import methods
    from pfitre_jax.evaluate.results import NAMES
    from pfitre_jax.evaluate.scenes import absent, check_source
    from pfitre_jax.io.results import check_folder
    from pfitre_jax.priors.files import pretrained

    check_folder(out, NAMES)
    if not 0 < missing < 180:
        raise ValueError(f"--missing is {missing:g}; expected degrees between 0 and 180")
    if card and only not in (None, "orientation"):
        raise ValueError(
            f"both --card and --only {only} were given; expected the whole evaluation for a card, or its "
            "base case (--only orientation)"
        )
    check_source(scenes)
    loaded = pretrained(prior)
    asked = methods.settings("pfitre", prior=loaded, iterations=iterations, rho=rho)
    parameters = {"rho": asked["rho"], "iterations": asked["iterations"]}
    settings = judge.QUICK if quick else judge.FULL
    missed = absent(settings.sources)
    if only == "sources" and len(missed) == len(settings.sources):
        check_source(missed[0])
    there = tuple(source for source in settings.sources if source not in missed)
    settings = dataclasses.replace(settings, missing_deg=missing, source=scenes, sources=there)
    if only in (None, "sources"):
        _warn(f"left out, the held-out files are not there: {source}" for source in missed)
    where = {"only": only, "folder": out, "baselines": baselines}
    judge.check(loaded, settings, **parameters, **where)
    with _work(), _progress("evaluating", "cells") as progress:
        records = judge.evaluate(loaded, settings, **parameters, **where, progress=progress)
    command = ctx.find_root().meta[_COMMAND]
    with _work():
        told = {**parameters, "prior": loaded.card.get("name")}
        paths = judge.save(records, settings, told, out)
        if card:
            paths += judge.write_card(prior, loaded, records, settings, parameters, command)
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    console.print(judge.markdown(judge.summarise(records), settings, told), markup=False)
    for path in paths:
        console.print(str(path), markup=False)


@app.command()
def info() -> None:
    """Versions, devices, shipped priors and samples."""
    import jax

    from pfitre_jax.engine.methods import METHODS
    from pfitre_jax.io.results import versions
    from pfitre_jax.priors.files import available

    facts = {
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "devices": ", ".join(f"{d.platform}: {d.device_kind}" for d in jax.devices()),
    }
    for name, recipe in METHODS.items():
        settings = ", ".join(f"{key} {value}" for key, value in recipe.defaults.items())
        facts[f"method {name}"] = recipe.summary + (f" ({settings})" if settings else "")
    for name in available():
        facts[f"prior {name}"] = _describe_prior(name)
    for path in sorted(SAMPLES.glob("*.npz")):
        facts[f"sample {path.stem}"] = str(path)
    facts["data"] = os.environ.get("PFITRE_DATA", "set PFITRE_DATA to the folder of the test scans")
    _print_facts(facts)


@app.command()
def priors(
    prior: Annotated[
        str | None, typer.Argument(metavar="NAME|PATH", help="Check this one and show its whole card.")
    ] = None,
) -> None:
    """The shipped priors; or the model card of one, or of a weights file, once it has passed its checks."""
    from pfitre_jax.priors.files import available, pretrained

    if prior is None:
        _print_facts({name: _describe_prior(name) for name in available()} or {"priors": "none is shipped"})
    else:
        Console(soft_wrap=True, highlight=False, emoji=False).print_json(data=dict(pretrained(prior).card))


def _describe_prior(name: str) -> str:
    """What `pfitre info` says of a shipped prior: size, range, worth, and the hash of its weights; or why it
    is refused."""
    from pfitre_jax.priors.files import pretrained

    try:
        card = pretrained(name).card
    except ValueError as error:
        return f"refused: {error}"
    said = [f"{card['parameters'] / 1e6:.2f} M parameters", f"{card.get('steps', '?')} steps"]
    for name, (low, high) in ((k, v) for k, v in card.get("trained_on", {}).items() if isinstance(v, list)):
        said.append(f"{name} {low:g} to {high:g}")
    if "scores" in card:
        gain = card["scores"]["gain"]
        spread = f"{gain['smallest']:+.1f} to {gain['largest']:+.1f}"
        said.append(f"{gain['mean']:+.1f} dB ({spread}) over FISTA-TV")
    return ", ".join([*said, f"sha256 {card['sha256']}"])


def _print_facts(facts: dict[str, str]) -> None:
    """A line for each fact, whole also where it is piped into a file."""
    width = max(map(len, facts))
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    for name, text in facts.items():
        console.print(Text.assemble((name.ljust(width), "bold"), "  ", text))


if __name__ == "__main__":
    sys.exit(main())
