"""``pfitre inspect``: contents of a scan."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pfitre_jax.cli import options
from pfitre_jax.cli.app import SCAN_PANEL, command
from pfitre_jax.cli.channel_list import needs_element, print_channels
from pfitre_jax.cli.console import print_facts, print_paths, print_warnings, progress_bar
from pfitre_jax.cli.errors import computation, in_options
from pfitre_jax.cli.options.declaration import option
from pfitre_jax.cli.options.panels import OUTPUT
from pfitre_jax.cli.options.parsing import parse_air

if TYPE_CHECKING:
    import numpy as np

    from pfitre_jax.data.content_summary import ContentSummary
    from pfitre_jax.data.scan import Scan

#: Share of negative line integrals above which the kind of data is doubtful.
MAX_NEGATIVE_SHARE = 0.2
#: Facts that the picture repeats.
_PICTURE_FACTS = ("line integrals", "invalid bins", "truncated views")


@command(SCAN_PANEL)
def inspect(
    scan: options.ScanPath,
    angles: options.Angles = None,
    angle_unit: options.AngleUnit = None,
    element: options.Element = None,
    dataset: options.Dataset = None,
    theta_path: options.ThetaPath = None,
    axis_order: options.AxisOrder = None,
    data: options.Data = None,
    mask_nan: options.MaskNan = False,
    air: options.Air = "auto",
    out: Annotated[
        Path | None,
        option("--out", "PNG", "Save a picture of a view, a sinogram and the view angles.", OUTPUT, "none"),
    ] = None,
) -> None:
    """Print a summary of a scan and warn about problems.

    Shows shape, angles, missing wedge, rotation axis, invalid bins and
    truncated views. With --out, also saves a picture. Of a scan of more than
    1 GiB, some rows that are spread over it are read. Of a scan of several
    elements, lists the signal of each channel unless --element chooses one.

    Example: pfitre inspect scan.h5 --out scan.png
    """
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable, write_files
    from pfitre_jax.data.content_summary import ContentSummary
    from pfitre_jax.data.readers.registry import list_elements
    from pfitre_jax.data.truncation import truncated_views
    from pfitre_jax.reconstruction.scan_loading import open_scan

    if out is not None:
        if out.suffix.lower() != ".png":
            raise ValueError(f"--out is {out}; expected a file name that ends in .png")
        check_output_folder(out.parent)
        check_replaceable(out.parent, [out.name], inputs=[scan, angles])
    read = functools.partial(
        open_scan,
        scan,
        angles=angles,
        angle_unit=angle_unit,
        dataset=dataset,
        theta_path=theta_path,
        axis_order=axis_order,
        data=data,
        mask_nan=mask_nan,
        preview=True,
    )
    if element is None and out is None:
        channels = list_elements(scan, dataset=dataset, axis_order=axis_order)
        if needs_element(channels):
            # Without the level of the air, which would hide the bins that are 0.
            print_channels(scan, channels, lambda name: read(element=name, air="none"))
            return
    with progress_bar("reading the scan", transient=True) as progress:
        loaded = read(element=element, air=parse_air(air), progress=progress)
        summary = ContentSummary.collect(loaded, progress)
    truncated = truncated_views(loaded)
    facts = _facts(scan, loaded, summary, truncated)
    print_facts(facts)
    print_warnings(_warnings(loaded, summary, truncated))
    if out is not None:
        import numpy as np

        from pfitre_jax.data.truncation import edge_signal
        from pfitre_jax.plotting import draw_inspection
        from pfitre_jax.plotting.style import save_png

        with computation():
            row = loaded.rows // 2
            projections, mask = loaded.source.read(slice(row, row + 1))
            figure = draw_inspection(
                summary.frame,
                np.where(mask, projections, np.nan)[:, 0],
                loaded.theta_rad,
                loaded.wedge,
                view=loaded.views // 2,
                row=row,
                edge_signal=edge_signal(loaded).value,
                title=scan.name,
                facts=[f"{name}: {facts[name]}" for name in _PICTURE_FACTS],
            )
            print_paths(write_files(out.parent, {out.name: lambda path: save_png(figure, path)}))


def _facts(path: Path, scan: Scan, summary: ContentSummary, truncated: np.ndarray) -> dict[str, str]:
    import numpy as np

    from pfitre_jax.data.selection import format_ranges

    theta_deg, wedge = np.rad2deg(scan.theta_rad), scan.wedge
    invalid = int(summary.invalid.sum())
    bins = scan.views * scan.rows * scan.columns
    missing = f"{wedge.width_deg:.1f} degrees, centred at {wedge.center_deg:.1f} degrees"
    return {
        "scan": str(path),
        "shape": f"{scan.views} views x {scan.raw_rows} rows x {scan.columns} columns",
        "data": f"{scan.provenance.get('data', '?')}, {scan.provenance.get('format', '?')}",
        **({"rows read": scan.provenance["rows"]} if "rows" in scan.provenance else {}),
        **({"element": scan.provenance["element"]} if "element" in scan.provenance else {}),
        "angles": f"{theta_deg.min():g} to {theta_deg.max():g} degrees",
        "missing wedge": missing if wedge.width_rad else "none",
        "line integrals": f"{summary.low:.4g} to {summary.high:.4g}, median {summary.median:.4g}",
        "air level": f"{scan.provenance['air']}, subtracted" if "air" in scan.provenance else "0",
        "center": scan.provenance.get("center", "not in the file"),
        "pixel size": "not in the file" if scan.pixel_size is None else f"{scan.pixel_size:g} um",
        "invalid bins": f"{invalid} ({100 * invalid / bins:.2f}%) in "
        f"{int(np.sum(summary.invalid > 0))} views",
        "truncated views": format_ranges(scan.view_numbers[truncated]) if truncated.size else "none",
    }


def _warnings(scan: Scan, summary: ContentSummary, truncated: np.ndarray) -> list[str]:
    warnings = [in_options(text) for text in scan.warnings]
    if truncated.size:
        warnings.append(
            "the sample extends beyond the field of view in some views; the reconstructed image will be "
            "wider than the detector"
        )
    negative = summary.negative_share
    if negative > MAX_NEGATIVE_SHARE:
        warnings.append(
            f"{100 * negative:.0f}% of the summed line integrals is negative, which is unusual for data of "
            f"the kind '{scan.provenance.get('data')}'; check the kind with --data counts or "
            "--data transmission"
        )
    return warnings
