"""``pfitre recon``: reconstruction of a scan."""

from __future__ import annotations

import typer

from pfitre_jax.cli.app import RECONSTRUCTION_PANEL, command, command_line, takes_options
from pfitre_jax.cli.recon_options import ReconOptions


@command(RECONSTRUCTION_PANEL)
@takes_options(ReconOptions)
def recon(ctx: typer.Context, options: ReconOptions) -> None:
    """Reconstruct a scan.

    Reads SCAN and writes to DIR: recon.h5 and recon.tif (slices; further
    formats with --format), preview.png, summary.json; alignment.csv, .xf,
    .aln and .png if views were aligned; prior.npz and adaptation.png with
    --adapt; report.html with --report. Several elements have a folder each.
    An interrupted run resumes when the command is repeated.

    Examples:
    pfitre recon --sample chip --out out
    pfitre recon scan.tiff --angles angles.csv --center 75 --out out
    pfitre recon tomo.h5 --element Cu,Fe,Zn --align --out out
    """
    options.check()

    from pfitre_jax.cli.errors import ComputationError
    from pfitre_jax.cli.recon_elements import ElementsRun
    from pfitre_jax.cli.recon_run import ReconRun
    from pfitre_jax.data.folder_lock import lock_folder
    from pfitre_jax.runtime.processes import join

    # Processes are joined before anything, such as a prior's weights, is put on a device.
    team = join(options.coordinator, options.num_processes, options.process_id)
    one = ReconRun(options, command_line(ctx), team)
    shared = options.several_elements or options.align_on is not None
    run = ElementsRun(one) if shared else one
    if options.memory_check:
        run.check_memory()
        return
    with team.step():
        if team.first:
            ctx.with_resource(lock_folder(options.out, command_line(ctx)))
    if run.reconstruct():
        raise ComputationError from FloatingPointError(
            "every row diverged; the slices are the last finite iterates"
        )
