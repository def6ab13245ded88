"""Any method with another data term than least squares: the bins are weighted anew before each step."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from pfitre_jax.solvers.problem import Problem


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Reweighted:
    """``method`` on ``1/2 |M(Ax - y)|_W^2``, ``W = term.weights(problem, x)`` at the ``x`` before each step.

    Its state is the method's. Where it comes to rest, ``x`` is where the method would with the data term
    ``term`` in the place of least squares. It starts from least squares: the misfit of ``x0`` says little of
    the bins, and step lengths that hold for weights of 1 hold for smaller ones. Costs one projection per
    step. The residual that is reported is that of all bins, unweighted.

    A step must make sense for weights that differ from those of the last one: conjugate gradients
    (:class:`pfitre_jax.solvers.CGLS`) and backtracking on the data term's value
    (:class:`pfitre_jax.solvers.GradientStepPnP`) lose their meaning, the other methods do not.

    method: has ``init(problem, x0)``, ``step(problem, state)`` and perhaps ``finish(problem, state)``
    term: of :mod:`pfitre_jax.solvers.data_terms`
    """

    method: Any
    term: Any

    def init(self, problem: Problem, x0):
        return self.method.init(problem, x0)

    def step(self, problem: Problem, state):
        return self.method.step(self._at(problem, state.x), state)

    def finish(self, problem: Problem, state):
        if not hasattr(self.method, "finish"):
            return state.x
        return self.method.finish(self._at(problem, state.x), state)

    def _at(self, problem: Problem, x) -> Problem:
        return dataclasses.replace(problem, weights=self.term.weights(problem, x))
