"""The first lines of a report: is the result good, where not to trust it, and what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np

from pfitre_jax.data.selection import format_ranges
from pfitre_jax.reporting.checks import Check, State
from pfitre_jax.reporting.finished_run import FinishedRun

#: A row whose residual, or supplied share, is above this multiple of the median is named.
UNUSUAL = 2.0
#: Most rows or groups of rows that a sentence lists.
MAX_GROUPS = 6


@dataclasses.dataclass(frozen=True)
class Assessment:
    """Judgement of a run.

    Attributes:
        state: "good", "caution", "bad", or "open" if nothing is wrong and important checks were not made.
        headline: The judgement in a few words.
        explanation: One sentence about it.
        distrust: Sentences: where not to trust the result.
        advice: Sentences: what to do next.
    """

    state: State
    headline: str
    explanation: str
    distrust: Sequence[str]
    advice: Sequence[str]


def assess(run: FinishedRun, checks: Collection[Check]) -> Assessment:
    """Judgement of a run from its checks and warnings.

    Args:
        run: The run.
        checks: Its checks, see :func:`pfitre_jax.reporting.checks.checks_of`.
    """
    warnings = len(run.result.warnings)
    wrong = [check for check in checks if check.state == "bad"]
    doubtful = [check for check in checks if check.state == "caution"]
    missing = [check for check in checks if check.state == "open"]
    state: State
    questions = "; ".join(check.question.rstrip("?").lower() for check in missing)
    if wrong:
        state, headline = "bad", "Do not rely on this result yet"
        explanation = " ".join(check.answer for check in wrong)
    elif doubtful or warnings:
        state, headline = "caution", "Usable with care"
        count = f"{warnings} warning{'s' if warnings != 1 else ''}" if warnings else "No warning"
        explanation = f"{count}; {len(doubtful)} of {len(checks)} checks ask for attention."
    elif missing:
        state, headline = "open", "No fault found, but not fully checked"
        explanation = f"Not checked: {questions}."
    else:
        state, headline = "good", "No fault found"
        explanation = "All checks were made, and none of them asks for attention."
    order = sorted((check for check in checks if check.advice), key=_urgency)
    return Assessment(state, headline, explanation, _distrust(run), [check.advice for check in order])


def _urgency(check: Check) -> int:
    return ("bad", "caution", "open", "note", "good").index(check.state)


def _distrust(run: FinishedRun) -> list[str]:
    result, sentences = run.result, []
    wedge = result.wedge
    source = "the prior" if result.prior_card else "the method"
    if wedge.width_deg > 0:
        sentences.append(
            f"Edges that run {edge_direction(wedge.center_deg)}: no view measured them, because "
            f"{wedge.width_deg:.0f} of 180 degrees are missing. There the image shows what {source} supplies."
        )
    if result.measured is not None:
        sentences.append("Details inside the shade of the right image below: they were not measured.")
    rows = unusual_rows(result.rows, result.residual)
    if rows:
        sentences.append(
            f"Rows {rows}: their relative residual is more than {UNUSUAL:g} times the median, as of rows "
            "without sample or with a fault."
        )
    if result.domain_score is not None and result.domain_score > 1:
        sentences.append("Fine detail everywhere: the result looks unlike the images that the prior knows.")
    if result.upper is not None:
        sentences.append("Structure whose contrast is smaller than the width of the interval.")
    validation = result.validation
    if validation is not None and validation["extrapolating"]["comparison"] == "equal":
        sentences.append("Detail next to the wedge that FISTA-TV does not show: the data do not decide it.")
    if validation is not None and validation["extrapolating"]["comparison"] == "worse":
        sentences.append("Everything that FISTA-TV does not show: it predicts unseen views better.")
    period = None if result.resolution is None else result.resolution["rings"]["pixels"]["half-bit"]
    if period is not None and period > 2:
        sentences.append(
            f"Detail with a period below {period:.1f} pixels: half sets of the views disagree on it."
        )
    return sentences


def edge_direction(normal_deg: float) -> str:
    """Direction of edges in an image, in words and degrees.

    Args:
        normal_deg: Direction of their normal, degrees counter-clockwise from the x axis.

    >>> edge_direction(90.0)
    'horizontally (0 degrees)'
    >>> edge_direction(46.0)
    'from the upper left to the lower right (136 degrees)'
    """
    degrees = (normal_deg + 90) % 180
    words = (
        "horizontally",
        "from the lower left to the upper right",
        "vertically",
        "from the upper left to the lower right",
    )
    return f"{words[round(degrees / 45) % 4]} ({degrees:.0f} degrees)"


def unusual_rows(rows: np.ndarray, values: np.ndarray) -> str:
    """Rows whose value is above :data:`UNUSUAL` times the median, as ranges; empty if there are none.

    Args:
        rows: (rows,), row numbers.
        values: (rows,), such as the relative residual; NaN where unknown.
    """
    values = np.asarray(values, float)
    if not np.isfinite(values).any():
        return ""
    named = rows[values > UNUSUAL * np.nanmedian(values)]
    if not named.size:
        return ""
    groups = format_ranges(named).split(", ")
    more = f" and {len(groups) - MAX_GROUPS} more groups" if len(groups) > MAX_GROUPS else ""
    return ", ".join(groups[:MAX_GROUPS]) + more
