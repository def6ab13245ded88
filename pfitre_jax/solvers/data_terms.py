"""Data terms other than least squares, each by the weights of the least squares that stand in for it.

A term is ``sum phi(r) / norm(A)^2`` over the residuals ``r = M(A x - y)``, scaled so that ``phi(r) = r^2/2``
for small ``r`` in the most trusted bin: ``rho`` and the weights of priors keep their meaning. At an image
``x`` it is replaced by ``sum w r^2/2 / norm(A)^2``, ``w = phi'(r)/r`` from 0 to 1, which has the term's
gradient there and, where ``phi`` is a concave function of ``r^2``, lies above it elsewhere, but for a
constant. Solving with weights that are renewed at ``x`` (:mod:`pfitre_jax.solvers.wrappers.reweighted`) comes to
rest where the term's gradient is 0: iteratively reweighted least squares (Holland & Welsch, Commun. Stat.
A6, 1977).

Each term has ``value(problem, x)`` and ``weights(problem, x)``; ``x`` is (ny, nx), weights (views, columns).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import DataTerm, Problem
from pfitre_jax.solvers.parameters.noise import MAD

#: With this many standard deviations Huber's estimate of a mean has 95% of the least squares' efficiency
#: on normal noise (Huber, Ann. Math. Stat. 35, 1964).
HUBER_DEVIATIONS = 1.345
#: A view is far off with a residual so many times the usual one's; shot noise, edges and small shifts are not.
VIEW_RATIO = 2.0
#: Below this part of the data's root mean square a view is off by what the prior does not know of the object,
#: more at the ends of the measured range than elsewhere, and not because it slipped.
VIEW_FLOOR = 0.15
#: The robust scale of the residual is at least this part of the root mean square of the data.
SMALLEST_SCALE = 1e-3
#: Bins with signal are at least this part of the same.
SIGNAL_SHARE = 0.1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gaussian(DataTerm):
    """``phi(r) = w r^2/2``, ``w = (min sigma / sigma)^2``: normal noise of known standard deviation.

    sigma: () or (views, columns), standard deviation of the bins, more than 0; only its ratios count
    """

    sigma: Any = 1.0

    def __post_init__(self):
        _check(self, "sigma")

    def value(self, problem: Problem, x: Float[Array, "ny nx"]) -> Float[Array, ""]:
        return _total(problem, self.weights(problem, x) * problem.residual(x) ** 2 / 2)

    def weights(self, problem: Problem, x: Float[Array, "ny nx"]) -> Float[Array, "views columns"]:
        sigma = jnp.broadcast_to(jnp.asarray(self.sigma, x.dtype), problem.sinogram.shape)
        least = jnp.min(jnp.where(problem.mask > 0, sigma, jnp.inf))
        return jnp.where(problem.mask > 0, least / sigma, 0) ** 2


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Poisson(DataTerm):
    """Photon counts ``N ~ Poisson(counts exp(-scale A x))`` behind the sample, ``y = -log(N/counts)/scale``.

    ``phi(r) = c exp(-s y) (exp(s r) - 1 - s r) / s^2``, ``s`` the scale and ``c = counts/max(counts)``: the
    negative log-likelihood less its least value, over ``max(counts) s^2``. ``w = phi'(r)/r`` is ``c`` times
    the logarithmic mean ``(exp(-s Ax) - exp(-s y)) / (s (A x - y))`` of measured and expected transmission:
    for many photons the inverse variance of ``y``, as in the weighted least squares of Sauer & Bouman (IEEE
    Trans. Signal Process. 41, 1993), who take the measured one, and of Elbakri & Fessler (IEEE TMI 21, 2002).

    Approximations: scatter, dark current and readout noise are left out. In the weights, not in the value,
    line integrals are held between the flat beam and one photon, ``0 <= s l <= log(counts)``. The weighted
    least squares have the likelihood's slope but do not lie above it everywhere: no step is sure to lower
    it. Where the weights are those at ``x`` itself the fixed point is the likelihood's all the same.

    counts: () or (views, columns), of the flat beam in a bin, more than 1
    scale: (), what the sinogram has been divided by
    """

    counts: Any
    scale: Any = 1.0

    def __post_init__(self):
        _check(self, "counts", above=1)
        _check(self, "scale")

    def value(self, problem: Problem, x: Float[Array, "ny nx"]) -> Float[Array, ""]:
        counts, scale = self._numbers(problem, x.dtype)
        exponent = -scale * problem.residual(x)
        excess = jnp.exp(-scale * problem.sinogram) * (jnp.expm1(exponent) - exponent)
        return _total(problem, counts / jnp.max(counts) * excess / scale**2)

    def weights(self, problem: Problem, x: Float[Array, "ny nx"]) -> Float[Array, "views columns"]:
        counts, scale = self._numbers(problem, x.dtype)
        lines = problem.sinogram, problem.sinogram + problem.residual(x)
        measured, expected = (jnp.clip(scale * line, 0, jnp.log(counts)) for line in lines)
        return problem.mask * counts / jnp.max(counts) * _logarithmic_mean(-measured, -expected)

    def _numbers(self, problem: Problem, dtype):
        # A dead bin counts nothing and a hot one too much: what is masked is as a beam of one photon.
        counts = jnp.broadcast_to(jnp.asarray(self.counts, dtype), problem.mask.shape)
        return jnp.where(problem.mask > 0, counts, 1), jnp.asarray(self.scale, dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Huber(DataTerm):
    """``phi(r) = r^2/2`` up to ``|r| = delta``, then ``delta |r| - delta^2/2``; ``w = min(1, delta/|r|)``.

    Zingers, slipped views and hot columns pull with a bounded force (Huber, Ann. Math. Stat. 35, 1964). So
    does every other bin: a prior needs a smaller weight than with least squares.

    delta: (), in the units of the sinogram, more than 0; "auto" (kept as None) for ``1.345`` times
        :func:`robust_scale` of the residual at ``x``
    """

    delta: Any = None

    def __post_init__(self):
        _check(self, "delta", auto=True)

    def value(self, problem: Problem, x: Float[Array, "ny nx"]) -> Float[Array, ""]:
        residual = problem.residual(x)
        size, delta = jnp.abs(residual), self._delta(problem, residual)
        return _total(problem, jnp.where(size > delta, delta * (size - delta / 2), residual**2 / 2))

    def weights(self, problem: Problem, x: Float[Array, "ny nx"]) -> Float[Array, "views columns"]:
        residual = problem.residual(x)
        delta = self._delta(problem, residual)
        return delta / jnp.maximum(jnp.abs(residual), delta)

    def _delta(self, problem, residual):
        if self.delta is None:
            return HUBER_DEVIATIONS * robust_scale(problem, residual)
        return jnp.asarray(self.delta, residual.dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StudentT(DataTerm):
    """``phi(r) = q/2 log(1 + r^2/q)``, ``q = dof sigma^2``; ``w = 1/(1 + r^2/q)``.

    The negative log-likelihood of Student's t distribution, times ``sigma^2 dof/(dof + 1)``. A bin far off
    pulls less the farther it is (Lange, Little & Taylor, J. Am. Stat. Assoc. 84, 1989): more than
    :class:`Huber` forgives, but not convex, so that the start matters.

    sigma: (), in the units of the sinogram, more than 0; "auto" (kept as None) for :func:`robust_scale` of
        the residual at ``x``
    dof: (), degrees of freedom, more than 0; many make it least squares
    """

    sigma: Any = None
    dof: Any = 4.0

    def __post_init__(self):
        _check(self, "sigma", auto=True)
        _check(self, "dof")

    def value(self, problem: Problem, x: Float[Array, "ny nx"]) -> Float[Array, ""]:
        residual = problem.residual(x)
        q = self._squared(problem, residual)
        return _total(problem, q / 2 * jnp.log1p(residual**2 / q))

    def weights(self, problem: Problem, x: Float[Array, "ny nx"]) -> Float[Array, "views columns"]:
        residual = problem.residual(x)
        return 1 / (1 + residual**2 / self._squared(problem, residual))

    def _squared(self, problem, residual):
        sigma = (
            robust_scale(problem, residual) if self.sigma is None else jnp.asarray(self.sigma, residual.dtype)
        )
        # Of an empty row the square of the scale would be too small for single precision.
        return jnp.maximum(jnp.asarray(self.dof, residual.dtype) * sigma**2, jnp.finfo(residual.dtype).tiny)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WholeViews(DataTerm):
    """``phi = n m/2`` of a view up to ``m = c``, then ``n (c - c^2/2m)``; ``w = min(1, c/m)^2`` in its bins.

    ``m`` is the mean square of its residual and ``n`` the number of its valid bins. A view that slipped is
    wrong everywhere: this tells it by all its bins together, where :class:`Huber` and :class:`StudentT` tell
    each by itself, and leaves the other views as they are. The farther off, the less it pulls; not convex,
    so that the start matters. A zinger condemns the whole view, unless it is masked. A view of a volume is
    told in each row by itself.

    limit: (), ``sqrt(c)`` in the units of the sinogram, more than 0; "auto" (kept as None) for twice the
        median over the views of ``sqrt(m)`` at ``x``, and at least 0.15 of the root mean square of the data
    """

    limit: Any = None

    def __post_init__(self):
        _check(self, "limit", auto=True)

    def value(self, problem: Problem, x: Float[Array, "ny nx"]) -> Float[Array, ""]:
        bins, size, most = self._views(problem, x)
        beyond = most - most**2 / (2 * jnp.maximum(size, most))
        return jnp.sum(bins * jnp.where(size > most, beyond, size / 2)) / problem.norm_squared

    def weights(self, problem: Problem, x: Float[Array, "ny nx"]) -> Float[Array, "views columns"]:
        _, size, most = self._views(problem, x)
        return jnp.where(problem.mask > 0, ((most / jnp.maximum(size, most)) ** 2)[..., None], 0)

    def _views(self, problem: Problem, x):
        """``n`` and ``m`` of each view, and ``c``."""
        residual, bins = problem.residual(x), jnp.sum(problem.mask > 0, axis=-1)
        size = jnp.sum(residual**2, axis=-1) / jnp.maximum(bins, 1)
        if self.limit is not None:
            return bins, size, jnp.asarray(self.limit, size.dtype) ** 2
        usual = jnp.nanmedian(jnp.where(bins > 0, size, jnp.nan), axis=-1, keepdims=True)
        most = VIEW_RATIO**2 * jnp.nan_to_num(usual)
        least = VIEW_FLOOR**2 * _mean_square(problem, axis=(-2, -1))[..., None]
        return bins, size, jnp.maximum(most, jnp.maximum(least, jnp.finfo(size.dtype).tiny))


def robust_scale(problem: Problem, residual: Float[Array, "views columns"]) -> Float[Array, ""]:
    """``median |r| / 0.6745`` over the valid bins with signal: the standard deviation of normal noise among
    outliers.

    The median absolute deviation, from 0. In air, where any image fits, it would say nothing: with signal are
    bins of at least ``SIGNAL_SHARE`` of the data's root mean square. At least ``SMALLEST_SCALE`` of that: a
    scan that is fitted exactly in most bins has no scale.
    """
    mean_square = _mean_square(problem)
    signal = (problem.mask > 0) & (problem.sinogram**2 > SIGNAL_SHARE**2 * mean_square)
    middle = jnp.nan_to_num(jnp.nanmedian(jnp.where(signal, jnp.abs(residual), jnp.nan)))
    least = SMALLEST_SCALE * jnp.sqrt(jnp.maximum(mean_square, jnp.finfo(residual.dtype).tiny))
    return jnp.maximum(middle / MAD, least)


def _mean_square(problem, axis=None):
    """Of the data in the valid bins: of all, or along ``axis``."""
    return jnp.sum(problem.sinogram**2, axis) / jnp.maximum(jnp.sum(problem.mask > 0, axis), 1)


def _total(problem, values):
    """``sum_M values / norm(A)^2``: (views, columns) -> ()."""
    return jnp.sum(jnp.where(problem.mask > 0, values, 0)) / problem.norm_squared


def _logarithmic_mean(a, b):
    """``(exp(a) - exp(b)) / (a - b)``, its limit ``exp(a)`` for ``a = b``."""
    half = (a - b) / 2
    apart = jnp.abs(half) > 1e-2
    some = jnp.where(apart, half, 1)
    # sinh(h)/h, by its series where the quotient would lose digits.
    return jnp.exp((a + b) / 2) * jnp.where(
        apart, jnp.sinh(some) / some, 1 + half**2 / 6 * (1 + half**2 / 20)
    )


def _check(term, *names: str, above: float = 0, auto: bool = False) -> None:
    """``ValueError`` for Python numbers that make no sense; "auto", where it may be, becomes None.

    Arrays pass, as do the tracers and placeholders that JAX builds pytrees from.
    """
    for name in names:
        value = getattr(term, name)
        if auto and isinstance(value, str) and value == "auto":
            object.__setattr__(term, name, None)
        elif isinstance(value, str) or (isinstance(value, (int, float)) and not above < value < math.inf):
            expected = f"a finite number, more than {above}" + (", or 'auto'" if auto else "")
            raise ValueError(f"{name} of {type(term).__name__} is {value!r}; expected {expected}")
