"""Metrics of reconstructions of simulated scans."""

from __future__ import annotations

import jax
from jaxtyping import Array, Float

from pfitre_jax.evaluation.scans import Scans
from pfitre_jax.metrics import METRICS, Quantity

#: Metrics of every reconstruction: those of the registry that a table shows.
MEASURES = {name: metric for name, metric in METRICS.items() if metric.tables}


@jax.jit
def measure_quality(scans: Scans, images: Float[Array, "scans ny nx"]) -> dict[str, Float[Array, " scans"]]:
    """Returns every metric of :data:`MEASURES`, each (scans,).

    Args:
        scans: The scans.
        images: (scans, ny, nx), their reconstructions.
    """
    support = scans.problem.support

    def one(problem, image, truth, noise):
        quantities: dict[Quantity, object] = {
            "image": image,
            "truth": truth,
            "support": support,
            "wedge": problem.wedge,
            "residual": problem.residual(image),
            "noise": noise,
        }
        return {name: metric(quantities) for name, metric in MEASURES.items()}

    return scans.each(one, images, scans.truth, scans.noise)
