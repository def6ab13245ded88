"""Optional checks of a result by further reconstructions: prediction of held-out views, and resolution."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import Any

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.held_out_views import MIN_VIEWS
from pfitre_jax.reconstruction.half_set_resolution import resolution_of
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.reconstruction.validation import held_out_sets, validate
from pfitre_jax.training.adaptation_settings import MIN_VIEWS as ADAPTATION_VIEWS
from pfitre_jax.training.adaptation_settings import HeldOutViews

#: Called with the number of reconstructions done and their total.
Progress = Callable[[int, int], None]


def _silent(title: str) -> contextlib.AbstractContextManager[Progress]:
    return contextlib.nullcontext(lambda done, total: None)


@dataclasses.dataclass(frozen=True)
class Checks:
    """Checks that are made after a reconstruction from all views.

    Attributes:
        validate: Whether held-out views are predicted, see :func:`validate`.
        resolution: Whether the resolution is estimated from half sets, see :func:`resolution_of`.
    """

    validate: bool = False
    resolution: bool = False

    def require_views(self, scan: Scan, settings: Settings) -> None:
        """Checks that the scan has enough views, also for an adaptation of the prior to a part of them.

        Args:
            scan: The scan.
            settings: Settings of the method.

        Raises:
            ValueError: It has fewer than :data:`pfitre_jax.estimation.held_out_views.MIN_VIEWS`, or a prior
                would be adapted to fewer than :data:`pfitre_jax.training.adaptation_settings.MIN_VIEWS`.
        """
        names = [field.name for field in dataclasses.fields(self) if getattr(self, field.name)]
        if names and scan.views < MIN_VIEWS:
            raise ValueError(
                f"{names[0]}=True for a scan of {scan.views} views; expected at least {MIN_VIEWS}, because "
                f"some are held out: leave {names[0]} out"
            )
        if settings.adaptation is None:
            return
        HeldOutViews.select(scan.theta_rad)
        held_out = int(held_out_sets(scan.theta_rad)["interpolating"].sum())
        used = {"validate": scan.views - held_out, "resolution": scan.views // 2}
        for name in names:
            if used[name] < ADAPTATION_VIEWS:
                raise ValueError(
                    f"{name}=True with adapt=True for a scan of {scan.views} views adapts the prior to "
                    f"{used[name]} of them, too; expected at least {ADAPTATION_VIEWS}: leave {name} out"
                )

    def add_to(
        self,
        result: Result,
        scan: Scan,
        settings: Settings,
        rows: slice,
        *,
        limit: int | None = None,
        progress: Callable[[str], contextlib.AbstractContextManager[Progress]] = _silent,
    ) -> Result:
        """The result with the outcome of the checks, their warnings and their seconds.

        Args:
            result: The result from all views.
            scan: The scan; its centre is known.
            settings: Settings of the method.
            rows: Rows of the scan that the result has.
            limit: Bytes that this process may use; by default the free memory.
            progress: Function from the title of a check to a context in which its progress is reported.
        """
        start = time.perf_counter()
        settings = settings.as_selected(result.selection)
        changes: dict[str, Any] = {}
        if self.validate:
            with progress("predicting held-out views") as report:
                verdict = validate(scan, settings, rows, limit=limit, progress=report)
            changes["validation"] = verdict.record()
            changes["warnings"] = result.warnings + verdict.warnings
        if self.resolution:
            with progress("resolution from half sets") as report:
                measured = resolution_of(scan, settings, result, rows, limit=limit, progress=report)
            changes["resolution"] = measured.record()
        if changes:
            changes["timings"] = result.timings | {"seconds_checks": time.perf_counter() - start}
        return dataclasses.replace(result, **changes)
