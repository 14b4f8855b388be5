"""Expressions print, and fail, as in PyTorch."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
from tests.distributions.oracle import agree  # noqa: E402

# t is the library, d its distributions, c the constraints, x the transforms, u the utils.
EXPRESSIONS = """
d.Normal(t.tensor([1.,2]),t.tensor([-1.,2]))
d.Normal(0,1)
d.Normal(0.,1.).expand([2,3])
d.Normal("a",1)
d.Normal(t.tensor(0),t.tensor(1))
d.Normal(t.tensor(0),1.).scale.dtype
d.Normal(t.tensor([0.]).double(),1.).scale.dtype
d.Normal(0,1).loc.dtype
d.Normal(0.,1.).log_prob(1.)
d.Normal(0.,1.).log_prob(t.tensor(float('nan')))
d.Normal(t.zeros(2),1.).log_prob(t.zeros(3))
d.Dirichlet(t.tensor([1.,2.])).log_prob(t.zeros(3))
d.Dirichlet(t.tensor([1.,2.])).log_prob(t.tensor([.5,.6]))
d.Dirichlet(t.tensor(1.))
d.Categorical(t.tensor(.5))
d.Categorical()
d.Categorical(probs=t.tensor([.5,.5]),logits=t.tensor([.5,.5]))
d.Categorical(t.tensor([-1.,2]))
d.Categorical(t.tensor([1.,2])).log_prob(t.tensor(2))
d.Categorical(t.tensor([1.,2])).support
d.Categorical(t.tensor([1.,2]))
d.Categorical(t.rand(3,2))
d.Bernoulli()
d.Bernoulli(1.5)
d.Bernoulli(.5).log_prob(t.tensor(.5))
d.Bernoulli(.5).logits
d.Uniform(1.,0.)
d.Uniform(0.,1.).support
d.Uniform(0.,1.).log_prob(t.tensor(2.))
d.Uniform(t.tensor([0.,1.]),2.).log_prob(t.tensor(3.))
d.Uniform(t.tensor([0.,1.]),2.)
d.Binomial(3,t.tensor([.5,.2])).support
d.Binomial(t.tensor([3,4]),t.tensor([.5,.2])).enumerate_support()
d.Binomial(t.tensor([3,4]),t.tensor([.5,.2])).log_prob(t.tensor(5.))
d.Binomial(3,t.tensor([.5,.2])).log_prob(t.tensor(5.))
d.Binomial(3)
d.Multinomial(t.tensor(3),t.tensor([.5,.5]))
d.Multinomial(3,t.tensor([.5,.5]))
d.Multinomial(3,t.tensor([.5,.5])).support
d.Multinomial(3,t.tensor([.5,.5])).log_prob(t.tensor([1.,1.]))
d.MultivariateNormal(t.zeros(2),t.eye(2))
d.MultivariateNormal(t.zeros(2),-t.eye(2))
d.MultivariateNormal(t.zeros(2))
d.MultivariateNormal(t.tensor(0.),t.eye(2))
d.MultivariateNormal(t.zeros(2),t.tensor(1.))
d.MultivariateNormal(t.zeros(2),scale_tril=t.tensor(1.))
d.MultivariateNormal(t.zeros(2),precision_matrix=t.tensor(1.))
d.MultivariateNormal(t.zeros(2),scale_tril=t.ones(2,2))
d.LowRankMultivariateNormal(t.tensor(0.),t.tensor([[1.]]),t.tensor([1.]))
d.LowRankMultivariateNormal(t.tensor([0.]),t.tensor([1.]),t.tensor([1.]))
d.LowRankMultivariateNormal(t.tensor([0.]),t.tensor([[1.],[2.]]),t.tensor([1.]))
d.LowRankMultivariateNormal(t.tensor([0.]),t.tensor([[1.]]),t.tensor([1.,2.]))
d.LowRankMultivariateNormal(t.tensor([0.,0]),t.tensor([[1.],[2.]]),t.tensor([1.,2.]))
d.LKJCholesky(1)
d.LKJCholesky(3)
d.LKJCholesky(3,.5)
d.LKJCholesky(3,.5).log_prob(t.zeros(2,2))
d.LKJCholesky(3,.5).log_prob(t.zeros(3,3))
d.Wishart(t.tensor(1.),t.eye(2))
d.Wishart(t.tensor(3.),t.eye(2))
d.Wishart(t.tensor(1.5),t.eye(2))
d.Wishart(t.tensor(3.))
d.Wishart(t.tensor(3.),t.tensor(1.))
d.Independent(d.Normal(0.,1.),1)
d.Independent(d.Normal(t.zeros(2),1.),1)
d.TransformedDistribution(d.Normal(0.,1.),3)
d.TransformedDistribution(d.Normal(0.,1.),[3])
d.TransformedDistribution(d.Normal(0.,1.),[x.ExpTransform()])
d.TransformedDistribution(d.Normal(0.,1.),[x.StickBreakingTransform()])
d.TransformedDistribution(d.Normal(0.,1.),x.SoftmaxTransform())
d.MixtureSameFamily(1,2)
d.MixtureSameFamily(d.Categorical(t.ones(2)),d.Normal(0.,1.))
d.MixtureSameFamily(d.Categorical(t.ones(2)),2)
d.MixtureSameFamily(d.Categorical(t.ones(2)),d.Normal(t.zeros(3),1.))
d.MixtureSameFamily(d.Categorical(t.ones(2,2)),d.Normal(t.zeros(3,2),1.))
d.MixtureSameFamily(d.Categorical(t.ones(3)),d.Normal(t.zeros(3),1.))
d.MixtureSameFamily(d.Categorical(t.ones(3)),d.Normal(t.zeros(3),1.)).support
d.MixtureSameFamily(d.Categorical(t.ones(2)),d.Uniform(t.zeros(2),1.)).support
d.kl_divergence(d.Normal(0.,1.),d.Gamma(1.,1.))
d.RelaxedBernoulli(t.tensor(1.),.5)
d.RelaxedOneHotCategorical(t.tensor(1.),t.tensor([.5,.5]))
d.StudentT(3.)
d.Cauchy(0.,1.).mean
d.Gamma(1.,1.)
d.GeneralizedPareto(0.,1.,.5)
d.GeneralizedPareto(t.tensor([0.,1]),1.,t.tensor([.5,-.5])).support
d.OneHotCategorical(t.tensor([.5,.5])).log_prob(t.tensor([.5,.5]))
d.VonMises(0.,1.)
d.VonMises(t.tensor(0.),t.tensor(1.))
d.Geometric(0.)
d.Geometric(1.5)
d.Geometric(t.tensor(.5))
d.Geometric()
d.NegativeBinomial(3.,t.tensor(.5))
d.NegativeBinomial(3.)
d.ContinuousBernoulli(t.tensor(.5))
d.ContinuousBernoulli()
d.Poisson(t.tensor([1.,2]))
d.LogNormal(0.,1.)
d.HalfNormal(1.)
d.HalfCauchy(1.)
d.Pareto(1.,1.)
d.Weibull(1.,1.)
d.Gumbel(0.,1.)
d.Kumaraswamy(1.,2.)
d.InverseGamma(1.,2.)
d.LogisticNormal(t.zeros(2),1.)
d.FisherSnedecor(1.,2.)
d.Chi2(3.)
d.Chi2(-3.)
d.Beta(-1.,1.)
d.Beta(1.,1.)
d.Beta(t.tensor([1.]),1.)
c.dependent
c.dependent.check(1)
c.dependent.is_discrete
c.dependent.event_dim
c.is_dependent(c.independent(c.dependent,1))
c.Constraint().check(1)
c.independent(1,1)
c.independent(c.real,-1)
c.independent(c.real,1).check(t.tensor(1.))
c.cat([c.real,c.positive],0,[1,2])
c.stack([c.real,c.positive],0)
c.cat([c.real,c.positive],0,[1,2]).check(t.tensor([1.,1,-1]))
c.multinomial(3)
c.interval(t.tensor([1.,2]),3)
c.integer_interval(1,3)
c.unit_interval
c.one_hot
c.corr_cholesky
c.MixtureSameFamilyConstraint(c.simplex)
c.MixtureSameFamilyConstraint(c.simplex).check(t.tensor([.5,.5]))
c.MixtureSameFamilyConstraint(c.simplex).check(t.tensor([[.5,.5]]))
d.biject_to(c.dependent)
d.biject_to(c.boolean)
d.biject_to(c.positive)
d.biject_to(3)
d.biject_to.register(3,3)
d.biject_to(c.unit_interval)
d.biject_to(c.interval(0.,2.))
d.transform_to(c.simplex)
d.biject_to(c.simplex)
d.transform_to(c.positive_definite)
d.transform_to(c.corr_cholesky)
d.transform_to(c.greater_than(2))
d.transform_to(c.less_than(2))
d.transform_to(c.half_open_interval(0,2))
d.transform_to(c.real)
d.transform_to(c.independent(c.positive,1))
d.transform_to(c.cat([c.real,c.positive],0,[1,2]))
d.transform_to(c.stack([c.real,c.positive],0))
x.identity_transform
x.ExpTransform()
x.ExpTransform().inv
x.ExpTransform(cache_size=2)
x.ExpTransform(cache_size=1)
x.AffineTransform(1.,2.)
x.AffineTransform(1.,2.).sign
x.AffineTransform(1.,t.tensor([2.,-1])).sign
x.AffineTransform(1.,2.,event_dim=1).domain
x.PowerTransform(2.)
x.PowerTransform(t.tensor(2.)).sign
x.ReshapeTransform((2,),(1,2))
x.ReshapeTransform((2,),(3,2))
x.ReshapeTransform((2,),(1,2))(t.ones(3))
x.ReshapeTransform((2,),(1,2)).forward_shape((3,))
x.ReshapeTransform((2,),(1,2)).forward_shape(())
x.ComposeTransform([x.ExpTransform(),x.AffineTransform(0.,1.)])
x.ComposeTransform([x.ExpTransform(),x.AffineTransform(0.,1.)]).inv
x.CatTransform([x.ExpTransform(),x.AffineTransform(0.,1.)],0,[1,2])
x.CatTransform([x.ExpTransform(),x.AffineTransform(0.,1.)],0,[1,2])(t.ones(4))
x.StackTransform([x.ExpTransform(),x.AffineTransform(0.,1.)],0)
x.StackTransform([x.ExpTransform(),x.AffineTransform(0.,1.)],0)(t.ones(3))
x.SoftmaxTransform().inv
x.SoftmaxTransform().sign
x.SoftmaxTransform().log_abs_det_jacobian(1,2)
x.SoftmaxTransform().forward_shape(())
x.StickBreakingTransform().forward_shape((3,))
x.StickBreakingTransform().forward_shape(())
x.StickBreakingTransform().inverse_shape((3,))
x.StickBreakingTransform().inverse_shape(())
x.CorrCholeskyTransform().forward_shape((3,))
x.CorrCholeskyTransform().forward_shape((4,))
x.CorrCholeskyTransform().inverse_shape((4,3))
x.CorrCholeskyTransform().inverse_shape((3,3))
x.CorrCholeskyTransform().inverse_shape((3,))
x.IndependentTransform(x.ExpTransform(),1)
x.IndependentTransform(x.ExpTransform(),1)(t.tensor(1.))
x.CumulativeDistributionTransform(d.Normal(0.,1.))
x.AbsTransform()(t.tensor(-1.))
x.AbsTransform().sign
x.Transform().bijective
x.Transform()
x.Transform()(1)
x.Transform().inv(1)
x.Transform().domain
x.Transform().event_dim
x.Transform().log_abs_det_jacobian(1,2)
x.ExpTransform()==x.ExpTransform()
x.AffineTransform(1,2)==x.AffineTransform(1,2)
x.AffineTransform(1,t.tensor(2))==x.AffineTransform(1,t.tensor(2))
u.broadcast_all(1,t.tensor([1.,2]))
u.broadcast_all(1,True)
u.broadcast_all("a",1)
u.broadcast_all(1,2)
u.clamp_probs(t.tensor([0.,1.,.5]))
u.clamp_probs(t.tensor([0.,1.,.5]).double())
u.probs_to_logits(t.tensor([0.,1.,.5]))
u.probs_to_logits(t.tensor([0.,1.,.5]),True)
u.logits_to_probs(t.tensor([0.,1.,.5]))
u.vec_to_tril_matrix(t.arange(3.))
u.vec_to_tril_matrix(t.arange(3.),-1)
u.vec_to_tril_matrix(t.arange(4.))
u.tril_matrix_to_vec(t.eye(3))
u.tril_matrix_to_vec(t.eye(3),5)
u.euler_constant
d.kl_divergence(d.MultivariateNormal(t.zeros(2),t.eye(2)),d.MultivariateNormal(t.zeros(3),t.eye(3)))
d.kl_divergence(d.MultivariateNormal(t.zeros(2),t.eye(2)),d.LowRankMultivariateNormal(t.zeros(3),t.ones(3,1),t.ones(3)))
d.kl_divergence(d.LowRankMultivariateNormal(t.zeros(2),t.ones(2,1),t.ones(2)),d.LowRankMultivariateNormal(t.zeros(3),t.ones(3,1),t.ones(3)))
""".strip().splitlines()


def evaluated(library: Any, expression: str) -> str:
    d = library.distributions
    names = {"t": library, "d": d, "c": d.constraints, "x": d.transforms, "u": d.utils}
    return repr(eval(expression, names))  # noqa: S307


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_prints(expression: str) -> None:
    agree(expression, lambda library: evaluated(library, expression), 0)
