"""Checks whether a scan resembles the scans that a learned prior was trained and evaluated on."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Prior, Problem, data_correction
from pfitre_jax.trust.image_statistics import domain_scores

#: Width of the missing wedge, in degrees, below which a classical method is as good as a learned prior.
SMALL_WEDGE_DEG = 20.0
#: Factor by which the number of views may lie outside of the trained range without a warning.
VIEWS_MARGIN = 1.5
#: Factor by which rho may lie outside of the trained range without a warning.
RHO_MARGIN = 3.0


def disagreement(
    prior: Prior, problem: Problem, x: Float[Array, "*rows ny nx"], rho: Array | float
) -> Float[Array, ""]:
    """Returns ``||f(x) - x|| / ||x||``, the relative change that a prior ``f`` would still make to a result.

    It is small where prior and data agree.

    Args:
        prior: The prior.
        problem: The data term of the slice or volume.
        x: (ny, nx) or (rows, ny, nx), the result.
        rho: (), prior strength, relative to ``||A||^2 = 1``.
    """
    correction = data_correction(problem, problem.residual(x), rho)
    proposal = problem.support * prior.denoise(x, correction=correction, wedge=problem.wedge, rho=rho)
    return jnp.linalg.norm(proposal - x) / jnp.maximum(jnp.linalg.norm(x), jnp.finfo(x.dtype).tiny)


def domain_score(card: dict, row_statistics: Sequence[Sequence[float]]) -> float | None:
    """Returns the out-of-distribution score of a scan, the median of the scores of its rows.

    95% of the images that the prior was evaluated on have a score below 1, see
    :func:`pfitre_jax.trust.image_statistics.domain_scores`.

    Args:
        card: Model card of the prior; its entry ``likeness`` is the reference.
        row_statistics: (rows, 4), :func:`pfitre_jax.trust.image_statistics.statistics` of some rows.

    Returns:
        The score, or ``None`` for a card without a reference or no rows.
    """
    reference = card.get("likeness")
    if not reference or not len(row_statistics):
        return None
    return float(np.median(domain_scores(reference, row_statistics)))


def check_domain(
    card: dict,
    wedge: Wedge,
    views: int,
    rho: float,
    disagreements: Sequence[float],
    score: float | None = None,
) -> list[str]:
    """Returns warnings about a learned reconstruction; none where the scan resembles the training scans.

    Args:
        card: Model card of the prior: ``trained_on`` (ranges of ``missing_deg``, ``views`` and ``rho``) and
            ``disagreement`` (``limit``, below which 95% of the scenes of its evaluation are).
        wedge: The missing wedge.
        views: Number of views.
        rho: Prior strength, relative to ``||A||^2 = 1``.
        disagreements: :func:`disagreement` of some rows.
        score: :func:`domain_score`.
    """
    warnings = []
    name = card.get("name", "?")
    trained = card.get("trained_on", {})
    width = wedge.width_deg
    if width < SMALL_WEDGE_DEG:
        warnings.append(
            f"the missing wedge is only {width:.0f} degrees wide: prefer a classical method, which needs "
            "no prior knowledge (method='fista-tv')"
        )
    elif "missing_deg" in trained:
        low, high = trained["missing_deg"]
        if not low - 2 <= width <= high + 2:
            warnings.append(
                f"the missing wedge is {width:.0f} degrees wide; the prior {name!r} was trained on "
                f"{low:.0f} to {high:.0f}: compare with method='fista-tv'"
            )
    for key, value, margin, finding, remedy in (
        ("views", views, VIEWS_MARGIN, f"the scan has {views} views", ""),
        ("rho", rho, RHO_MARGIN, f"rho is {rho:.2g}", "leave rho out, or "),
    ):
        low, high = trained.get(key, (value, value))
        if not low / margin <= value <= high * margin:
            warnings.append(
                f"{finding}; the prior {name!r} was trained on {low:g} to {high:g}: {remedy}compare with "
                "method='fista-tv'"
            )
    if score is not None and score > 1:
        warnings.append(
            f"the result looks unlike the images that the prior {name!r} was evaluated on (domain score "
            f"{score:.2f}, usually below 1): do not trust fine detail, and compare with method='fista-tv'"
        )
    limit = card.get("disagreement", {}).get("limit")
    typical = float(np.median(disagreements)) if len(disagreements) else 0.0
    if limit is not None and typical > limit:
        warnings.append(
            f"the prior {name!r} does not agree with the data: it would still change the result "
            f"by {typical:.0%} (usually less than {limit:.0%}): do not trust fine detail, and compare with "
            "method='fista-tv'"
        )
    return warnings
