"""The generalised Pareto distribution."""

from __future__ import annotations

import math
from typing import Any

import bulssi
from bulssi import Tensor

from . import constraints
from .distribution import Distribution
from .utils import batch_of, broadcast_all

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """Excesses over a high threshold `loc`: larger than x with probability (1 + c z)^(-1 / c), z = (x - loc) / scale.

    `concentration` c is any number: at 0 this is the exponential distribution, below 0 the values are bounded by
    loc - scale / c. `mean` is nan for c >= 1, `variance` for c >= 1/2. Source: Pickands, 1975.

    >>> from bulssi.distributions import GeneralizedPareto
    >>> GeneralizedPareto(0., 1., 0.5).mean
    tensor(2.)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        concentration: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(batch_of(self.loc, loc, scale, concentration), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        end = self.loc - self.scale / self.concentration
        return constraints.interval(self.loc, bulssi.where(self.concentration < 0, end, math.inf))

    def _split(self) -> tuple[Tensor, Tensor]:
        """Where c is taken for 0, and c with 1 in these places."""
        zero = bulssi.isclose(self.concentration, bulssi.zeros_like(self.concentration))
        return zero, bulssi.where(zero, bulssi.ones_like(self.concentration), self.concentration)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        u = bulssi.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.icdf(u)

    def log_survival_function(self, value: Tensor) -> Tensor:
        """log of the probability of a draw above `value`."""
        z = (value - self.loc) / self.scale
        zero, c = self._split()
        return bulssi.where(zero, -z, -bulssi.log1p(c * z) / c)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z = (value - self.loc) / self.scale
        zero, c = self._split()
        return -self.scale.log() + bulssi.where(zero, -z, -(1 + 1 / c) * bulssi.log1p(c * z))

    def log_cdf(self, value: Tensor) -> Tensor:
        """log of the probability of a draw of at most `value`."""
        return bulssi.log1p(-bulssi.exp(self.log_survival_function(value)))

    def cdf(self, value: Tensor) -> Tensor:
        return bulssi.exp(self.log_cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        log_left = bulssi.log1p(-value)
        zero, c = self._split()
        return self.loc + self.scale * bulssi.where(zero, -log_left, bulssi.expm1(-c * log_left) / c)

    @property
    def mean(self) -> Tensor:
        c = self.concentration
        return (self.loc + self.scale / (1 - c)).masked_fill(c >= 1, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        c = self.concentration
        return (self.scale**2 / ((1 - c) ** 2 * (1 - 2 * c))).masked_fill(c >= 0.5, math.nan)

    def entropy(self) -> Tensor:
        return bulssi.log(self.scale) + self.concentration + 1
