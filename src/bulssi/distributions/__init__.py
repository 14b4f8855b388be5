"""Probability distributions: draws, densities, entropies, divergences, and gradients through them.

Distributions are batches (`Distribution`); `constraints` say what parameters and draws may be; `transforms` are
invertible functions with Jacobians, which make further distributions (`TransformedDistribution`) and take unconstrained
numbers to constraints (`biject_to`, `transform_to`); `kl_divergence` compares two distributions.

A loss that depends on draws is minimised by `rsample`, where the distribution has it (the draw is a differentiable
function of the parameters), or by the score function: `-(distribution.log_prob(action) * reward)`, where the action is
drawn by `sample` (Williams, 1992).

>>> import bulssi as torch
>>> from bulssi.distributions import Categorical
>>> policy = Categorical(logits=torch.zeros(4, requires_grad=True))
>>> action = policy.sample()
>>> (-policy.log_prob(action) * 2.5).backward()
"""

# ruff: noqa: F401 (names are imported here to be found here)

from __future__ import annotations

from . import constraints, transforms
from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .cauchy import Cauchy
from .chi2 import Chi2
from .constraint_registry import biject_to, transform_to
from .continuous_bernoulli import ContinuousBernoulli
from .dirichlet import Dirichlet
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .exponential import Exponential
from .fishersnedecor import FisherSnedecor
from .gamma import Gamma
from .generalized_pareto import GeneralizedPareto
from .geometric import Geometric
from .gumbel import Gumbel
from .half_cauchy import HalfCauchy
from .half_normal import HalfNormal
from .independent import Independent
from .inverse_gamma import InverseGamma
from .kl import kl_divergence, register_kl
from .kumaraswamy import Kumaraswamy
from .laplace import Laplace
from .lkj_cholesky import LKJCholesky
from .log_normal import LogNormal
from .logistic_normal import LogisticNormal
from .lowrank_multivariate_normal import LowRankMultivariateNormal
from .mixture_same_family import MixtureSameFamily
from .multinomial import Multinomial
from .multivariate_normal import MultivariateNormal
from .negative_binomial import NegativeBinomial
from .normal import Normal
from .one_hot_categorical import OneHotCategorical, OneHotCategoricalStraightThrough
from .pareto import Pareto
from .poisson import Poisson
from .relaxed_bernoulli import RelaxedBernoulli
from .relaxed_categorical import RelaxedOneHotCategorical
from .studentT import StudentT
from .transformed_distribution import TransformedDistribution
from .transforms import *  # noqa: F403
from .uniform import Uniform
from .von_mises import VonMises
from .weibull import Weibull
from .wishart import Wishart

__all__ = [  # noqa: PLE0604
    *(name for name, value in list(globals().items()) if isinstance(value, type) and issubclass(value, Distribution)),
    *transforms.__all__,
    "biject_to",
    "kl_divergence",
    "register_kl",
    "transform_to",
]
