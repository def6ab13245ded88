"""Domain check: its warnings, and the disagreement it measures."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.interfaces import Prior
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.trust import image_statistics
from pfitre_jax.trust.domain import check_domain, disagreement, domain_score

CARD = {
    "name": "mine",
    "trained_on": {"missing_deg": [30.0, 120.0], "views": [32, 80], "rho": [0.003, 0.05]},
    "disagreement": {"limit": 0.05},
}
SMALL_WEDGE, WEDGE, VIEWS = "is only", "was trained on 30 to 120", "was trained on 32 to 80"
UNLIKE, DISAGREES = "looks unlike", "does not agree with the data"
RHO = "was trained on 0.003 to 0.05"


def check(card=CARD, width_deg=96.0, views=51, rho=0.01, disagreements=(0.03, 0.04), score=None):
    return check_domain(card, Wedge(0.3, np.deg2rad(width_deg)), views, rho, disagreements, score)


# --- warnings


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        ({}, []),
        ({"width_deg": 10.0}, [SMALL_WEDGE]),
        ({"width_deg": 0.0}, [SMALL_WEDGE]),
        ({"width_deg": 19.9}, [SMALL_WEDGE]),
        ({"width_deg": 20.1}, [WEDGE]),
        ({"width_deg": 27.9}, [WEDGE]),
        # Two degrees, and half as many views again, are not worth a word.
        ({"width_deg": 28.1}, []),
        ({"width_deg": 121.9}, []),
        ({"width_deg": 122.1}, [WEDGE]),
        ({"views": 21}, [VIEWS]),
        ({"views": 22}, []),
        ({"views": 120}, []),
        ({"views": 121}, [VIEWS]),
        # rho may leave the trained range by a factor of three.
        ({"rho": 0.0011}, []),
        ({"rho": 0.0009}, [RHO]),
        ({"rho": 0.14}, []),
        ({"rho": 0.16}, [RHO]),
        ({"disagreements": ()}, []),
        # The median over the rows counts, not a single outlier.
        ({"disagreements": (0.01, 0.02, 0.9)}, []),
        ({"disagreements": (0.05,)}, []),
        ({"disagreements": (0.0501,)}, [DISAGREES]),
        ({"disagreements": (0.01, 0.06, 0.07)}, [DISAGREES]),
        ({"score": 1.0}, []),
        ({"score": 1.01}, [UNLIKE]),
        (
            {"width_deg": 150.0, "views": 8, "disagreements": (0.4,), "score": 3.0},
            [WEDGE, VIEWS, UNLIKE, DISAGREES],
        ),
    ],
)
def test_warnings_are_given_exactly_where_expected(scan, expected):
    warnings = check(**scan)
    assert len(warnings) == len(expected)
    for sentence, part in zip(warnings, expected, strict=True):
        assert part in sentence
        # Every warning suggests an alternative.
        assert "method='fista-tv'" in sentence


def test_warnings_contain_the_numbers():
    wedge, views, unlike, doubt = check(width_deg=140.0, views=300, disagreements=(0.4,), score=2.345)
    assert "140 degrees" in wedge and "'mine'" in wedge
    assert "300 views" in views and "'mine'" in views
    assert "2.35" in unlike and "'mine'" in unlike
    assert "40%" in doubt and "5%" in doubt and "'mine'" in doubt


@pytest.mark.parametrize("card", [{}, {"name": "mine"}, {"trained_on": {}, "disagreement": {}}])
def test_an_empty_card_warns_only_of_a_small_wedge(card):
    far = {"width_deg": 170.0, "views": 3, "disagreements": (0.9,)}
    assert check(card, **far) == []
    assert len(check(card, **(far | {"width_deg": 5.0}))) == 1


def test_score_of_a_scan_is_the_median_of_its_rows():
    reference = image_statistics.reference_statistics(np.random.default_rng(0).normal(size=(50, 4)))
    rows = np.array([[0.1], [4.0], [9.0]]) * np.ones((1, 4))
    assert (
        domain_score({"likeness": reference}, rows)
        == image_statistics.domain_scores(reference, rows[1:2])[0]
        > 1
    )
    assert domain_score({"likeness": reference}, []) is None
    assert domain_score({}, rows) is None


# --- disagreement


@dataclasses.dataclass(frozen=True)
class Stub(Prior):
    """A prior that returns ``a v + b correction``."""

    a: float = 1.0
    b: float = 0.0

    def denoise(self, v, *, correction, wedge, rho):
        return self.a * v + self.b * correction


@pytest.fixture(scope="module")
def problem():
    geometry = ParallelGeometry.create(np.deg2rad(np.linspace(-60, 20, 9)), 16)
    generator = np.random.default_rng(0)
    mask = np.ones((9, 16), np.float32)
    mask[:, 3] = 0
    return SliceProblem.create(Projector(geometry), generator.random((9, 16), np.float32), mask=mask)


@pytest.fixture(scope="module")
def x(problem):
    return jax.random.uniform(jax.random.key(1), problem.A.shape) * problem.support


def test_the_identity_has_no_disagreement(problem, x):
    assert float(disagreement(Stub(), problem, x, 0.01)) == 0
    config = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8)
    untrained = NetworkPrior.create(config, jax.random.key(0))
    assert float(jax.jit(disagreement)(untrained, problem, x, jnp.asarray(0.01))) == 0


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.02, 3.0])
def test_disagreement_of_a_scaling_prior_is_relative(problem, x, factor):
    value = disagreement(Stub(a=factor), problem, x, 0.01)
    np.testing.assert_allclose(value, abs(factor - 1), rtol=1e-4)
    # The disagreement is relative to the image and does not depend on its brightness.
    np.testing.assert_allclose(disagreement(Stub(a=factor), problem, 7 * x, 0.01), value, rtol=1e-4)


def test_the_prior_receives_the_data_correction_in_image_units(problem, x):
    A, mask, rho = problem.A, problem.mask, 0.02
    gradient = problem.support * A.T(mask * (problem.sinogram - A(x))) / (problem.norm_squared * rho)
    expected = 0.3 * float(jnp.linalg.norm(gradient) / jnp.linalg.norm(x))
    assert expected > 0.01
    np.testing.assert_allclose(disagreement(Stub(b=0.3), problem, x, rho), expected, rtol=1e-4)


def test_changes_outside_the_support_are_ignored(problem, x):
    @dataclasses.dataclass(frozen=True)
    class Outside(Prior):
        def denoise(self, v, *, correction, wedge, rho):
            return v + (1 - problem.support)

    assert float(disagreement(Outside(), problem, x, 0.01)) == 0


def test_an_empty_slice_has_no_disagreement(problem, x):
    assert float(disagreement(Stub(a=2.0), problem, jnp.zeros_like(x), 0.01)) == 0
