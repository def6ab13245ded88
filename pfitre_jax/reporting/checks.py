"""Checks of a result, in the order in which a result is judged; each has a state, an answer and an advice."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from pfitre_jax.data.selection import format_ranges
from pfitre_jax.plotting.result_checks import format_resolution
from pfitre_jax.reconstruction.result import UNKNOWN
from pfitre_jax.reporting.finished_run import FinishedRun
from pfitre_jax.reporting.residual_patterns import pattern_table
from pfitre_jax.solvers.loop import Status
from pfitre_jax.trust.held_out_verdict import MODEL_ERROR

#: ``good``, ``caution`` and ``bad`` are answers; ``open`` was not checked; ``note`` has no right answer.
State = Literal["good", "caution", "bad", "open", "note"]


@dataclasses.dataclass(frozen=True)
class Check:
    """A question about a result and its answer.

    Attributes:
        question: The question.
        state: See :data:`State`.
        answer: The answer in words.
        advice: What to do, as a full sentence; empty if nothing.
    """

    question: str
    state: State
    answer: str
    advice: str = ""


def checks_of(run: FinishedRun) -> dict[str, Check]:
    """All checks of a run by name, those that were not made included."""
    return {
        "end": _ended(run),
        "agreement": _agreement(run),
        "patterns": _patterns(run),
        "supplied": _supplied(run),
        "domain": _domain(run),
        "intervals": _intervals(run),
        "held_out": _held_out(run),
        "resolution": _resolution(run),
    }


def _ended(run: FinishedRun) -> Check:
    question, result = "Did it end regularly?", run.result
    diverged = result.rows[result.status == int(Status.DIVERGED)]
    if not run.complete:
        answer = f"The run was interrupted; {len(result.rows)} rows are finished."
        return Check(question, "bad", answer, "Repeat the command to resume the run.")
    if diverged.size:
        return Check(
            question,
            "bad",
            f"{diverged.size} of {len(result.rows)} rows diverged (rows {format_ranges(diverged)}).",
            "Do not use the rows that diverged; use a smaller number of iterations, or another method.",
        )
    if np.any(result.status == UNKNOWN):
        return Check(question, "open", "The file does not record it.")
    count = int(np.sum(result.status == int(Status.CONVERGED)))
    finished = len(result.rows) - count
    parts = [f"{count} converged"] * (count > 0) + [f"{finished} made all iterations"] * (finished > 0)
    return Check(question, "good", f"Yes. Of {len(result.rows)} rows, {' and '.join(parts)}.")


def _agreement(run: FinishedRun) -> Check:
    question = "Does it agree with the data?"
    residual = np.asarray(run.result.residual, float)
    if not np.isfinite(residual).any():
        return Check(question, "open", "The file does not record the residual.")
    typical = float(np.nanmedian(residual))
    answer = f"Relative residual {typical:.3g} (median of the rows)"
    chi_square = run.result.residual_statistics.get("chi_square")
    if chi_square is None:
        return Check(question, "note", f"{answer}.")
    ratio = float(np.sqrt(chi_square))
    answer = f"{answer}: {ratio:.2g} times the noise in the rows with signal."
    if ratio <= MODEL_ERROR:
        return Check(question, "good", answer)
    return Check(
        question,
        "caution",
        answer,
        "Find out why the residual is above the noise: see the patterns below, or use more iterations.",
    )


def _patterns(run: FinishedRun) -> Check:
    question, rows = "Does the residual have a pattern?", pattern_table(run.result.residual_statistics)
    faults = [row for row in rows if row["fault"]]
    if not rows:
        return Check(question, "open", "Not tested: a negligible residual, few views, or an old file.")
    if not faults:
        return Check(question, "good", "No pattern that indicates a fault of the scan.")
    answer = f"Yes: {'; '.join(row['indicates'] for row in faults)}."
    remedies = [f"{row['remedy']} ({row['indicates']})" for row in faults]
    advice = f"Repeat the run with {' and with '.join(remedies)}."
    if run.motion is not None:
        advice += (
            " The views were aligned already: exclude those that the warning names, if they stay displaced."
        )
    return Check(question, "caution", answer, advice)


def _supplied(run: FinishedRun) -> Check:
    question, supplied = "Was it measured?", np.asarray(run.result.supplied, float)
    if not np.isfinite(supplied).any():
        return Check(question, "open", "The file does not hold the measured component.")
    source = "the prior" if run.result.prior_card else "the method"
    return Check(
        question,
        "note",
        f"In part: {source} supplied {np.nanmedian(supplied):.0%} of the norm of a slice (median; "
        f"{np.nanmin(supplied):.0%} to {np.nanmax(supplied):.0%}).",
    )


def _domain(run: FinishedRun) -> Check:
    question, score = "Does the prior know such samples?", run.result.domain_score
    if score is None:
        return Check(question, "note", "Not applicable: no learned prior, or one without a reference.")
    answer = f"Out-of-distribution score {score:.2f}; 95% of the images of its evaluation are below 1."
    if score <= 1:
        return Check(question, "good", answer)
    advice = "Compare with method='fista-tv' before you trust fine detail."
    return Check(question, "caution", answer, advice)


def _intervals(run: FinishedRun) -> Check:
    question, record = "How wrong may it be?", run.result.intervals
    if record is None:
        return Check(question, "note", "Unknown: the result has no intervals; see intervals='full'")
    if not record["holds"]:
        answer = f"The intervals do not hold: {'; '.join(record['reasons'])}."
        return Check(question, "caution", answer, "Do not rely on the intervals: the true errors are larger.")
    share = record["wider_than_contrast"]
    wide = (
        ""
        if share is None
        else f" Near structure, {share:.0%} of the pixels have one wider than its contrast."
    )
    answer = (
        f"For scans like those of the calibration, the interval is expected to contain the true value in "
        f"{record['level']:.0%} of the pixels on average.{wide}"
    )
    return Check(question, "note", answer)


def _held_out(run: FinishedRun) -> Check:
    question, validation = "Does it predict held-out views?", run.result.validation
    if validation is None:
        advice = (
            "Repeat the run with validate=True: no other test on a real sample is independent of the prior."
        )
        return Check(question, "open", "Not checked.", advice)
    comparisons = [validation[kind]["comparison"] for kind in ("extrapolating", "interpolating")]
    answer = "; ".join(
        f"{kind} views: error {validation[kind]['error']:.3g}"
        + (f", FISTA-TV {validation[kind]['fista_tv']:.3g}" if validation[kind]["fista_tv"] else "")
        + f", noise alone {validation[kind]['noise_floor']:.3g}"
        for kind in ("interpolating", "extrapolating")
    )
    if comparisons[0] is None:
        return Check(question, "note", f"{answer[0].upper()}{answer[1:]}.")
    if "worse" in comparisons:
        answer = f"No, FISTA-TV predicts them better. {answer[0].upper()}{answer[1:]}."
        return Check(question, "bad", answer, "Use method='fista-tv', or adapt=True to adapt the prior.")
    lead = "Yes, better than FISTA-TV" if comparisons[0] == "better" else "Yes, as well as FISTA-TV"
    return Check(question, "good", f"{lead}: {answer}.")


def _resolution(run: FinishedRun) -> Check:
    question, resolution = "How fine is the detail?", run.result.resolution
    if resolution is None:
        return Check(
            question,
            "open",
            "Not measured.",
            "Repeat the run with resolution=True to measure the resolution.",
        )
    return Check(question, "note", f"{format_resolution(resolution['rings'])}, over all directions.")
