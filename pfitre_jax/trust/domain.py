"""Does a scan look like what the prior was trained and judged on? A score, and answers in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import data_correction
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.trust.image_statistics import domain_scores

#: Below this width of the missing wedge a classical method does as well, and invents nothing.
SMALL_WEDGE_DEG = 20.0
#: View counts may leave the trained range by this factor before it is said.
VIEWS_MARGIN = 1.5
#: And rho by this one.
RHO_MARGIN = 3.0


def disagreement(prior: Any, problem: SliceProblem, x, rho):
    """``norm(f(x) - x) / norm(x)``: how much the prior would still change a result ``x``, ().

    x: (ny, nx), or (rows, ny, nx) of a problem of so many rows

    Small where the prior recognises what the data support. ``f`` is ``prior.denoise``.
    """
    correction = data_correction(problem, problem.residual(x), rho)
    proposed = problem.support * prior.denoise(x, correction=correction, wedge=problem.wedge, rho=rho)
    return jnp.linalg.norm(proposed - x) / jnp.maximum(jnp.linalg.norm(x), jnp.finfo(x.dtype).tiny)


def domain_score(card: dict, of_images: Sequence[Sequence[float]]) -> float | None:
    """How unlike the images that a prior was judged on the rows of a scan look: the middle of the rows'.

    1 is what 95% of the single images of its evaluation stay below. ``None`` where the card does not tell.

    of_images: :func:`pfitre_jax.trust.image_statistics.statistics` of each row looked at
    """
    known = card.get("likeness")
    if not known or not len(of_images):
        return None
    return float(np.median(domain_scores(known, of_images)))


def check_domain(
    card: dict,
    wedge: Wedge,
    views: int,
    rho: float,
    disagreements: Sequence[float],
    score: float | None = None,
) -> list[str]:
    """Warnings, in words, about a learned reconstruction; none where the scan is like the training scans.

    card: of the prior: ``trained_on`` (``missing_deg``, ``views``, ``rho``: ranges) and ``disagreement``
        (``limit``: what 95% of the scenes of its own evaluation stay below)
    rho: relative to ``norm(A)^2 = 1``
    disagreements: :func:`disagreement` of each row looked at
    score: of :func:`domain_score`
    """
    said = []
    name = card.get("name", "?")
    trained = card.get("trained_on", {})
    width = wedge.width_deg
    if width < SMALL_WEDGE_DEG:
        said.append(
            f"the missing wedge is only {width:.0f} degrees wide: a classical method is the better choice, "
            "it needs no prior knowledge (method='fista-tv')"
        )
    elif "missing_deg" in trained:
        low, high = trained["missing_deg"]
        if not low - 2 <= width <= high + 2:
            said.append(
                f"the missing wedge is {width:.0f} degrees wide; the prior {name!r} was trained on "
                f"{low:.0f} to {high:.0f}: compare with method='fista-tv'"
            )
    for key, value, margin, what, remedy in (
        ("views", views, VIEWS_MARGIN, f"the scan has {views} views", ""),
        ("rho", rho, RHO_MARGIN, f"rho is {rho:.2g}", "leave rho out, or "),
    ):
        low, high = trained.get(key, (value, value))
        if not low / margin <= value <= high * margin:
            said.append(
                f"{what}; the prior {name!r} was trained on {low:g} to {high:g}: {remedy}compare with "
                "method='fista-tv'"
            )
    if score is not None and score > 1:
        said.append(
            f"the result looks unlike the images that the prior {name!r} was judged on (domain score "
            f"{score:.2f}, 1 is usual at most); do not trust fine detail, and compare with method='fista-tv'"
        )
    limit = card.get("disagreement", {}).get("limit")
    typical = float(np.median(disagreements)) if len(disagreements) else 0.0
    if limit is not None and typical > limit:
        said.append(
            f"the prior {name!r} does not agree with the data: it would still change the result "
            f"by {typical:.0%} (usually less than {limit:.0%}); do not trust fine detail, and compare with "
            "method='fista-tv'"
        )
    return said
