"""Kullback-Leibler divergences, KL(p || q): the expectation under p of log p(x) - log q(x), in nats.

Each formula is the expectation, term by term, of the difference of the log densities; those of two distributions of one
exponential family are tabulated, for instance, by Gil, Alajaji and Linder, "Rényi divergence measures for commonly used
univariate continuous distributions", 2013.
"""

from __future__ import annotations

import functools
import math
import warnings
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Tensor

from ._covariance import half_log_det, mahalanobis
from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .cauchy import Cauchy
from .continuous_bernoulli import ContinuousBernoulli
from .dirichlet import Dirichlet
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .exponential import Exponential
from .gamma import Gamma
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .independent import Independent
from .laplace import Laplace
from .lowrank_multivariate_normal import LowRankMultivariateNormal, lowrank_mahalanobis
from .multivariate_normal import MultivariateNormal
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .pareto import Pareto
from .poisson import Poisson
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .utils import euler_constant as _euler
from .utils import sum_rightmost

if TYPE_CHECKING:
    from collections.abc import Callable

    Divergence = Callable[[Any, Any], Any]

__all__ = ["kl_divergence", "register_kl"]

_KL_REGISTRY: dict[tuple[type, type], Divergence] = {}
_KL_MEMOIZE: dict[tuple[type, type], Divergence | None] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Divergence], Divergence]:
    """A decorator: the function gives KL(p || q) for all p and q of these classes and their subclasses.

    For two distributions the function registered for their nearest classes is called; where two are equally near, a
    RuntimeWarning says so, and the pair should be registered.

    >>> import bulssi as torch
    >>> from bulssi.distributions import Normal, kl_divergence, register_kl
    >>> class Fixed(Normal):
    ...     pass
    >>> @register_kl(Fixed, Fixed)
    ... def kl_fixed_fixed(p, q):
    ...     return torch.zeros(())
    >>> kl_divergence(Fixed(0., 1.), Fixed(1., 1.))
    tensor(0.)
    """
    for name, given in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(given, type):  # any class: some libraries have distributions that are none of ours
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {given}")

    def register(function: Divergence) -> Divergence:
        _KL_REGISTRY[type_p, type_q] = function
        _KL_MEMOIZE.clear()
        return function

    return register


def _distance(cls: type, base: type) -> int:
    return cls.__mro__.index(base)


def _nearest(matches: list[tuple[type, type]], first: int, cls: type, other: type) -> tuple[type, type]:
    """The match nearest in the classes of one argument, then in those of the other."""
    return min(matches, key=lambda m: (_distance(cls, m[first]), _distance(other, m[1 - first])))


def _dispatch_kl(type_p: type, type_q: type) -> Divergence | None:
    matches = [(p, q) for p, q in _KL_REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)]
    if not matches:
        return None
    by_p = _nearest(matches, 0, type_p, type_q)
    by_q = _nearest(matches, 1, type_q, type_p)
    if _KL_REGISTRY[by_p] is not _KL_REGISTRY[by_q]:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please register_kl({by_p[0].__name__}, "
            f"{by_q[1].__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return _KL_REGISTRY[by_p]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q), of shape `batch_shape`. NotImplementedError for pairs without a formula.

    >>> from bulssi.distributions import Normal, kl_divergence
    >>> kl_divergence(Normal(0., 1.), Normal(1., 1.))
    tensor(0.5000)
    """
    types = type(p), type(q)
    if types not in _KL_MEMOIZE:
        _KL_MEMOIZE[types] = _dispatch_kl(*types)
    function = _KL_MEMOIZE[types]
    if function is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
        )
    return function(p, q)


def _x_log_x(x: Tensor) -> Tensor:
    return bulssi.special.xlogy(x, x)


# ---- infinite, because p allows values that q does not ---------------------------------------------------------------


def _infinite(parameter: str, p: Any, q: Any) -> Tensor:
    return bulssi.full_like(getattr(p, parameter), math.inf)


for _p, _parameter, _others in (
    (Beta, "concentration1", (Pareto,)),
    (ContinuousBernoulli, "probs", (Pareto,)),
    (Exponential, "rate", (Beta, ContinuousBernoulli, Pareto, Uniform)),
    (Gamma, "concentration", (Beta, ContinuousBernoulli, Pareto, Uniform)),
    (Gumbel, "loc", (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    (Laplace, "loc", (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    (Normal, "loc", (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    (Pareto, "scale", (Beta, ContinuousBernoulli, Uniform)),
    (Poisson, "rate", (Bernoulli, Binomial)),
):
    for _q in _others:
        register_kl(_p, _q)(functools.partial(_infinite, _parameter))


# ---- the same distribution -------------------------------------------------------------------------------------------


@register_kl(Bernoulli, Bernoulli)
def _kl_bernoulli_bernoulli(p: Any, q: Any) -> Tensor:
    softplus = bulssi.nn.functional.softplus
    succeeding = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    failing = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    succeeding = bulssi.where(q.probs == 0, math.inf, succeeding)
    succeeding = bulssi.where(p.probs == 0, 0.0, succeeding)
    failing = bulssi.where(q.probs == 1, math.inf, failing)
    failing = bulssi.where(p.probs == 1, 0.0, failing)
    return succeeding + failing


@register_kl(Beta, Beta)
def _kl_beta_beta(p: Any, q: Any) -> Tensor:
    p_sum, q_sum = p.concentration1 + p.concentration0, q.concentration1 + q.concentration0
    p_log_beta = p.concentration1.lgamma() + p.concentration0.lgamma() - p_sum.lgamma()
    q_log_beta = q.concentration1.lgamma() + q.concentration0.lgamma() - q_sum.lgamma()
    return (
        q_log_beta
        - p_log_beta
        + (p.concentration1 - q.concentration1) * bulssi.digamma(p.concentration1)
        + (p.concentration0 - q.concentration0) * bulssi.digamma(p.concentration0)
        + (q_sum - p_sum) * bulssi.digamma(p_sum)
    )


@register_kl(Binomial, Binomial)
def _kl_binomial_binomial(p: Any, q: Any) -> Tensor:
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    kl = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return kl.masked_fill(p.total_count > q.total_count, math.inf)


@register_kl(Categorical, Categorical)
def _kl_categorical_categorical(p: Any, q: Any) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = bulssi.where(q.probs == 0, math.inf, terms)
    return bulssi.where(p.probs == 0, 0.0, terms).sum(-1)


@register_kl(Cauchy, Cauchy)
def _kl_cauchy_cauchy(p: Any, q: Any) -> Tensor:
    # Chyzak and Nielsen, "A closed-form formula for the Kullback-Leibler divergence between Cauchy distributions", 2019
    between = ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log()
    return between - (4 * p.scale * q.scale).log()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _kl_continuous_bernoulli_continuous_bernoulli(p: Any, q: Any) -> Tensor:
    weights = p.mean * (p.logits - q.logits) + bulssi.log1p(-p.probs) - bulssi.log1p(-q.probs)
    return weights + p._cont_bern_log_norm() - q._cont_bern_log_norm()


@register_kl(Dirichlet, Dirichlet)
def _kl_dirichlet_dirichlet(p: Any, q: Any) -> Tensor:
    p_sum, q_sum = p.concentration.sum(-1), q.concentration.sum(-1)
    p_log_beta = p.concentration.lgamma().sum(-1) - p_sum.lgamma()
    q_log_beta = q.concentration.lgamma().sum(-1) - q_sum.lgamma()
    expected_log = p.concentration.digamma() - p_sum.digamma().unsqueeze(-1)
    return q_log_beta - p_log_beta + ((p.concentration - q.concentration) * expected_log).sum(-1)


@register_kl(Exponential, Exponential)
def _kl_exponential_exponential(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _kl_expfamily_expfamily(p: Any, q: Any) -> Tensor:
    # The Bregman divergence of the log normaliser, between natural parameters (Nielsen and Nock, 2010)
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot be computed using Bregman "
            f"divergences\np is of {type(p).__name__}, q of {type(q).__name__}"
        )
    p_params = [param.detach().requires_grad_() for param in p._natural_params]
    q_params = q._natural_params
    p_normalizer = p._log_normalizer(*p_params)
    gradients = bulssi.autograd.grad(p_normalizer.sum(), p_params, create_graph=True)
    result = q._log_normalizer(*q_params) - p_normalizer
    for p_param, q_param, g in zip(p_params, q_params, gradients, strict=True):
        result = result - sum_rightmost((q_param - p_param) * g, len(q.event_shape))
    return result


@register_kl(Gamma, Gamma)
def _kl_gamma_gamma(p: Any, q: Any) -> Tensor:
    return (
        q.concentration * (p.rate / q.rate).log()
        + bulssi.lgamma(q.concentration)
        - bulssi.lgamma(p.concentration)
        + (p.concentration - q.concentration) * bulssi.digamma(p.concentration)
        + (q.rate - p.rate) * (p.concentration / p.rate)
    )


@register_kl(Geometric, Geometric)
def _kl_geometric_geometric(p: Any, q: Any) -> Tensor:
    return -p.entropy() - bulssi.log1p(-q.probs) / p.probs - q.logits


@register_kl(Gumbel, Gumbel)
def _kl_gumbel_gumbel(p: Any, q: Any) -> Tensor:
    ratio = p.scale / q.scale
    shift_q, shift_p = q.loc / q.scale, p.loc / q.scale
    tail = bulssi.exp(shift_q - shift_p + bulssi.lgamma(1 + ratio))
    return ratio * _euler - ratio.log() - (1 + _euler) + (shift_p - shift_q) + tail


@register_kl(HalfNormal, HalfNormal)
def _kl_halfnormal_halfnormal(p: Any, q: Any) -> Tensor:
    return _kl_normal_normal(p.base_dist, q.base_dist)


@register_kl(Independent, Independent)
def _kl_independent_independent(p: Any, q: Any) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(Laplace, Laplace)
def _kl_laplace_laplace(p: Any, q: Any) -> Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * bulssi.exp(-distance / p.scale) - 1


@register_kl(Normal, Normal)
def _kl_normal_normal(p: Any, q: Any) -> Tensor:
    ratio = (p.scale / q.scale).pow(2)
    shift = ((p.loc - q.loc) / q.scale).pow(2)
    return 0.5 * (ratio + shift - 1 - ratio.log())


@register_kl(OneHotCategorical, OneHotCategorical)
def _kl_onehotcategorical_onehotcategorical(p: Any, q: Any) -> Tensor:
    return _kl_categorical_categorical(p._categorical, q._categorical)


@register_kl(Pareto, Pareto)
def _kl_pareto_pareto(p: Any, q: Any) -> Tensor:
    # Support of p must be within that of q
    ratio = q.alpha / p.alpha
    kl = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return bulssi.where(p.scale < q.scale, math.inf, kl)


@register_kl(Poisson, Poisson)
def _kl_poisson_poisson(p: Any, q: Any) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _kl_transformed_transformed(p: Any, q: Any) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _kl_uniform_uniform(p: Any, q: Any) -> Tensor:
    kl = ((q.high - q.low) / (p.high - p.low)).log()
    return bulssi.where((q.low > p.low) | (q.high < p.high), math.inf, kl)


# ---- multivariate normal: half of tr(Q^-1 P) + (m_p - m_q)^T Q^-1 (m_p - m_q) + log det Q - log det P - n ------------


def _check_events(p: Any, q: Any) -> None:
    if p.event_shape != q.event_shape:
        low_rank = isinstance(p, LowRankMultivariateNormal) + isinstance(q, LowRankMultivariateNormal)
        kind = ("", "(Low Rank) ", "Low Rank ")[low_rank]
        raise ValueError(
            f"KL-divergence between two {kind}Multivariate Normals with different event shapes cannot be computed"
            f"\np: {tuple(p.event_shape)}, q: {tuple(q.event_shape)}"
        )


def _log_det(d: Any) -> Tensor:
    if isinstance(d, LowRankMultivariateNormal):
        return d._log_det()
    return 2 * half_log_det(d._unbroadcasted_scale_tril)


def _squares(q: Any, x: Tensor) -> Tensor:
    """x^T Q^-1 x for the covariance Q of q."""
    if isinstance(q, LowRankMultivariateNormal):
        return lowrank_mahalanobis(q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag, x, q._capacitance_tril)
    return mahalanobis(q._unbroadcasted_scale_tril, x)


def _factor(p: Any) -> Tensor:
    """A matrix A with A A^T the covariance of p."""
    if isinstance(p, LowRankMultivariateNormal):
        return bulssi.cat([p.cov_factor, bulssi.diag_embed(p.cov_diag.sqrt())], -1)
    return p.scale_tril


def _kl_multivariate(p: Any, q: Any) -> Tensor:
    _check_events(p, q)
    # tr(Q^-1 A A^T) is the sum over the columns of A
    columns = _factor(p).mT.movedim(-2, 0)
    batch = bulssi.broadcast_shapes(p.batch_shape, q.batch_shape)
    trace = _squares(q, columns.expand(columns.shape[:1] + batch + p.event_shape)).sum(0)
    shift = _squares(q, p.loc - q.loc)
    return 0.5 * (_log_det(q) - _log_det(p) + trace + shift - p.event_shape[0])


for _p in (MultivariateNormal, LowRankMultivariateNormal):
    for _q in (MultivariateNormal, LowRankMultivariateNormal):
        register_kl(_p, _q)(_kl_multivariate)


# ---- different distributions: -entropy(p) - E_p[log q] ---------------------------------------------------------------


@register_kl(Bernoulli, Poisson)
def _kl_bernoulli_poisson(p: Any, q: Any) -> Tensor:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


def _expected_normal(mean: Tensor, variance: Tensor, q: Any) -> Tensor:
    """-E[log q] for a normal q, of numbers of this mean and variance."""
    return 0.5 * (2 * math.pi * q.scale.pow(2)).log() + 0.5 * (variance + (mean - q.loc).pow(2)) / q.scale.pow(2)


def _kl_normal(p: Any, q: Any) -> Tensor:
    return _expected_normal(p.mean, p.variance, q) - p.entropy()


for _p in (Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Uniform):
    register_kl(_p, Normal)(_kl_normal)


def _pareto_mean(p: Any) -> Tensor:
    """Of alpha > 1; else a finite number that is not used, with finite gradients."""
    return p.scale * p.alpha / (p.alpha - 1)


@register_kl(Pareto, Normal)
def _kl_pareto_normal(p: Any, q: Any) -> Tensor:
    mean = _pareto_mean(p)
    kl = _expected_normal(mean, p.scale * mean / ((p.alpha - 1) * (p.alpha - 2)), q) - p.entropy()
    return bulssi.where(p.alpha <= 2, math.inf, kl)


def _expected_exponential(mean: Tensor, q: Any) -> Tensor:
    """-E[log q] for an exponential q, of numbers of this mean."""
    return q.rate * mean - q.rate.log()


def _kl_exponential(p: Any, q: Any) -> Tensor:
    return _expected_exponential(p.mean, q) - p.entropy()


for _p in (Beta, ContinuousBernoulli, Gamma):
    register_kl(_p, Exponential)(_kl_exponential)


@register_kl(Pareto, Exponential)
def _kl_pareto_exponential(p: Any, q: Any) -> Tensor:
    return bulssi.where(p.alpha <= 1, math.inf, _expected_exponential(_pareto_mean(p), q) - p.entropy())


@register_kl(Uniform, Exponential)
def _kl_uniform_exponential(p: Any, q: Any) -> Tensor:
    return bulssi.where(p.low < q.support.lower_bound, math.inf, _kl_exponential(p, q))


def _expected_gamma(expected_log: Tensor, mean: Tensor, q: Any) -> Tensor:
    """-E[log q] for a gamma q, of numbers of this mean and of this mean logarithm."""
    return (
        q.concentration.lgamma() - q.concentration * q.rate.log() - (q.concentration - 1) * expected_log + q.rate * mean
    )


@register_kl(Beta, Gamma)
def _kl_beta_gamma(p: Any, q: Any) -> Tensor:
    expected_log = p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    return _expected_gamma(expected_log, p.mean, q) - p.entropy()


@register_kl(Exponential, Gamma)
def _kl_exponential_gamma(p: Any, q: Any) -> Tensor:
    return _expected_gamma(-_euler - p.rate.log(), p.mean, q) - p.entropy()


@register_kl(Pareto, Gamma)
def _kl_pareto_gamma(p: Any, q: Any) -> Tensor:
    kl = _expected_gamma(p.scale.log() + p.alpha.reciprocal(), _pareto_mean(p), q) - p.entropy()
    return bulssi.where(p.alpha <= 1, math.inf, kl)


def _expected_log_uniform(p: Any) -> Tensor:
    return (_x_log_x(p.high) - _x_log_x(p.low)) / (p.high - p.low) - 1


@register_kl(Uniform, Gamma)
def _kl_uniform_gamma(p: Any, q: Any) -> Tensor:
    kl = _expected_gamma(_expected_log_uniform(p), p.mean, q) - p.entropy()
    return bulssi.where(p.low < q.support.lower_bound, math.inf, kl)


def _expected_gumbel(mean: Tensor, expected_exp: Tensor, q: Any) -> Tensor:
    """-E[log q] for a Gumbel q, of numbers x of this mean and this mean of exp(-(x - loc) / scale)."""
    return q.scale.log() + (mean - q.loc) / q.scale + expected_exp


@register_kl(Exponential, Gumbel)
def _kl_exponential_gumbel(p: Any, q: Any) -> Tensor:
    scaled_rate = p.rate * q.scale
    expected_exp = bulssi.exp(q.loc / q.scale) * scaled_rate / (scaled_rate + 1)
    return _expected_gumbel(p.mean, expected_exp, q) - p.entropy()


@register_kl(Gamma, Gumbel)
def _kl_gamma_gumbel(p: Any, q: Any) -> Tensor:
    expected_exp = bulssi.exp(q.loc / q.scale) * (1 + (p.rate * q.scale).reciprocal()).pow(-p.concentration)
    return _expected_gumbel(p.mean, expected_exp, q) - p.entropy()


@register_kl(Normal, Gumbel)
def _kl_normal_gumbel(p: Any, q: Any) -> Tensor:
    expected_exp = bulssi.exp((q.loc - p.loc) / q.scale + 0.5 * (p.scale / q.scale).pow(2))
    return _expected_gumbel(p.mean, expected_exp, q) - p.entropy()


@register_kl(Uniform, Gumbel)
def _kl_uniform_gumbel(p: Any, q: Any) -> Tensor:
    at_low, at_high = bulssi.exp((q.loc - p.low) / q.scale), bulssi.exp((q.loc - p.high) / q.scale)
    expected_exp = q.scale / (p.high - p.low) * (at_low - at_high)
    return _expected_gumbel(p.mean, expected_exp, q) - p.entropy()


@register_kl(Normal, Laplace)
def _kl_normal_laplace(p: Any, q: Any) -> Tensor:
    shift = (p.loc - q.loc) / p.scale
    distance = p.scale * (math.sqrt(2 / math.pi) * bulssi.exp(-0.5 * shift.pow(2)) + shift * bulssi.erf(shift / 2**0.5))
    return -p.entropy() + bulssi.log(2 * q.scale) + distance / q.scale


def _inside(p: Any, q: Any, low: Any, high: Any, kl: Tensor) -> Tensor:
    """kl, or infinity where [low, high], which p fills, is not within q's support."""
    return bulssi.where((low < q.support.lower_bound) | (high > q.support.upper_bound), math.inf, kl)


def _kl_unit_uniform(p: Any, q: Any) -> Tensor:
    kl = -p.entropy() + (q.high - q.low).log()
    return bulssi.where((q.low > 0) | (q.high < 1), math.inf, kl)


for _p in (Beta, ContinuousBernoulli):
    register_kl(_p, Uniform)(_kl_unit_uniform)


def _expected_continuous_bernoulli(mean: Tensor, q: Any) -> Tensor:
    return -mean * q.logits - bulssi.log1p(-q.probs) - q._cont_bern_log_norm()


@register_kl(Beta, ContinuousBernoulli)
def _kl_beta_continuous_bernoulli(p: Any, q: Any) -> Tensor:
    return -p.entropy() + _expected_continuous_bernoulli(p.mean, q)


@register_kl(Uniform, ContinuousBernoulli)
def _kl_uniform_continuous_bernoulli(p: Any, q: Any) -> Tensor:
    return _inside(p, q, p.low, p.high, -p.entropy() + _expected_continuous_bernoulli(p.mean, q))


@register_kl(Uniform, Beta)
def _kl_uniform_beta(p: Any, q: Any) -> Tensor:
    width = p.high - p.low
    log_x = (q.concentration1 - 1) * ((_x_log_x(p.high) - _x_log_x(p.low)) / width - 1)
    log_rest = (q.concentration0 - 1) * ((_x_log_x(1 - p.high) - _x_log_x(1 - p.low)) / width + 1)
    log_beta = q.concentration1.lgamma() + q.concentration0.lgamma() - (q.concentration1 + q.concentration0).lgamma()
    return _inside(p, q, p.low, p.high, -p.entropy() - log_x + log_rest + log_beta)


@register_kl(Uniform, Pareto)
def _kl_uniform_pareto(p: Any, q: Any) -> Tensor:
    expected = q.alpha.log() + q.alpha * q.scale.log() - (q.alpha + 1) * _expected_log_uniform(p)
    return bulssi.where(p.low < q.support.lower_bound, math.inf, -p.entropy() - expected)
