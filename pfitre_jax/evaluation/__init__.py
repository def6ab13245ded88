"""The judge of priors: scans of simulated scenes that nobody trained on, beside the best of total variation.

``cells`` says what is scanned, ``scenes`` and ``scans`` make it, ``methods`` solve it, ``measures`` judge it,
``run`` goes through the cells, ``summary`` adds up, ``tables``, ``figure`` and ``results`` show it.
"""

from pfitre_jax.evaluation.cells import FULL, QUICK, EvaluationSettings
from pfitre_jax.evaluation.results import save, write_card
from pfitre_jax.evaluation.run import check, evaluate
from pfitre_jax.evaluation.summary import summarise
from pfitre_jax.evaluation.tables import markdown

__all__ = [
    "FULL",
    "QUICK",
    "EvaluationSettings",
    "check",
    "evaluate",
    "markdown",
    "save",
    "summarise",
    "write_card",
]
