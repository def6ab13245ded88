"""Data terms other than least squares, minimised by iteratively reweighted least squares.

A term is ``sum phi(r) / ||A||^2`` over the residuals ``r = M(A x - y)``, scaled so that ``phi(r) = r^2/2``
for small ``r`` in the bin of largest weight: ``rho`` and the weights of priors keep their meaning. At an
image ``x`` it is replaced by ``sum w r^2/2 / ||A||^2`` with ``w = phi'(r)/r`` from 0 to 1. That has the
gradient of the term at ``x`` and, up to a constant, lies above it elsewhere where ``phi`` is a concave
function of ``r^2``. With weights that are renewed at each ``x``
(:mod:`pfitre_jax.solvers.wrappers.reweighted`) a solver comes to rest where the gradient of the term is 0.

References:
    Holland & Welsch, Commun. Stat. A6, 1977.
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

#: Standard deviations at which Huber's estimate of a mean has 95% of the efficiency of least squares on
#: normal noise (Huber, Ann. Math. Stat. 35, 1964).
HUBER_DEVIATIONS = 1.345
#: Residual of a view, over the median of all views, above which it counts less. Shot noise, edges and small
#: shifts stay below.
VIEW_RATIO = 2.0
#: Least residual of a view, over the root mean square of the data, at which it may count less. Smaller ones
#: come from errors of the prior, which are larger at the ends of the measured range than elsewhere.
VIEW_FLOOR = 0.15
#: Least robust scale of the residual, over the root mean square of the data.
SMALLEST_SCALE = 1e-3
#: Noise of a bin over that of the mean of two bins over 2.
PAIR_NOISE = 2 * math.sqrt(2)
#: Least value of a bin with signal, over the root mean square of the data.
SIGNAL_SHARE = 0.1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gaussian(DataTerm):
    """``phi(r) = w r^2/2``, ``w = (min sigma / sigma)^2``: normal noise of known standard deviation.

    Attributes:
        sigma: () or (views, columns), standard deviation of the bins, more than 0; only ratios matter.

    Raises:
        ValueError: If ``sigma`` is a number that is not finite or not more than 0.
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

    def coarser(self) -> Gaussian:
        """The term for means of pairs of bins over 2."""
        return Gaussian(_pair_sums(self.sigma, 2) / 4)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Poisson(DataTerm):
    """Photon counts ``N ~ Poisson(counts exp(-scale A x))`` behind the sample, ``y = -log(N/counts)/scale``.

    ``phi(r) = c exp(-s y) (exp(-s r) - 1 + s r) / s^2``, ``s`` the scale and ``c = counts/max(counts)``: the
    negative log-likelihood less its minimum, over ``max(counts) s^2``. ``w = phi'(r)/r`` is ``c`` times the
    logarithmic mean ``(exp(-s y) - exp(-s A x)) / (s (A x - y))`` of the measured and the expected
    transmission: for many photons the inverse variance of ``y``.

    Scatter, dark current and readout noise are neglected. In the weights, not in the value, line integrals
    are limited to between the flat beam and one photon, ``0 <= s l <= log(counts)``. The weighted least
    squares have the slope of the likelihood but do not lie above it everywhere, so that a step may raise it.
    A fixed point is one of the likelihood nevertheless.

    Attributes:
        counts: () or (views, columns), photons of the flat beam in a bin, more than 1.
        scale: (), what the sinogram was divided by.

    Raises:
        ValueError: If ``counts`` is a number of at most 1, or ``scale`` one of at most 0.

    References:
        Weighted least squares with the measured transmission: Sauer & Bouman, IEEE Trans. Signal Process. 41,
        1993. Elbakri & Fessler, IEEE TMI 21, 2002.
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

    def coarser(self) -> Poisson:
        """The term for pairs of bins; their line integrals are divided by twice the scale."""
        return Poisson(_pair_sums(self.counts, 1), 2 * self.scale)

    def _numbers(self, problem: Problem, dtype):
        # A dead bin counts no photons and a hot one too many: masked bins count one.
        counts = jnp.broadcast_to(jnp.asarray(self.counts, dtype), problem.mask.shape)
        return jnp.where(problem.mask > 0, counts, 1), jnp.asarray(self.scale, dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Huber(DataTerm):
    """``phi(r) = r^2/2`` up to ``|r| = delta``, then ``delta |r| - delta^2/2``; ``w = min(1, delta/|r|)``.

    Zingers, slipped views and hot columns pull with a bounded force. So does every other bin: a prior needs a
    smaller weight than with least squares.

    Attributes:
        delta: (), in the units of the sinogram, more than 0; "auto" (kept as None) for ``1.345`` times
            :func:`robust_scale` of the residual at ``x``.

    Raises:
        ValueError: If ``delta`` is another text, or a number that is not finite or not more than 0.

    References:
        Huber, Ann. Math. Stat. 35, 1964.
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

    def coarser(self) -> Huber:
        """The term for means of pairs of bins over 2, whose noise is smaller."""
        return Huber(None if self.delta is None else self.delta / PAIR_NOISE)

    def _delta(self, problem, residual):
        if self.delta is None:
            return HUBER_DEVIATIONS * robust_scale(problem, residual)
        return jnp.asarray(self.delta, residual.dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StudentT(DataTerm):
    """``phi(r) = q/2 log(1 + r^2/q)``, ``q = dof sigma^2``; ``w = 1/(1 + r^2/q)``.

    The negative log-likelihood of Student's t distribution, times ``sigma^2 dof/(dof + 1)``. An outlier pulls
    less the farther it is, so that it has less influence than with :class:`Huber`. The term is not convex:
    the start matters.

    Attributes:
        sigma: (), in the units of the sinogram, more than 0; "auto" (kept as None) for :func:`robust_scale`
            of the residual at ``x``.
        dof: (), degrees of freedom, more than 0; least squares for many.

    Raises:
        ValueError: If ``sigma`` is another text, or a number is not finite or not more than 0.

    References:
        Lange, Little & Taylor, J. Am. Stat. Assoc. 84, 1989.
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

    def coarser(self) -> StudentT:
        """The term for means of pairs of bins over 2, whose noise is smaller."""
        return StudentT(None if self.sigma is None else self.sigma / PAIR_NOISE, self.dof)

    def _squared(self, problem, residual):
        dtype = residual.dtype
        sigma = robust_scale(problem, residual) if self.sigma is None else jnp.asarray(self.sigma, dtype)
        # For an empty row the square of the scale would underflow in single precision.
        return jnp.maximum(jnp.asarray(self.dof, dtype) * sigma**2, jnp.finfo(dtype).tiny)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WholeViews(DataTerm):
    """``phi = n m/2`` of a view up to ``m = c``, then ``n (c - c^2/2m)``; ``w = min(1, c/m)^2`` in its bins.

    ``m`` is the mean square of the residual of the view and ``n`` the number of its valid bins. A shifted
    view is wrong everywhere. This term weights the view as a whole, whereas :class:`Huber` and
    :class:`StudentT` weight each bin separately; other views keep their weight. The larger the residual, the
    smaller the influence of the view. The term is not convex: the result depends on the start. A zinger
    lowers the weight of the whole view unless it is masked. In a volume each row of a view has its own
    weight.

    Attributes:
        limit: (), ``sqrt(c)`` in the units of the sinogram, more than 0; "auto" (kept as None) for twice the
            median over the views of ``sqrt(m)`` at ``x``, and at least 0.15 of the root mean square of the
            data.

    Raises:
        ValueError: If ``limit`` is another text, or a number that is not finite or not more than 0.
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

    def coarser(self) -> WholeViews:
        """The term for means of pairs of bins over 2; the residual of a wrong view is alike in both bins."""
        return WholeViews(None if self.limit is None else self.limit / 2)

    def _views(self, problem: Problem, x):
        """``n`` and ``m`` of each view, and ``c``."""
        residual, bins = problem.residual(x), jnp.sum(problem.mask > 0, axis=-1)
        size = jnp.sum(residual**2, axis=-1) / jnp.maximum(bins, 1)
        if self.limit is not None:
            return bins, size, jnp.asarray(self.limit, size.dtype) ** 2
        median = jnp.nanmedian(jnp.where(bins > 0, size, jnp.nan), axis=-1, keepdims=True)
        most = VIEW_RATIO**2 * jnp.nan_to_num(median)
        least = VIEW_FLOOR**2 * _mean_square(problem, axis=(-2, -1))[..., None]
        return bins, size, jnp.maximum(most, jnp.maximum(least, jnp.finfo(size.dtype).tiny))


def robust_scale(problem: Problem, residual: Float[Array, "views columns"]) -> Float[Array, ""]:
    """``median |r| / 0.6745`` over the valid bins with signal: the standard deviation of noise with outliers.

    The median absolute deviation from 0. Bins without signal are left out, as any image fits air: bins with
    signal have at least :data:`SIGNAL_SHARE` of the root mean square of the data. The scale is at least
    :data:`SMALLEST_SCALE` of that, also for a scan that is fitted exactly.

    Args:
        problem: The data term.
        residual: (views, columns), ``M(A x - y)``.
    """
    mean_square = _mean_square(problem)
    signal = (problem.mask > 0) & (problem.sinogram**2 > SIGNAL_SHARE**2 * mean_square)
    median = jnp.nan_to_num(jnp.nanmedian(jnp.where(signal, jnp.abs(residual), jnp.nan)))
    least = SMALLEST_SCALE * jnp.sqrt(jnp.maximum(mean_square, jnp.finfo(residual.dtype).tiny))
    return jnp.maximum(median / MAD, least)


def _mean_square(problem, axis=None):
    """Mean square of the data in the valid bins: of all, or along ``axis``."""
    return jnp.sum(problem.sinogram**2, axis) / jnp.maximum(jnp.sum(problem.mask > 0, axis), 1)


def _total(problem, values):
    """``sum_M values / ||A||^2``: (views, columns) -> ()."""
    return jnp.sum(jnp.where(problem.mask > 0, values, 0)) / problem.norm_squared


def _pair_sums(values: Any, power: int) -> Any:
    """``(sum v^power)^(1/power)`` over pairs of columns: (..., columns) -> (..., columns // 2).

    A number, or an array with one column, stands for all columns.
    """
    columns = jnp.shape(values)[-1:]
    if columns in ((), (1,)):
        return 2 ** (1 / power) * values
    pairs = jnp.reshape(values[..., : columns[0] // 2 * 2], (*jnp.shape(values)[:-1], columns[0] // 2, 2))
    return jnp.sum(pairs**power, axis=-1) ** (1 / power)


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
    """Raises ``ValueError`` for Python numbers out of range; replaces "auto", where it is allowed, by None.

    Arrays pass, as do the tracers and placeholders from which JAX builds pytrees.
    """
    for name in names:
        value = getattr(term, name)
        if auto and isinstance(value, str) and value == "auto":
            object.__setattr__(term, name, None)
        elif isinstance(value, str) or (isinstance(value, (int, float)) and not above < value < math.inf):
            expected = f"a finite number, more than {above}" + (", or 'auto'" if auto else "")
            raise ValueError(f"{name} of {type(term).__name__} is {value!r}; expected {expected}")
