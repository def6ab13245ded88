"""``pfitre inspect``: say what a scan holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pfitre_jax.cli.app import app
from pfitre_jax.cli.console import print_facts, warn, work
from pfitre_jax.cli.options import Angles, AngleUnit, Data, MaskNan, Scan

#: What the picture of `pfitre inspect` says of a scan.
_PICTURED = ("line integrals", "invalid bins", "truncated views")


@app.command()
def inspect(
    scan: Scan,
    angles: Angles = None,
    angle_unit: AngleUnit = None,
    data: Data = None,
    mask_nan: MaskNan = False,
    out: Annotated[Path | None, typer.Option(metavar="PNG", help="Save a picture.")] = None,
) -> None:
    """Say what a scan holds: shape, angles, wedge, masks, truncated views."""
    import numpy as np

    from pfitre_jax.data.results import check_folder, write_files
    from pfitre_jax.data.selection import format_ranges
    from pfitre_jax.data.truncation import edge_signal, truncated_views
    from pfitre_jax.reconstruction import api

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
        "truncated views": format_ranges(truncated) if truncated.size else "none",
    }
    print_facts(facts)
    warnings = []
    if truncated.size:
        warnings.append("views run out of the field of view: the reconstruction takes an image wider than it")
    if (valid < 0).mean() > 0.2:
        warnings.append(
            f"{100 * (valid < 0).mean():.0f}% of the line integrals are negative; are these data really "
            f"{loaded.provenance.get('data')}? Say --data counts or transmission where they are"
        )
    warn(warnings)
    if out is not None:
        from pfitre_jax.plotting.inspection import draw_inspection

        with work():
            figure = draw_inspection(
                loaded.projections,
                loaded.mask,
                loaded.theta_rad,
                wedge,
                edge_signal=edge_signal(loaded),
                title=scan.name,
                facts=[f"{name}: {facts[name]}" for name in _PICTURED],
            )
            [path] = write_files(out.parent, {out.name: lambda path: figure.savefig(path)})
        Console(soft_wrap=True, highlight=False, emoji=False).print(str(path), markup=False)
