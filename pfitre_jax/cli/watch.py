"""``pfitre watch``: reconstruction of a scan while it is being measured."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pfitre_jax.cli import options
from pfitre_jax.cli.app import RECONSTRUCTION_PANEL, command, command_line
from pfitre_jax.cli.console import print_note, print_warnings
from pfitre_jax.cli.errors import computation, in_options
from pfitre_jax.cli.options.declaration import argument, option
from pfitre_jax.cli.options.panels import DATA_MODEL, EXECUTION, GEOMETRY, INPUT, METHOD, OUTPUT
from pfitre_jax.cli.options.parsing import parse_air, parse_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pfitre_jax.data.readers.growing import GrowingScan
    from pfitre_jax.data.scan import Scan
    from pfitre_jax.reconstruction.live import LiveResult


@command(RECONSTRUCTION_PANEL)
def watch(
    ctx: typer.Context,
    scan: Annotated[
        Path,
        argument(
            "SCAN", "HDF5 file in DXchange layout to which views are being appended (with or without SWMR)."
        ),
    ],
    *,
    data: options.Data = None,
    rows: Annotated[
        str | None,
        option("--rows", "A:B", "Detector rows to reconstruct: A to B-1.", INPUT, "middle row"),
    ] = None,
    min_views: Annotated[
        int, option("--min-views", "N", "Number of views for the first reconstruction.", INPUT)
    ] = 8,
    refresh_views: Annotated[
        int, option("--refresh-views", "N", "Number of new views between two reconstructions.", INPUT)
    ] = 4,
    max_views: Annotated[
        int | None,
        option(
            "--max-views", "N", "Stop when this number of views has been reconstructed.", INPUT, "no limit"
        ),
    ] = None,
    center: Annotated[
        float,
        option("--center", "BIN", "Detector column index of the rotation axis, counted from 0.", GEOMETRY),
    ],
    method: Annotated[
        str,
        option("--method", "NAME", "Iterative reconstruction method, as for 'pfitre recon'.", METHOD),
    ] = "pfitre",
    prior: options.Prior = None,
    iterations: Annotated[
        int | None,
        option(
            "--iterations",
            "N",
            "Iterations of the first reconstruction; each later one uses half as many.",
            METHOD,
            "set by the method, see 'pfitre info'",
        ),
    ] = None,
    rho: options.Rho = None,
    tv_weight: options.TVWeight = None,
    joint: options.Joint = False,
    air: options.Air = "auto",
    support: Annotated[
        str,
        option(
            "--support",
            "disc|extended|FILE",
            "Where the slices may differ from 0: 'disc' is the disc that every view sees; 'extended' reaches "
            "beyond the field of view; FILE is a TIFF or .npy image that is not 0 where the sample may be.",
            DATA_MODEL,
        ),
    ] = "disc",
    out: Annotated[
        Path,
        option(
            "--out", "DIR", "Folder for live.png and live.tif, replaced after every reconstruction.", OUTPUT
        ),
    ],
    poll: Annotated[
        float, option("--poll", "SECONDS", "Time between two checks for new views, in seconds.", EXECUTION)
    ] = 1.0,
    timeout: Annotated[
        float,
        option("--timeout", "SECONDS", "Stop if no view arrives for this many seconds.", EXECUTION),
    ] = 120.0,
) -> None:
    """Reconstruct selected rows repeatedly while a scan is being measured.

    Follows a growing file and starts each reconstruction from the previous
    result. Writes live.tif and live.png; open live.png in an image viewer that
    reloads changed files.

    Example: pfitre watch scan.h5 --center 75 --rows 40:42 --out live
    """
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable
    from pfitre_jax.data.folder_lock import lock_folder

    positive = {
        "--min-views": min_views,
        "--refresh-views": refresh_views,
        "--poll": poll,
        "--timeout": timeout,
    }
    for name, value in positive.items():
        if not value > 0:
            raise ValueError(f"{name} is {value:g}; expected more than 0")
    if joint and rows is None:
        raise ValueError("--joint without --rows; expected --rows A:B, the rows to solve as one volume")
    if support == "auto":
        raise ValueError(
            "--support auto compares reconstructions of a complete scan; expected disc, extended, or a file"
        )
    if support.startswith("faces:"):
        raise ValueError(
            f"--support {support} is relative to the missing directions of a complete scan; expected disc, "
            "extended, or a file"
        )
    level = parse_air(air)
    check_output_folder(out, ["live.png", "live.tif"])
    check_replaceable(out, ["live.png", "live.tif"], inputs=[scan, prior and Path(prior), Path(support)])
    if not scan.exists():
        raise FileNotFoundError(
            f"{scan} does not exist; expected the file to which the scan is being written"
        )

    from pfitre_jax.data.atomic_write import write_files
    from pfitre_jax.data.checks import check_columns
    from pfitre_jax.data.preprocess import leave_out_blank_views, to_scan
    from pfitre_jax.data.readers.growing import GrowingScan
    from pfitre_jax.data.selection import parse_slice
    from pfitre_jax.data.sign import check_sign
    from pfitre_jax.data.writers.image_stack import ImageStack
    from pfitre_jax.data.writers.tiff import TiffWriter
    from pfitre_jax.estimation.air import with_air
    from pfitre_jax.reconstruction import live
    from pfitre_jax.reconstruction.method_settings import Settings

    settings = Settings.create(
        method,
        joint=joint,
        prior=prior,
        iterations=iterations,
        rho=parse_number(rho, "--rho", "auto"),
        weight=parse_number(tv_weight, "--tv-weight", "auto"),
        support=support,
    )
    settings.require_known_prior("a scan that is being measured")
    if method == "fbp":
        raise ValueError("--method fbp cannot start from a previous result; expected an iterative method")
    chosen = None if rows is None else parse_slice(rows)
    if chosen is not None and chosen.step not in (None, 1):
        raise ValueError(f"--rows is {rows}; expected neighbouring rows A:B")

    ctx.with_resource(lock_folder(out, command_line(ctx)))
    growing = GrowingScan(scan, data)
    schedule = _Schedule(min_views, refresh_views, max_views, timeout)
    result: LiveResult | None = None
    shown: set[str] = set()
    print_note(f"watching {scan}; press Ctrl-C to stop, {out / 'live.png'} is kept")
    while not schedule.complete:
        views = schedule.views_to_reconstruct(growing.views())
        if views is None:
            if schedule.timed_out:
                print_note(f"no view arrived for {timeout:g} s; stopped after {schedule.reconstructed} views")
                return
            time.sleep(poll)
            continue
        try:
            chosen = chosen or _middle_row(growing)
            raw = growing.read(slice(chosen.start or 0, chosen.stop or growing.rows()), views)
        except OSError:
            # The file is locked by its writer; the next check will read it.
            time.sleep(poll)
            continue
        check_columns(raw.projections.shape[2])
        read = to_scan(raw, center=center)
        loaded = with_air(leave_out_blank_views(read), level)
        check_sign(loaded)
        print_warnings(in_options(text) for text in loaded.warnings if text not in shown)
        shown.update(loaded.warnings)
        settings.check_support(loaded.columns)
        if joint and loaded.rows < 2:
            raise ValueError(f"--joint with --rows {rows} is one row; expected two or more")
        with computation():
            result = live.refresh(loaded, settings, result)
            figure = _draw(result, loaded, chosen.start or 0, method)
            stack = ImageStack.of_array(result.images, pixel_size=loaded.pixel_size, row0=chosen.start or 0)
            write_files(
                out,
                {
                    "live.png": _save_figure(figure),
                    "live.tif": functools.partial(TiffWriter().write, stack=stack),
                },
            )
        schedule.reconstructed = views
        print_note(
            f"{views} views, {loaded.wedge.width_deg:.0f} degrees missing: relative residual "
            f"{result.residual.max():.3f}, {result.iterations} iterations, {result.seconds:.1f} s"
        )


class _Schedule:
    """Schedule of the reconstructions: when to start one, and from how many views.

    Attributes:
        reconstructed: Number of views of the last reconstruction.
    """

    def __init__(self, min_views: int, refresh_views: int, max_views: int | None, timeout: float):
        self.min_views, self.refresh_views, self.max_views = min_views, refresh_views, max_views
        self.timeout, self.reconstructed = timeout, 0
        self._available, self._last_arrival = 0, time.monotonic()

    @property
    def complete(self) -> bool:
        """Whether the requested number of views has been reconstructed."""
        return self.max_views is not None and self.reconstructed >= self.max_views

    @property
    def timed_out(self) -> bool:
        """Whether no view has arrived for the timeout."""
        return time.monotonic() - self._last_arrival > self.timeout

    def views_to_reconstruct(self, available: int) -> int | None:
        """Returns the number of views to reconstruct now, or None to wait.

        Args:
            available: Number of views in the file.
        """
        if available > self._available:
            self._available, self._last_arrival = available, time.monotonic()
        required = self.reconstructed + self.refresh_views if self.reconstructed else self.min_views
        due = available >= required or (self.max_views is not None and available >= self.max_views)
        # The last views of a scan may be fewer than a refresh needs.
        due = due or (self.timed_out and available >= self.min_views)
        if available == self.reconstructed or not due:
            return None
        return available if self.max_views is None else min(available, self.max_views)


def _middle_row(growing: GrowingScan) -> slice:
    middle = growing.rows() // 2
    return slice(middle, middle + 1)


def _save_figure(figure: Figure) -> Any:
    from pfitre_jax.plotting.style import save_png

    return lambda path: save_png(figure, path)


def _draw(result: LiveResult, scan: Scan, first_row: int, method: str) -> Figure:
    from pfitre_jax.plotting.panels import Panel, choose_rows
    from pfitre_jax.plotting.preview import draw_live

    panels = [
        Panel(f"row {first_row + k}   residual {result.residual[k]:.3g}", result.images[k])
        for k in choose_rows(scan.rows)
    ]
    facts = [f"{scan.views} views", f"{result.iterations} iterations", f"{result.seconds:.1f} s"]
    title = f"{method}, {scan.views} views so far"
    return draw_live(panels, theta_rad=scan.theta_rad, wedge=scan.wedge, title=title, facts=facts)
