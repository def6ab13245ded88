"""The plan of a run in ``partial/plan.json``: its identity, calibration, support, iterations and chunk."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pfitre_jax.data.json_values import jsonable
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.support import SupportShape
from pfitre_jax.reconstruction.adapted_prior import AdaptedPrior
from pfitre_jax.reconstruction.disk_space import check_disk
from pfitre_jax.reconstruction.file_names import PARTIAL, PLAN
from pfitre_jax.reconstruction.intervals import Intervals
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.plan import Plan, make_plan
from pfitre_jax.reconstruction.run_identity import IDENTITY, describe_difference, digest
from pfitre_jax.reconstruction.run_state import read_record, write_plan
from pfitre_jax.runtime.memory import DoesNotFit

_CALIBRATION = ("center", "scale", "noise", "tv_weight", "tv_weight_source")


@dataclasses.dataclass(frozen=True, eq=False)
class PlanInputs:
    """Inputs of the plan of a run, the same when the run is resumed.

    Attributes:
        scan: The scan.
        settings: Settings of the method.
        rows: Rows of the scan.
        intervals: What the intervals of the pixels are made of; None for no intervals.
        chunk: Largest number of rows per batch in a new plan; by default as many as fit into memory.
        limit: Bytes of memory that this process may use; by default the free memory.
    """

    scan: Scan
    settings: Settings
    rows: slice
    intervals: Intervals | None = None
    chunk: int | None = None
    limit: int | None = None


def load_or_make_plan(
    folder: Path,
    identity: Mapping[str, Any],
    inputs: PlanInputs,
    *,
    formats: Sequence[str],
    adapting: Callable[[int, int], None],
) -> tuple[Plan, str]:
    """The plan with calibration and chunk from ``plan.json``, and its digest; else a new, saved plan.

    A run that is interrupted while its prior is adapted starts the adaptation again.

    Args:
        folder: Output folder.
        identity: Identity of the run.
        inputs: Inputs of the plan.
        formats: Formats that the result will be saved in; they need disk space.
        adapting: ``adapting(done, total)``, called while the prior is adapted to the scan.

    Raises:
        ValueError: The folder holds another run, or its adapted prior cannot be read.
        DoesNotFit: There is not enough memory or disk space.
    """
    partial = Path(folder) / PARTIAL
    saved = read_record(partial / PLAN)
    if saved is None:
        plan = _make_plan(inputs, chunk=inputs.chunk, adapting=adapting)
        check_disk(folder, plan, inputs.rows, formats)
        plan, saved = _save_plan(partial, identity, plan)
    elif saved.get(IDENTITY) == identity:
        plan = _restore_plan(partial, saved, inputs)
    else:
        raise ValueError(
            f"{partial} belongs to another run: {describe_difference(saved.get(IDENTITY), identity)}; "
            "remove it"
        )
    return plan, digest(saved)


def _make_plan(inputs: PlanInputs, **known: Any) -> Plan:
    """The plan, with the keyword arguments of :func:`make_plan` that are ``known``."""
    count = inputs.rows.stop - inputs.rows.start
    return make_plan(
        inputs.scan, inputs.settings, count, intervals=inputs.intervals, limit=inputs.limit, **known
    )


def _restore_plan(partial: Path, saved: Mapping[str, Any], inputs: PlanInputs) -> Plan:
    """The plan of a run that is resumed.

    Raises:
        ValueError: Its adapted prior cannot be read.
        DoesNotFit: Fewer rows per batch fit into memory than when the run was started.
    """
    known = dict(saved["calibration"])
    center, shape = known.pop("center"), saved.get("support")
    scan = inputs.scan if inputs.scan.center == center else inputs.scan.with_center(center)
    settings = inputs.settings.as_selected(saved["selection"])
    plan = _make_plan(
        dataclasses.replace(inputs, scan=scan, settings=settings),
        **known,
        support=None if shape is None else SupportShape.from_record(shape),
        iterations=saved["iterations"],
        selection=saved["selection"],
        adapted=_load_adapted(partial, saved) if settings.adaptation else None,
        chunk=saved["chunk"],
    )
    if saved["chunk"] != plan.chunk:
        raise DoesNotFit(
            f"the run was started with {saved['chunk']} rows per batch, and {plan.chunk} fit now; expected "
            "as much memory and as many devices as before: provide them, or start over with overwrite=True"
        )
    return plan


def _save_plan(partial: Path, identity: Mapping[str, Any], plan: Plan) -> tuple[Plan, dict[str, Any]]:
    """Writes ``plan.json``, and the adapted prior if there is one.

    Returns:
        The plan, as it is when the run is resumed, and the content of ``plan.json``.
    """
    shape = plan.calibration.selected_support.support.shape
    saved = jsonable(
        {
            IDENTITY: identity,
            "calibration": {name: getattr(plan.calibration, name) for name in _CALIBRATION},
            "support": None if shape is None else dataclasses.asdict(shape),
            "iterations": plan.settings.iterations,
            "selection": plan.selection,
            "chunk": plan.chunk,
            "intervals": None if plan.intervals is None else plan.intervals.digest,
        }
    )
    if plan.adapted is not None:
        adapted = plan.adapted.save(partial)
        # The card now has the hash of the weights, as in a run that is resumed.
        settings = dataclasses.replace(plan.settings, prior=adapted.prior)
        plan = dataclasses.replace(plan, adapted=adapted, settings=settings)
        saved["prior"] = adapted.prior.card["sha256"]
    write_plan(partial, saved)
    return plan, saved


def _load_adapted(partial: Path, saved: Mapping[str, Any]) -> AdaptedPrior:
    """The adapted prior of a run that is resumed.

    Raises:
        ValueError: It is missing, damaged or of another run.
    """
    try:
        adapted = AdaptedPrior.load(partial)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"the adapted prior in {partial} cannot be read ({error}); expected that of the interrupted run: "
            "start over with overwrite=True"
        ) from error
    if adapted.prior.card.get("sha256") != saved.get("prior"):
        raise ValueError(
            f"the adapted prior in {partial} is of another run; expected that of the interrupted run: start "
            "over with overwrite=True"
        )
    return adapted
