"""``pfitre recon``: reconstruct a scan."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Annotated

import typer

from pfitre_jax.cli import alignment as aligning
from pfitre_jax.cli.app import COMMAND, app
from pfitre_jax.cli.console import Failure, describe, work
from pfitre_jax.cli.options import (
    Angles,
    AngleUnit,
    Center,
    Data,
    ExcludeViews,
    MaskNan,
    Rho,
    Roll,
    Views,
    Weight,
    number,
)
from pfitre_jax.cli.progress import Telling
from pfitre_jax.cli.samples import sample_path, sample_truth


@app.command()
def recon(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")],
    scan: Annotated[Path | None, typer.Argument(metavar="[SCAN]", help="TIFF stack, HDF5 or .npz")] = None,
    sample: Annotated[
        str | None, typer.Option(metavar="NAME", help="A scan that the package brings: chip.")
    ] = None,
    angles: Angles = None,
    angle_unit: AngleUnit = None,
    data: Data = None,
    center: Center = "auto",
    roll: Roll = "0",
    method: Annotated[
        str, typer.Option(help="fbp, sirt, cgls, fista-tv, fista-dtv, admm-tv, pfitre or pfitre-original.")
    ] = "pfitre",
    prior: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="Learned prior; .pth: the published network's.")
    ] = None,
    iterations: Annotated[int | None, typer.Option(metavar="N")] = None,
    rho: Rho = None,
    weight: Weight = None,
    robust: Annotated[
        str | None,
        typer.Option(
            metavar="huber|student-t|views",
            help="What is far off counts less: bins (student-t: the less the farther), or whole views.",
        ),
    ] = None,
    photons: Annotated[
        float | None,
        typer.Option(metavar="N", help="Of the flat beam in a bin: bins count by their photons (Poisson)."),
    ] = None,
    stripes: Annotated[
        bool, typer.Option("--stripes", help="Look for columns whose flat field is wrong, and mend them.")
    ] = False,
    gains: Annotated[
        bool, typer.Option("--gains", help="Look for views that are too bright or dark, and mend them.")
    ] = False,
    align: Annotated[
        bool,
        typer.Option("--align", help="Find each view's shifts and gain, and the roll; reads the whole scan."),
    ] = False,
    drift: Annotated[
        bool,
        typer.Option("--drift", help="With --align: the views' shifts drift slowly, they do not jump."),
    ] = False,
    alignment: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="alignment.csv to mend the scan with, or for --align to start from."
        ),
    ] = None,
    joint: Annotated[
        bool,
        typer.Option("--joint", help="All rows as one volume: the prior, volume, sees neighbouring rows."),
    ] = False,
    rows: Annotated[str | None, typer.Option(metavar="A:B", help="Rows to reconstruct; default all.")] = None,
    views: Views = None,
    exclude_views: ExcludeViews = None,
    pixel_size: Annotated[
        float | None, typer.Option(metavar="UM", help="Detector bin, micrometres: values become 1/um.")
    ] = None,
    mask_nan: MaskNan = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew, whatever DIR holds of another run.")
    ] = False,
    memory: Annotated[
        float | None, typer.Option(metavar="GIB", help="That may be taken, on a CPU; default what is free.")
    ] = None,
    memory_check: Annotated[
        bool, typer.Option("--memory-check", help="Say what memory and disk are needed, and stop.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only what is wrong.")] = False,
    json_log: Annotated[
        bool, typer.Option("--json", help="Say all on stderr as JSON, an object a line, for programs.")
    ] = False,
    coordinator: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Of the first of several processes that share the rows."),
    ] = None,
    num_processes: Annotated[int | None, typer.Option(metavar="N", help="Their number.")] = None,
    process_id: Annotated[int | None, typer.Option(metavar="I", help="Which this one is, from 0.")] = None,
) -> None:
    """Reconstruct a scan: recon.h5, recon.tif, preview.png and summary.json in DIR, alignment.* if aligned.

    A run that was stopped goes on with the same command.
    """
    from pfitre_jax.data.results import NAMES, check_folder

    if (scan is None) == (sample is None):
        raise ValueError("expected either a SCAN or --sample chip: give one of them")
    if memory is not None and not 0 < memory < 1e6:
        raise ValueError(f"--memory is {memory:g}; expected GiB, more than 0")
    check_folder(out, [*NAMES, "preview.png", *aligning.NAMES])
    source = sample_path(sample) if sample else scan
    center_value, roll_value = number(center, "--center", None), number(roll, "--roll", "auto")
    rho_value, weight_value = number(rho, "--rho", "auto"), number(weight, "--weight", "auto")
    moved = align or alignment is not None
    if drift and not align:
        raise ValueError("--drift says how --align lets views move; expected --align beside it, or neither")
    if moved and roll_value == "auto":
        raise ValueError("--roll auto with an alignment, which has a roll of its own; leave --roll out")
    if moved and not abs(roll_value) < 90:
        raise ValueError(f"--roll is {roll_value:g}; expected degrees between -90 and 90")
    known = None
    if alignment is not None:
        from pfitre_jax.data.motion import Motion

        if roll_value or center_value is not None:
            raise ValueError(
                "--roll or --center beside --alignment, which has its own; leave both out, or the alignment"
            )
        known = Motion.load(alignment)
        center_value = known.center
    began = time.perf_counter()

    from pfitre_jax.cli.result_display import preview, print_result
    from pfitre_jax.reconstruction import api, methods
    from pfitre_jax.reconstruction import checkpoint as job
    from pfitre_jax.runtime.devices import join

    # Before anything is put on a device, as the weights of a prior are.
    team = join(coordinator, num_processes, process_id)
    settings = methods.settings(
        method,
        joint=joint,
        prior=prior,
        iterations=iterations,
        rho=rho_value,
        weight=weight_value,
        robust=robust,
        photons=photons,
        stripes=stripes,
        gains=gains,
    )
    reading = dict(
        angle_unit=angle_unit,
        data=data,
        center=center_value,
        roll=roll_value,
        pixel_size=pixel_size,
        views=views,
        exclude_views=exclude_views,
        mask_nan=mask_nan,
    )
    options = reading | {"rows": rows, "joint": joint or None, "align": align or None, "drift": drift or None}
    files = {"scan": source, "angles": angles, "alignment": alignment}
    what = job.identify(files, options, method, settings)
    if job.claim(out, what, overwrite) and not memory_check:
        # A run that was killed at its very end.
        job.finish(out)
        Telling(quiet, json_log).say(f"{out} holds this result already; --overwrite makes it anew")
        return
    telling = Telling(quiet or not team.first, json_log)
    with telling.bar("looking through the scan", brief=True) as progress:
        if moved:
            # Turned once, by all that is known of it.
            loaded = api.load_scan(source, angles=angles, **reading | {"roll": 0.0})
        elif roll_value == "auto":
            loaded = api.load_scan(source, angles=angles, **reading)
        else:
            loaded = api.open_scan(source, angles=angles, progress=progress, **reading)
    picked = api.pick_rows(loaded, rows)
    loaded = api.with_center(loaded)
    telling.say(describe(loaded))
    limit = None if memory is None else int(memory * 2**30)
    if memory_check:
        _check_memory(loaded, method, settings, picked, joint, limit, out)
        return
    if overwrite and team.first:
        job.finish(out)
    aligned = None
    if moved:
        # By what it is of: one that another command left counts for nothing.
        begun = out / job.PARTIAL / f"alignment-{job.digest(what)}.csv"
        find = functools.partial(aligning.align_scan, loaded, begun, known, align, drift, roll_value, telling)
        with team.step():
            aligned = find() if team.first else None
        # The others take it from the file of the first.
        aligned = aligned if team.first else find()
        loaded = aligned.scan
    command = ctx.find_root().meta[COMMAND]
    told, kept = ({}, {}) if aligned is None else (aligned.extra, aligned.writers)
    extra = {"what": what, "command": command} | told
    try:
        with work(), telling.bar(f"{method}, compiling") as progress:
            picture = out / "preview.png" if team.first else None
            events = _events(telling, progress, method, picture, picked, source.name)
            run = dict(joint=joint, limit=limit, team=team, events=events)
            result = job.reconstruct_to(out, what, loaded, method, settings, picked, **run)
    except job.Interrupted as stopped:
        if stopped.result is not None:
            figure = preview(stopped.result, None, None, f"{source.name}, interrupted")
            stopped.result.save(
                out,
                command=command,
                writers={"preview.png": lambda path: figure.savefig(path)} | kept,
                extra=extra | {"complete": False},
            )
        without = ", without --overwrite" if overwrite else ""
        done = f"{stopped.done} of {stopped.rows} rows are done and kept"
        telling.warn([f"{done}; the same command goes on{without}"])
        raise
    if not team.first:
        # Until the first one has put the result together.
        with work(), team.step():
            return
    unaccounted = time.perf_counter() - began - sum(result.timings.values())
    # A run that was gone on with also counts the seconds of the rows that were done before.
    result.timings["seconds_prepare"] += max(unaccounted, 0.0)
    truth = sample_truth(source, result) if sample else None
    compared = None
    if truth is not None and method != "fista-tv":
        middle = int(result.rows[result.middle])
        with work(), telling.bar("fista-tv, to compare") as progress:
            compared = api.reconstruct(
                loaded, "fista-tv", rows=slice(middle, middle + 1), scale=result.scale, progress=progress
            )
    with work(), team.step():
        figure = preview(result, truth, compared, source.name)
        writers = {"preview.png": lambda path: figure.savefig(path)}
        writers |= kept
        paths = result.save(out, command=command, writers=writers, extra=extra | {"complete": True})
        job.finish(out)
    telling.warn(result.warnings)
    telling.event("done", files=[str(path) for path in paths], **result.timings)
    if telling.shows:
        print_result(result, paths)
    if result.all_diverged:
        raise Failure from FloatingPointError("every row diverged; the slices are the last finite iterates")


def _check_memory(loaded, method, settings, picked, joint, limit, out: Path) -> None:
    from pfitre_jax.cli.console import print_facts
    from pfitre_jax.reconstruction import checkpoint as job
    from pfitre_jax.reconstruction.plan import prepare
    from pfitre_jax.runtime.memory import available

    with work():
        number = picked.stop - picked.start
        prepared = prepare(loaded, method, settings, number, joint=joint, limit=limit)
        disk, free = job.check_disk(out, prepared, picked)
    there, needed = available(limit), prepared.needed
    gib = lambda size: "unknown" if size is None else f"{size / 2**30:.2f} GiB"  # noqa: E731
    facts = {
        "rows": f"{picked.stop - picked.start}, {prepared.chunk} at a time",
        "device": f"{gib(needed.device)} needed",
        "host": f"{gib(needed.host)} needed for rows that wait",
        "memory": f"{gib(needed.largest)} needed, {gib(there)} there",
        "disk": f"{gib(disk)} needed while it runs, {gib(free)} free",
    }
    print_facts(facts)


def _events(telling: Telling, progress, method: str, picture: Path | None, picked: slice, name: str):
    """What is shown while the rows are solved: the plan, the bar, and the first rows as a ``picture``."""
    from pfitre_jax.cli.result_display import preview
    from pfitre_jax.data.results import write_files
    from pfitre_jax.reconstruction import checkpoint as job
    from pfitre_jax.reconstruction.result import make_result

    total = picked.stop - picked.start
    clock = {}

    def planned(prepared, done: int) -> None:
        needed = prepared.needed.largest / 2**30
        devices = 1 if prepared.program.mesh is None else prepared.program.mesh.size
        telling.say(f"{prepared.chunk} rows at a time on {devices} device(s), {needed:.2f} GiB")
        telling.event("plan", chunk=prepared.chunk, rows=total, done=done, gib=needed, devices=devices)
        if done:
            telling.say(f"{done} rows were done before")
        telling.describe(f"{method}, {done} rows done before" if done else method)
        progress(done, total)
        clock["start"], clock["done"] = time.perf_counter(), done

    def solved(done: int, rows: int, prepared, part) -> None:
        seconds = time.perf_counter() - clock["start"]
        speed = (done - clock["done"]) / seconds
        left = (rows - done) / speed
        telling.describe(f"{method}, {speed:.2f} slices/s")
        progress(done, rows)
        telling.event("rows", done=done, total=rows, slices_per_second=speed, seconds_left=left)
        if "shown" not in clock and done < rows and picture is not None:
            clock["shown"] = True
            first = make_result(prepared, part.rows, part.arrays(), 0.0, 0.0)
            figure = preview(first, None, None, f"{name}, the first rows; the others are being solved")
            writers = {picture.name: lambda path: figure.savefig(path, format="png")}
            [path] = write_files(picture.parent, writers)
            telling.say(f"the first rows: {path}")
            telling.event("preview", file=str(path))

    return job.Events(planned, solved)
