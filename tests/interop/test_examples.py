"""The examples of ``docs/how-to/other_programs.md`` run, each where its program is installed."""

from __future__ import annotations

import warnings

import documented
import numpy as np
import pytest

PAGE = "how-to/other_programs.md"
#: Which package an example needs besides this one.
NEEDED = {
    "TomoPy: a call": "numpy",
    "TomoPy: an algorithm": "tomopy",
    "SCICO": "scico",
    "DeepInverse": "deepinv",
    "ASTRA": "astra",
}


def relative_error(names, found):
    return float(
        np.linalg.norm(np.squeeze(np.asarray(found)) - names["image"]) / np.linalg.norm(names["image"])
    )


def restores_the_image(names):
    """120 of 180 degrees: the ends of the block are blurred along the missing directions."""
    assert relative_error(names, names["volume"] if "volume" in names else names["x"]) < 0.35


def keeps_the_axis(names):
    assert float(names["B"].geometry.center) == pytest.approx(15.0)
    np.testing.assert_allclose(names["B"].geometry.theta_rad, names["theta"], atol=1e-6)
    assert names["proj_geom"]["type"] == "parallel_vec" and names["vol_geom"]["GridColCount"] == 32


CHECKS = {title: restores_the_image for title in NEEDED} | {"ASTRA": keeps_the_axis}


@pytest.mark.filterwarnings("ignore:In call to wrap_recursively:UserWarning")
@pytest.mark.parametrize("title", NEEDED)
def test_the_example_runs(title):
    with warnings.catch_warnings():
        # What a program warns of when it is imported is no part of the example.
        warnings.simplefilter("ignore")
        pytest.importorskip(NEEDED[title], reason=f"{title}: {NEEDED[title]} is not installed")
    first = ["TomoPy: a call"] if title == "TomoPy: an algorithm" else []
    CHECKS[title](documented.run(PAGE, "the scan", *first, title))


def test_every_example_is_run():
    assert set(documented.examples(PAGE)) == {"the scan", *NEEDED}
