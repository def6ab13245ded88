"""One rule for generated scan files: the volume is right, or the program says what is wrong, or refuses."""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from generated_scans import FAULTS, SHAPES, Case, Recipe, plain_recipe, recipes, write
from hypothesis import HealthCheck, Phase, given, seed, settings
from pfitre_command import pfitre

import pfitre_jax as pf

#: Largest error relative to the norm of the truth: beyond that of the same method with the true line
#: integrals, and from the volume of that method.
BEYOND, APART = 0.06, 0.12
#: Largest error with the true line integrals of views over half a turn: that of the method.
METHOD_ERROR = 0.1
#: One in so many refused files is given to the command line, too.
COMMANDS = 5
#: Words about what is right: a wedge, an object at the edge of the field, as many columns as views.
NO_FAULT = re.compile("lowers the level of the sample|extend beyond the field of view|order of its axes")
#: Outcomes that keep the rule.
RIGHT, SAID, REFUSED = "right", "said", "refused"


@dataclasses.dataclass
class Outcome:
    """What came of a file.

    Attributes:
        name: RIGHT, SAID, REFUSED, or a failure of the rule.
        text: The message, or the warnings.
        warnings: The warnings.
        error: Error of the volume relative to the norm of the truth.
        apart: Its distance from the volume of the true line integrals.
    """

    name: str
    text: str = ""
    warnings: tuple[str, ...] = ()
    error: float = 0.0
    apart: float = 0.0


def solve(scan: pf.Scan):
    return pf.reconstruct(scan, "fbp", support="disc")


def middle(volume: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The middle of a volume of wider images."""
    margin = max(volume.shape[1] - shape[1], 0) // 2
    return volume[:, margin : margin + shape[1], margin : margin + shape[2]]


@functools.cache
def reference(shape: tuple[int, int, int], angles: str, offset: float) -> tuple[np.ndarray, float]:
    """Volume of the true line integrals, and its error, both for the unit of the line integrals."""
    with tempfile.TemporaryDirectory() as folder:
        case = write(Recipe(shape=shape, angles=angles, offset=offset), Path(folder))
    theta = np.deg2rad(np.mod(case.theta_deg, 360))
    volume = middle(solve(pf.Scan.create(case.sinograms, theta, center=case.center)).volume, case.truth.shape)
    return volume, float(np.linalg.norm(volume - case.truth) / np.linalg.norm(case.truth))


def run(recipe: Recipe) -> Outcome:
    """Loads and reconstructs the file of a recipe."""
    with tempfile.TemporaryDirectory() as folder:
        case = write(recipe, Path(folder))
        try:
            scan = (pf.open_scan if recipe.lazy else pf.load_scan)(case.path, **case.arguments)
            result = solve(scan)
        except (ValueError, OSError) as error:
            if recipe.seed % COMMANDS == 0:
                check_command(case)
            named = re.search(recipe.words, str(error)) is not None
            return Outcome(REFUSED if named else "refused for another reason", str(error))
    ideal, tolerance = reference(recipe.shape, recipe.angles, recipe.offset)
    error = apart = np.inf
    volume = middle(result.volume, case.truth.shape)
    if volume.shape == case.truth.shape:
        volume, truth = volume.astype(float) / case.unit, case.truth / case.unit
        error, apart = (float(np.linalg.norm(volume - x) / np.linalg.norm(truth)) for x in (truth, ideal))
    right = error <= tolerance + BEYOND and apart <= APART
    text = "; ".join(result.warnings)
    named = re.search(recipe.words, text) is not None
    name = RIGHT if right else SAID if named else "wrong without a word"
    return Outcome(name, text, tuple(result.warnings), error, apart)


def check_command(case: Case) -> None:
    """The command line refuses the file with exit code 2 and one message."""
    options = {"data": "--data", "angles": "--angles", "center": "--center"}
    words: list[object] = ["--mask-nan"] if "mask_nan" in case.arguments else []
    for name, option in options.items():
        words += [option, case.arguments[name]] if name in case.arguments else []
    done = pfitre("recon", case.path, *words, "--method", "fbp", "--out", case.path.parent / "out")
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.exit_code == 2 and len(errors) == 1, done.output


def keeps_the_rule(recipe: Recipe, outcome: Outcome) -> bool:
    """Whether an outcome keeps the rule; a file without a fault is right, and nothing is said about it."""
    if recipe.words != FAULTS["none"]:
        return outcome.name in (RIGHT, SAID, REFUSED)
    return outcome.name == RIGHT and all(NO_FAULT.search(text) for text in outcome.warnings)


def report(outcomes: collections.Counter) -> None:
    """Prints the number of each outcome of each fault as a table."""
    names = (RIGHT, SAID, REFUSED)
    print(f"\n| fault | {' | '.join(names)} |\n|---|---|---|---|")
    for fault in FAULTS:
        print(f"| {fault} | {' | '.join(str(outcomes[fault, name]) for name in names)} |")
    totals = [sum(outcomes[fault, name] for fault in FAULTS) for name in names]
    print(f"| all {sum(totals)} | {' | '.join(map(str, totals))} |", flush=True)


def check_many(count: int, shape: tuple[int, int, int]) -> collections.Counter:
    """Checks the rule for so many recipes of a shape, the same ones each time."""
    outcomes: collections.Counter = collections.Counter()
    failures: list[tuple[Recipe, Outcome]] = []

    # All files are counted, also after one that breaks the rule.
    @seed(SHAPES.index(shape))
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(recipes([shape]))
    def every_file(recipe):
        outcome = run(recipe)
        outcomes[recipe.fault, outcome.name] += 1
        if not keeps_the_rule(recipe, outcome):
            failures.append((recipe, outcome))

    every_file()
    report(outcomes)
    assert not failures, "\n".join(map(str, failures))
    # Twelve views are few.
    assert reference(shape, "half turn", 0.0)[1] < METHOD_ERROR * max(24 / shape[0], 1)
    return outcomes


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_corrected_named_or_refused(fault):
    recipe = plain_recipe(fault)
    outcome = run(recipe)
    assert keeps_the_rule(recipe, outcome), outcome


def test_a_hundred_files_are_right_or_the_program_says_what_is_wrong():
    check_many(100, SHAPES[0])


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_two_thousand_files_are_right_or_the_program_says_what_is_wrong(shape):
    """500 of each of four shapes."""
    check_many(500, shape)
