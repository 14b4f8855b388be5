"""Values at the edges: probabilities of 0 and 1, counts of 0, infinite moments, supports that do not fit, shapes."""

from __future__ import annotations

import math
from typing import Any

import pytest

import bulssi

torch = pytest.importorskip("torch")
from tests.distributions.oracle import agree  # noqa: E402

# t is the library, T its tensor(), d its distributions, c the constraints, x the transforms.
EXPRESSIONS = """
[d.Bernoulli(p).log_prob(T(v)) for p in (0.,1.,.5) for v in (0.,1.)]
[d.Bernoulli(p).entropy() for p in (0.,1.,.5)]
[d.Bernoulli(logits=T(p)).log_prob(T(v)) for p in (-1e3,1e3,float('inf')) for v in (0.,1.)]
[d.Categorical(T([0.,1.,1.])).log_prob(T(v)) for v in (0,1,2)]
d.Categorical(T([0.,1.,1.])).entropy()
d.Categorical(logits=T([-float('inf'),1.,1.])).entropy()
d.Categorical(T([0.,1.,1.])).logits
[d.Binomial(3,T(p)).log_prob(T(v)) for p in (0.,1.,.5) for v in (0.,1.,3.)]
[d.Binomial(0,T(p)).log_prob(T(0.)) for p in (0.,1.,.5)]
[d.Geometric(T(p)).log_prob(T(v)) for p in (1.,.5) for v in (0.,1.,3.)]
[d.NegativeBinomial(T(n),T(p)).log_prob(T(v)) for n in (0.,2.) for p in (0.,.5) for v in (0.,1.,3.)]
[d.Poisson(T(n)).log_prob(T(v)) for n in (0.,2.)  for v in (0.,1.,3.)]
[d.Multinomial(2,T([0.,.5,.5])).log_prob(T(v)) for v in ([0.,1.,1.],[1.,1.,0.],[0.,0.,2.])]
d.kl_divergence(d.Bernoulli(T([0.,1.,0.,1.,.5,.5])),d.Bernoulli(T([0.,1.,.5,0.,0.,1.])))
d.kl_divergence(d.Categorical(T([[0.,1.],[.5,.5],[1.,0.]])),d.Categorical(T([[0.,1.],[0.,1.],[.5,.5]])))
d.kl_divergence(d.Binomial(T([3,4]),T([.5,.5])),d.Binomial(T([3,2]),T([.5,.2])))
d.kl_divergence(d.Binomial(T([3,1]),T([.5,.5])),d.Binomial(T([3,2]),T([.5,.2])))
d.kl_divergence(d.Binomial(3,T([0.,1.])),d.Binomial(3,T([.5,.2])))
d.kl_divergence(d.Geometric(T([1.,.5])),d.Geometric(T([.5,1.])))
d.kl_divergence(d.Poisson(T([0.,1.])),d.Poisson(T([1.,0.])))
d.kl_divergence(d.Uniform(T([0.,0.]),T([1.,2.])),d.Uniform(T([0.,.5]),T([2.,2.])))
d.kl_divergence(d.Uniform(T([0.,.2]),T([1.,.5])),d.Beta(T([1.,2.]),T([2.,1.])))
d.kl_divergence(d.Uniform(T([-1.,.2]),T([1.,.5])),d.Beta(T([1.,2.]),T([2.,1.])))
d.kl_divergence(d.Uniform(T([0.,.2]),T([1.,.5])),d.Gamma(T([1.,2.]),T([2.,1.])))
d.kl_divergence(d.Uniform(T([0.,.2]),T([1.,.5])),d.Pareto(T([.1,.1]),T([2.,1.])))
d.kl_divergence(d.Pareto(T([1.,.2]),T([1.,.5])),d.Pareto(T([.1,.3]),T([2.,1.])))
d.kl_divergence(d.Beta(T(1.),2.),d.Uniform(T([0.,.1,-1.]),T([1.,1.,3.])))
d.kl_divergence(d.Normal(T([0.,1.]),1.),d.Uniform(T([[0.],[1.]]),3.))
d.kl_divergence(d.Independent(d.Normal(T([0.,1.]),1.),1),d.Independent(d.Normal(T([0.,2.]),1.),1))
d.kl_divergence(d.Independent(d.Normal(T([0.,1.]),1.),1),d.Independent(d.Normal(T([0.,2.]),1.),0))
d.kl_divergence(d.LogNormal(T([0.,1.]),1.),d.LogNormal(T([0.,2.]),1.))
d.kl_divergence(d.LogNormal(T([0.,1.]),1.),d.HalfNormal(T([2.,2.])))
d.kl_divergence(d.HalfCauchy(T([2.,2.])),d.HalfCauchy(T([2.,1.])))
d.kl_divergence(d.Chi2(T([2.,2.])),d.Chi2(T([2.,1.])))
d.kl_divergence(d.Chi2(T([2.,2.])),d.Gamma(T([2.,1.]),1.))
d.kl_divergence(d.Wishart(T(3.),t.eye(2)),d.Wishart(T(4.),t.eye(2)*2))
d.kl_divergence(d.OneHotCategoricalStraightThrough(T([.2,.8])),d.OneHotCategorical(T([.5,.5])))
d.StudentT(T([.5,1.,1.5,2.,3.])).variance
d.Pareto(1.,T([.5,1.,1.5,2.,3.])).variance
d.Pareto(1.,T([.5,1.,1.5,2.,3.])).mean
d.InverseGamma(T([.5,1.,1.5,2.,3.]),1.).variance
d.Weibull(1.,T([.5,1.,2.])).mode
d.Gamma(T([.5,1.,2.]),1.).mode
d.Uniform(T([0.,1.]),T([2.,3.])).cdf(T(1.5))
d.ContinuousBernoulli(T([0.,1.,.5,.4995,.3])).mean
d.ContinuousBernoulli(T([0.,1.,.5,.4995,.3])).entropy()
d.ContinuousBernoulli(T([.5,.4995,.3])).cdf(T(.3))
d.Normal(t.tensor(0),t.tensor(1)).log_prob(t.tensor(1))
d.Normal(t.tensor([0,1]),1.).mean
d.Normal(0,t.tensor(1.)).batch_shape
d.Normal(t.zeros(2,1),t.ones(3)).batch_shape
d.Normal(t.zeros(2),t.ones(3))
d.Bernoulli(t.tensor(1))
d.Bernoulli(True)
d.Beta(1,2)
d.Beta(1,t.tensor(2.)).concentration1
d.Gamma(1,2).mean
d.Exponential(2).mean
d.Poisson(2).mean
d.Poisson(t.tensor(2)).log_prob(t.tensor(3))
d.Categorical([.5,.5])
d.Uniform(0,1).log_prob(t.tensor(1.))
d.Uniform(0,1).log_prob(t.tensor(0.))
d.VonMises(T(0.),T([1e-8,1e-3,100.])).log_prob(T(.5))
d.VonMises(T(0.),T([1e-8,1e-3,100.])).variance
d.MultivariateNormal(t.zeros(2),t.eye(3))
d.MultivariateNormal(t.zeros(3,2),t.eye(2)).expand([4,3]).log_prob(t.ones(2))
d.MultivariateNormal(t.zeros(3,2),scale_tril=t.eye(2).expand(4,1,2,2)).log_prob(t.ones(5,1,1,2))
d.LowRankMultivariateNormal(t.zeros(2),t.ones(3,2,1),t.ones(4,2))
d.LowRankMultivariateNormal(t.zeros(2),t.ones(3,2,1),t.ones(4,1,2)).log_prob(t.ones(2)).shape
d.Independent(d.Bernoulli(T([.5,.5])),1).enumerate_support()
d.Independent(d.Bernoulli(T([.5,.5])),0).enumerate_support()
d.OneHotCategorical(t.ones(2,3)).enumerate_support().shape
d.OneHotCategorical(t.ones(2,3)).enumerate_support(expand=False).shape
d.Binomial(2,t.ones(2,3)*.1).enumerate_support(expand=False).shape
d.TransformedDistribution(d.Normal(t.zeros(3),1.),[d.AffineTransform(0.,t.ones(2,3))]).batch_shape
d.TransformedDistribution(d.Normal(t.zeros(3),1.),[d.ReshapeTransform((3,),(3,1))]).event_shape
d.TransformedDistribution(d.Normal(t.zeros(2,3),1.),[d.ReshapeTransform((3,),(3,1))]).expand([5,2]).batch_shape
d.TransformedDistribution(d.Normal(t.zeros(3),1.),[]).log_prob(t.zeros(3))
d.TransformedDistribution(d.Exponential(T(1.)),[d.AbsTransform()]).log_prob(T(1.))
d.TransformedDistribution(d.Normal(T(0.),1.),[d.PowerTransform(T(2.))]).cdf(T(1.))
d.TransformedDistribution(d.Uniform(T(0.),1.),[d.CumulativeDistributionTransform(d.Normal(T(0.),1.)).inv]).log_prob(T(1.))
d.TransformedDistribution(d.Normal(t.zeros(3),1.),[d.IndependentTransform(d.ExpTransform(),1)]).log_prob(t.ones(3))
d.TransformedDistribution(d.Normal(t.zeros(3),1.),[d.CatTransform([d.ExpTransform(),d.identity_transform],-1,[1,2])]).log_prob(t.ones(3))
d.TransformedDistribution(d.Normal(t.zeros(2),1.),[d.StackTransform([d.ExpTransform(),d.identity_transform],-1)]).log_prob(t.ones(2))
x.ComposeTransform([x.ExpTransform(),x.AffineTransform(0.,T(-1.))]).sign
x.ComposeTransform([x.StickBreakingTransform(),x.AffineTransform(0.,T(1.))]).domain
x.ComposeTransform([x.StickBreakingTransform(),x.AffineTransform(0.,T(1.))]).codomain
x.ComposeTransform([x.ExpTransform(),x.StickBreakingTransform()]).log_abs_det_jacobian(t.ones(2),t.ones(3)/3)
x.IndependentTransform(x.ExpTransform(),1).inv
x.IndependentTransform(x.ExpTransform(),1).domain
x.AffineTransform(0.,T([1.,2.]),event_dim=1).log_abs_det_jacobian(t.ones(3,2),t.ones(3,2))
x.AffineTransform(0.,2.,event_dim=1).log_abs_det_jacobian(t.ones(3,2),t.ones(3,2))
x.CatTransform([x.ExpTransform(),x.SigmoidTransform()],1,[1,1]).domain
x.ExpTransform().with_cache(1)._cache_size
x.AffineTransform(0.,1.).with_cache().inv.inv
x.ExpTransform(1).inv.with_cache(0)
x.ExpTransform().inv == x.ExpTransform().inv
x.ComposeTransform([x.ExpTransform()]) == x.ComposeTransform([x.ExpTransform()])
x.PowerTransform(T(2.)) == x.PowerTransform(T(2.))
x.PowerTransform(T(2.)) == x.PowerTransform(T([2.,3.]))
x.StickBreakingTransform().inv(T([.2,.3,.5]))
x.CorrCholeskyTransform()(T([.1,-.2,.4]))
x.CorrCholeskyTransform().inv(x.CorrCholeskyTransform()(T([.1,-.2,.4])))
x.PositiveDefiniteTransform()(t.ones(2,2))
x.PositiveDefiniteTransform().inv(t.eye(2)*2)
c.square.check(t.ones(3,2,3))
c.positive_semidefinite.check(T([[1.,0.],[0.,0.]]))
c.positive_definite.check(T([[1.,0.],[0.,0.]]))
c.symmetric.check(T([[1.,0.],[0.1,0.]]))
c.stack([c.real,c.positive],-1).check(T([[1.,0.],[0.1,1.]]))
c.cat([c.real,c.positive],-1).event_dim
c.stack([c.real,c.positive],-1).event_dim
c.multinomial(3).check(T([[1.,2.],[2.,2.]]))
c.dependent(is_discrete=True).is_discrete
d.Normal.support
d.Categorical.support.is_discrete
d.Categorical.support.event_dim
d.MixtureSameFamily(d.Categorical(t.ones(2)),d.MultivariateNormal(t.zeros(2,3),t.eye(3))).log_prob(t.zeros(4,3))
d.MixtureSameFamily(d.Categorical(t.ones(2)),d.MultivariateNormal(t.zeros(2,3),t.eye(3))).variance
d.RelaxedBernoulli(T(.5),.3).log_prob(T([.1,.9]))
d.RelaxedBernoulli(.5,.3).temperature
d.RelaxedOneHotCategorical(T([.5]),t.ones(2,3)).log_prob(t.ones(2,3)/3)
d.LKJCholesky(2,T([1.,2.])).log_prob(t.eye(2))
d.LKJCholesky(3,T([1.,2.])).expand((4,2)).sample().shape
d.Wishart(T([3.,4.]),t.eye(2)).log_prob(t.eye(2))
d.Wishart(3,t.eye(2)).mean
d.Wishart(T(3.),t.eye(2)).mode
d.Wishart(T(1.5),t.eye(2)).mode
d.Wishart(T(3.),t.eye(2)).variance
""".strip().splitlines()


def evaluated(library: Any, expression: str) -> Any:
    d = library.distributions
    names = {"t": library, "T": library.tensor, "d": d, "c": d.constraints, "x": d.transforms}
    return eval(expression, names)  # noqa: S307


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_value(expression: str) -> None:
    agree(expression, lambda library: evaluated(library, expression), 2e-5)


def test_von_mises_draws_end_for_every_concentration() -> None:
    """Proposals that rejection never accepts are not made: too concentrated, not at all, no number."""
    concentration = bulssi.tensor([0.0, 1e17, 1e200, math.inf, -1.0, math.nan], dtype=bulssi.float64)
    loc = bulssi.full((6,), 0.5, dtype=bulssi.float64)
    bulssi.manual_seed(0)
    made = bulssi.distributions.VonMises(loc, concentration, validate_args=False).sample((2000,))
    uniform, narrow, narrower, point, *none = made.unbind(1)
    assert abs(float(uniform.cos().mean())) < 0.1 and abs(float(uniform.sin().mean())) < 0.1
    assert 2e-9 < float((narrow - 0.5).std()) < 4e-9
    assert (narrower - 0.5).abs().max() < 1e-15 and (point - 0.5).abs().max() < 1e-15
    assert all(bool(t.isnan().all()) for t in none)
