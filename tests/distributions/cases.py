"""Distributions to test: how to make each, in Bulssi and in PyTorch, from the same random parameters."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any


class Maker:
    """Random parameters as leaves of one library, `torch`; the same numbers for the same seed."""

    def __init__(self, torch: Any, seed: int, dtype: str = "float64", batch: tuple[int, ...] = (3,)) -> None:
        self.torch, self.random, self.dtype, self.batch = torch, random.Random(seed), getattr(torch, dtype), batch
        self.leaves: list[Any] = []

    def numbers(
        self, draw: Callable[[], float], event: tuple[int, ...] = (), batch: tuple[int, ...] | None = None
    ) -> Any:
        shape = (self.batch if batch is None else batch) + event
        count = 1
        for n in shape:
            count *= n
        made = self.torch.tensor([draw() for _ in range(count)], dtype=self.dtype).reshape(shape).requires_grad_()
        self.leaves.append(made)
        return made

    def real(self, *event: int, **kwargs: Any) -> Any:
        return self.numbers(lambda: self.random.uniform(-2, 2), event, **kwargs)

    def positive(self, *event: int, low: float = 0.3, high: float = 4.0, **kwargs: Any) -> Any:
        return self.numbers(lambda: self.random.uniform(low, high), event, **kwargs)

    def unit(self, *event: int, **kwargs: Any) -> Any:
        return self.numbers(lambda: self.random.uniform(0.05, 0.95), event, **kwargs)

    def tril(self, n: int, **kwargs: Any) -> Any:
        """Lower triangular with a positive diagonal."""
        a = self.real(n, n, **kwargs)
        return a.tril(-1) * 0.3 + self.torch.diag_embed(a.diagonal(dim1=-2, dim2=-1).abs() + 0.5)

    def definite(self, n: int, **kwargs: Any) -> Any:
        factor = self.tril(n, **kwargs)
        return factor @ factor.mT


Build = Callable[[Any, Maker], Any]  # (torch.distributions, parameters) -> distribution

CASES: dict[str, Build] = {
    "Bernoulli_probs": lambda d, m: d.Bernoulli(m.unit()),
    "Bernoulli_logits": lambda d, m: d.Bernoulli(logits=m.real()),
    "Beta": lambda d, m: d.Beta(m.positive(), m.positive()),
    "Binomial_probs": lambda d, m: d.Binomial(5, m.unit()),
    "Binomial_logits": lambda d, m: d.Binomial(5, logits=m.real()),
    "Binomial_counts": lambda d, m: d.Binomial(m.torch.tensor([1, 4, 9]), m.unit(batch=m.batch[:-1] + (3,))),
    "Categorical_probs": lambda d, m: d.Categorical(m.unit(4)),
    "Categorical_logits": lambda d, m: d.Categorical(logits=m.real(4)),
    "Cauchy": lambda d, m: d.Cauchy(m.real(), m.positive()),
    "Chi2": lambda d, m: d.Chi2(m.positive()),
    "ContinuousBernoulli_probs": lambda d, m: d.ContinuousBernoulli(m.unit()),
    "ContinuousBernoulli_half": lambda d, m: d.ContinuousBernoulli(m.unit() * 1e-3 + 0.4995),
    "ContinuousBernoulli_logits": lambda d, m: d.ContinuousBernoulli(logits=m.real()),
    "Dirichlet": lambda d, m: d.Dirichlet(m.positive(4)),
    "Dirichlet_below_one": lambda d, m: d.Dirichlet(m.unit(3)),
    "Exponential": lambda d, m: d.Exponential(m.positive()),
    "FisherSnedecor": lambda d, m: d.FisherSnedecor(m.positive(high=9), m.positive(high=9)),
    "Gamma": lambda d, m: d.Gamma(m.positive(), m.positive()),
    "GeneralizedPareto": lambda d, m: d.GeneralizedPareto(m.real(), m.positive(), m.real() / 4),
    "GeneralizedPareto_exponential": lambda d, m: d.GeneralizedPareto(m.real(), m.positive(), 0.0),
    "Geometric_probs": lambda d, m: d.Geometric(m.unit()),
    "Geometric_logits": lambda d, m: d.Geometric(logits=m.real()),
    "Gumbel": lambda d, m: d.Gumbel(m.real(), m.positive()),
    "HalfCauchy": lambda d, m: d.HalfCauchy(m.positive()),
    "HalfNormal": lambda d, m: d.HalfNormal(m.positive()),
    "Independent": lambda d, m: d.Independent(d.Normal(m.real(2), m.positive(2)), 1),
    "Independent_none": lambda d, m: d.Independent(d.Categorical(m.unit(3)), 0),
    "InverseGamma": lambda d, m: d.InverseGamma(m.positive(), m.positive()),
    "Kumaraswamy": lambda d, m: d.Kumaraswamy(m.positive(), m.positive()),
    "Laplace": lambda d, m: d.Laplace(m.real(), m.positive()),
    "LKJCholesky": lambda d, m: d.LKJCholesky(3, m.positive()),
    "LogNormal": lambda d, m: d.LogNormal(m.real(), m.positive(high=1.0)),
    "LogisticNormal": lambda d, m: d.LogisticNormal(m.real(3), m.positive(3)),
    "LowRankMultivariateNormal": lambda d, m: d.LowRankMultivariateNormal(m.real(3), m.real(3, 2), m.positive(3)),
    "LowRankMultivariateNormal_broadcast": lambda d, m: d.LowRankMultivariateNormal(
        m.real(3), m.real(3, 2, batch=()), m.positive(3, batch=())
    ),
    "MixtureSameFamily": lambda d, m: d.MixtureSameFamily(d.Categorical(m.unit(4)), d.Normal(m.real(4), m.positive(4))),
    "MixtureSameFamily_vectors": lambda d, m: d.MixtureSameFamily(
        d.Categorical(logits=m.real(4)), d.Independent(d.Laplace(m.real(4, 2), m.positive(4, 2)), 1)
    ),
    "Multinomial_probs": lambda d, m: d.Multinomial(5, m.unit(3)),
    "Multinomial_logits": lambda d, m: d.Multinomial(5, logits=m.real(3)),
    "MultivariateNormal_scale_tril": lambda d, m: d.MultivariateNormal(m.real(3), scale_tril=m.tril(3)),
    "MultivariateNormal_covariance": lambda d, m: d.MultivariateNormal(m.real(3), m.definite(3)),
    "MultivariateNormal_precision": lambda d, m: d.MultivariateNormal(m.real(3), precision_matrix=m.definite(3)),
    "MultivariateNormal_broadcast": lambda d, m: d.MultivariateNormal(m.real(3), m.definite(3, batch=())),
    "NegativeBinomial_probs": lambda d, m: d.NegativeBinomial(m.positive(), m.unit()),
    "NegativeBinomial_logits": lambda d, m: d.NegativeBinomial(3.0, logits=m.real()),
    "Normal": lambda d, m: d.Normal(m.real(), m.positive()),
    "OneHotCategorical_probs": lambda d, m: d.OneHotCategorical(m.unit(4)),
    "OneHotCategorical_logits": lambda d, m: d.OneHotCategorical(logits=m.real(4)),
    "OneHotCategoricalStraightThrough": lambda d, m: d.OneHotCategoricalStraightThrough(m.unit(4)),
    "Pareto": lambda d, m: d.Pareto(m.positive(), m.positive()),
    "Poisson": lambda d, m: d.Poisson(m.positive()),
    "RelaxedBernoulli_probs": lambda d, m: d.RelaxedBernoulli(m.torch.tensor(0.7), m.unit()),
    "RelaxedBernoulli_logits": lambda d, m: d.RelaxedBernoulli(m.positive(batch=()), logits=m.real()),
    "RelaxedOneHotCategorical_probs": lambda d, m: d.RelaxedOneHotCategorical(m.torch.tensor(0.7), m.unit(4)),
    "RelaxedOneHotCategorical_logits": lambda d, m: d.RelaxedOneHotCategorical(m.positive(batch=()), logits=m.real(4)),
    "StudentT": lambda d, m: d.StudentT(m.positive(), m.real(), m.positive()),
    "TransformedDistribution": lambda d, m: d.TransformedDistribution(
        d.Normal(m.real(), m.positive()), [d.AffineTransform(1.0, -2.0), d.SigmoidTransform()]
    ),
    "TransformedDistribution_vectors": lambda d, m: d.TransformedDistribution(
        d.Normal(m.real(3), m.positive(3)), d.StickBreakingTransform()
    ),
    "Uniform": lambda d, m: d.Uniform(m.real(), m.positive(low=2.5, high=5.0)),
    "VonMises": lambda d, m: d.VonMises(m.real(), m.positive()),
    "Weibull": lambda d, m: d.Weibull(m.positive(), m.positive()),
    "Wishart": lambda d, m: d.Wishart(m.positive(low=3.0, high=6.0), m.definite(3)),
    "Wishart_precision": lambda d, m: d.Wishart(m.positive(low=3.0, high=6.0), precision_matrix=m.definite(3)),
}
