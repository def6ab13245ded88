"""Evaluation of priors on simulated scans of held-out scenes, beside total variation at its best weight.

:mod:`~pfitre_jax.evaluation.cells` lists the scans, :mod:`~pfitre_jax.evaluation.scenes` and
:mod:`~pfitre_jax.evaluation.scans` simulate them, :mod:`~pfitre_jax.evaluation.compared_methods` reconstructs
them, :mod:`~pfitre_jax.evaluation.measures` measures the quality of the images, and
:mod:`~pfitre_jax.evaluation.evaluation_run` does this for all cells.
:mod:`~pfitre_jax.evaluation.summary`, :mod:`~pfitre_jax.evaluation.tables`,
:mod:`~pfitre_jax.evaluation.figure`, :mod:`~pfitre_jax.evaluation.worst` and
:mod:`~pfitre_jax.evaluation.report` present the records.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
