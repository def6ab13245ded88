"""Reference of the out-of-distribution score, from the evaluation of a prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pfitre_jax.evaluation.scenes import FAMILIES
from pfitre_jax.trust import image_statistics


def domain_reference(
    card: Mapping[str, Any], records: Sequence[Mapping[str, Any]], *, volumes: bool
) -> dict[str, Any]:
    """Reference of the out-of-distribution score and of the disagreement, as entries of a model card.

    :mod:`pfitre_jax.trust.domain` reads them. They are made of the scans without artifacts of the kinds of
    scenes that the prior was trained on; of volumes these are circuits.

    Args:
        card: Model card of the prior, with the configuration of its training.
        records: Records of its evaluation.
        volumes: Whether the scenes of the evaluation are volumes.

    Returns:
        ``disagreement`` and ``likeness``; nothing if a kind of scene is missing or too few scans remain.
    """
    config = card.get("config", {})
    mixtures = [config.get("scenes"), *(stage.get("scenes") for stage in config.get("stages", []))]
    trained = {family for mixture in mixtures for family, weight in (mixture or {}).items() if weight > 0}
    from_files = set() if volumes else trained.intersection(FAMILIES.values())
    families = {"circuits", *from_files}
    scanned = [(FAMILIES.get(r["source"], "circuits"), r) for r in records if not r["artifact"]]
    in_domain = [r for family, r in scanned if family in families]
    if not families <= {family for family, _ in scanned} or len(in_domain) <= image_statistics.NEIGHBOURS:
        return {}
    disagreements = [r["disagreement"] for r in in_domain]
    return {
        "disagreement": {
            "median": float(np.median(disagreements)),
            "limit": float(np.quantile(disagreements, 0.95)),
        },
        "likeness": image_statistics.reference_statistics([r["statistics"] for r in in_domain]),
    }
