"""Reference of the out-of-distribution score: the kinds of scenes in the training data of a prior."""

from __future__ import annotations

import numpy as np
import pytest

from pfitre_jax.evaluation.domain_reference import domain_reference
from pfitre_jax.trust import image_statistics


def record(source, statistics, artifact=""):
    doubt = {"heldout": 0.1, "images": 0.9}[source]
    return {"source": source, "artifact": artifact, "statistics": statistics, "disagreement": doubt}


@pytest.fixture
def records():
    rng = np.random.default_rng(0)
    draw = lambda at, count: (at + rng.normal(size=(count, 4))).tolist()  # noqa: E731
    return [
        *(record("heldout", values) for values in draw(0, 12)),
        *(record("images", values) for values in draw(30, 12)),
        *(record("heldout", values, "blur") for values in draw(-30, 12)),
    ]


@pytest.mark.parametrize(
    ("config", "in_domain"),
    [
        ({}, False),
        ({"scenes": {"circuits": 1.0, "images": 0.0}}, False),
        ({"scenes": {"images": 0.2}}, True),
        ({"scenes": {"circuits": 1.0}, "stages": [{"scenes": None}, {"scenes": {"images": 0.3}}]}, True),
    ],
)
def test_domain_includes_pictures_only_for_priors_trained_on_them(records, config, in_domain):
    domain = domain_reference({"config": config}, records, volumes=False)
    assert (domain["disagreement"]["limit"] > 0.5) == in_domain
    reference = domain["likeness"]
    circuits, pictures, blurred = (
        image_statistics.domain_scores(reference, [[at] * 4])[0] for at in (0, 30, -30)
    )
    assert circuits < 1 < blurred
    assert (pictures < 1) == in_domain


def test_too_few_scans_or_kinds_define_no_domain(records):
    few = [record("heldout", [0.0] * 4)] * image_statistics.NEIGHBOURS
    assert domain_reference({}, few, volumes=False) == {}
    card = {"config": {"scenes": {"images": 1.0, "volumes": 0.1}}}
    assert domain_reference(card, records, volumes=False) == {}
