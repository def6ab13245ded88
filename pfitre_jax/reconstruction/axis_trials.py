"""Trial reconstructions with several centres or rolls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pfitre_jax.data.roll import correct_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.support_selection import select_support
from pfitre_jax.geometry import check_center
from pfitre_jax.plotting.trials import Trial
from pfitre_jax.reconstruction.in_memory import reconstruct
from pfitre_jax.reconstruction.methods import automatic_settings
from pfitre_jax.reconstruction.scan_axis import with_center


def try_values(
    scan: Scan,
    parameter: str,
    values: Sequence[float] | np.ndarray,
    *,
    row: int | None = None,
    method: str = "cgls",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Trial]:
    """Reconstructs one row with each of several centres or rolls, for a visual comparison.

    Args:
        scan: The scan.
        parameter: "center", for detector indices; or "roll", for degrees, of a scan without a correction of
            the roll.
        values: The values to try.
        row: Row of the scan, by default the middle one.
        method: Reconstruction method.
        progress: Called with the number of values done and the number of values.

    Returns:
        Image and residual for each value.

    Raises:
        ValueError: See :func:`check_trials`.
    """
    row = check_trials(scan, parameter, values, row)
    if parameter == "roll":
        scan = with_center(scan)
    trial_scan = Scan.with_center if parameter == "center" else correct_roll
    trials: list[Trial] = []
    # All trials have the support that suits the middle value, drawn about their own axis.
    middle = trial_scan(scan, values[len(values) // 2])
    fixed: dict[str, Any] = {"support": select_support(middle).support.shape}
    automatic = (*automatic_settings(method), "iterations")
    for value in values:
        trial = trial_scan(scan, value)
        result = reconstruct(trial, method, rows=slice(row, row + 1), intervals="off", **fixed)
        # Scale, noise and iterations hardly depend on the axis; all trials use those of the first one.
        fixed |= {name: result.parameters[name] for name in automatic if name in result.parameters}
        fixed["scale"] = result.scale
        trials.append(Trial(float(value), result.volume[0], float(result.residual[0])))
        progress(len(trials), len(values))
    return trials


def check_trials(
    scan: Scan, parameter: str, values: Sequence[float] | np.ndarray, row: int | None = None
) -> int:
    """Checks the arguments of :func:`try_values`.

    Returns:
        The row to reconstruct.

    Raises:
        ValueError: The row is outside the scan, a centre outside the detector, a roll not below 90 degrees,
            or rolls are tried in a scan that was already corrected for a roll.
    """
    if parameter not in ("center", "roll"):
        raise ValueError(f"the parameter to try is {parameter!r}; expected 'center' or 'roll'")
    row = scan.rows // 2 if row is None else row
    if not 0 <= row < scan.rows:
        raise ValueError(f"row {row} is outside the scan; expected 0 to {scan.rows - 1}")
    if parameter == "center":
        for value in values:
            check_center(value, scan.columns)
        return row
    if scan.roll_deg:
        raise ValueError(
            f"the scan was corrected for a roll of {scan.roll_deg:g} degrees already; expected a scan loaded "
            "without a roll, because the values are rolls of the measured scan"
        )
    for value in values:
        if not abs(value) < 90:
            raise ValueError(f"the roll is {value:g}; expected degrees between -90 and 90")
    return row
